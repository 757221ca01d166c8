"""What becomes of bytes on their way from one host to another: they pass, wait, crawl or come late."""

import asyncio
from collections import deque
from random import Random

WINDOW = 1 << 20
"""Bytes that may be on one way at a time; beyond that the sender is held up, as TCP's window does."""
RETRANSMIT = 0.2
"""Seconds that a lost packet costs: TCP sends it again after this, and what follows waits behind it."""


class Path:
    """One direction between two hosts, shared by every connection between them; changed while bytes are on it.

    TCP hides loss from programs: what they see of it is delay, so that is what `loss` makes here. While the path is cut
    nothing arrives, ends of connections included; when it opens again, what was sent meanwhile arrives, in order.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._open = asyncio.Event()
        self._open.set()
        self.delay = 0.0
        """Seconds from one end to the other."""
        self.jitter = 0.0
        """Up to so many seconds more, drawn for each piece."""
        self.loss = 0.0
        """The share of pieces that have to be sent again."""
        self.rate = 0.0
        """Bytes a second; 0: as many as there are."""
        self.passed = 0
        """Bytes that arrived."""
        self.held = 0
        """Pieces that found the path cut."""

    @property
    def cut(self) -> bool:
        """Whether nothing arrives."""
        return not self._open.is_set()

    def close(self) -> None:
        """Cut it."""
        self._open.clear()

    def open(self) -> None:
        """Let everything arrive again."""
        self._open.set()

    def calm(self) -> None:
        """No delay, no loss, no limit."""
        self.delay = self.jitter = self.loss = self.rate = 0.0

    def takes(self, size: int) -> tuple[float, float]:
        """How long a piece is on its way, and how long it keeps the next one from starting."""
        way = self.delay + self.jitter * self._random.random()
        if self.loss and self._random.random() < self.loss:
            way += RETRANSMIT
        return way, size / self.rate if self.rate else 0.0

    async def arrive(self, size: int) -> None:
        """Wait until the path is open."""
        if self.cut:
            self.held += 1
            await self._open.wait()
        self.passed += size


class Flow:
    """One connection's bytes in one direction: read from one socket, written to the other when they have arrived."""

    def __init__(self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._starts = 0.0

    async def run(self) -> None:
        """Until the sender has ended and all it sent has arrived, or the receiver is gone."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take())
            tasks.create_task(self._give())

    async def _take(self) -> None:
        clock = asyncio.get_running_loop().time
        ended = False
        while not ended:
            try:
                piece = await self._reader.read(1 << 16)
            except ConnectionError:
                piece = b""
            way, keeps = self._path.takes(len(piece))
            self._starts = max(self._starts, clock()) + keeps
            last = self._under_way[-1][0] if self._under_way else 0.0
            self._under_way.append((max(self._starts + way, last), piece))
            self._size += len(piece)
            self._changed.set()
            ended = not piece
            while self._size > WINDOW:
                await self._change()

    async def _give(self) -> None:
        clock = asyncio.get_running_loop().time
        piece = b"-"
        while piece:
            while not self._under_way:
                await self._change()
            due, piece = self._under_way[0]
            if (left := due - clock()) > 0:
                await asyncio.sleep(left)
            await self._path.arrive(len(piece))
            self._under_way.popleft()
            self._size -= len(piece)
            self._changed.set()
            if piece:
                self._writer.write(piece)
                await self._writer.drain()
            elif self._writer.can_write_eof():
                self._writer.write_eof()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
