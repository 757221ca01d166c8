"""A stream in memory: both ends of a link, bounded, and breakable by the test."""

import asyncio
from collections import deque

from raftlog.transport.link import LinkBroken


class _Pipe:
    def __init__(self, room: int) -> None:
        self.frames: deque[bytes | None] = deque()
        self.room = room
        self.moved = asyncio.Event()

    async def wait(self) -> None:
        self.moved.clear()
        await self.moved.wait()


class MemoryLink:
    """One end. At most `room` frames wait in each direction; a sender beyond that waits too."""

    def __init__(self, outgoing: _Pipe, incoming: _Pipe, wire: "Wire") -> None:
        self._out = outgoing
        self._in = incoming
        self._wire = wire
        self._closed = False
        self.waiting = 0

    async def send(self, frame: bytes) -> None:
        """See `Link.send`."""
        assert isinstance(frame, bytes)
        while True:
            self._wire.check()
            if self._closed:
                raise LinkBroken("this end was closed")
            if len(self._out.frames) < self._out.room:
                break
            await self._out.wait()
        self._out.frames.append(frame)
        self._out.moved.set()

    async def receive(self) -> bytes | None:
        """See `Link.receive`."""
        while not self._in.frames:
            self._wire.check()
            if self._closed:
                raise LinkBroken("this end was closed")
            self.waiting += 1
            try:
                await self._in.wait()
            finally:
                self.waiting -= 1
        if self._in.frames[0] is None:
            return None
        frame = self._in.frames.popleft()
        self._in.moved.set()
        return frame

    async def close(self) -> None:
        """See `Link.close`."""
        if not self._closed:
            self._closed = True
            self._out.frames.append(None)
            self._out.moved.set()
            self._in.moved.set()


class Wire:
    """What lies between the two ends."""

    def __init__(self, room: int = 1_000) -> None:
        self._pipes = _Pipe(room), _Pipe(room)
        self._broken: str | None = None
        up, down = self._pipes
        self.client = MemoryLink(up, down, self)
        self.node = MemoryLink(down, up, self)

    def cut(self, why: str = "the wire was cut") -> None:
        """Both ends find the link broken; what was under way is lost."""
        self._broken = why
        for pipe in self._pipes:
            pipe.frames.clear()
            pipe.moved.set()

    def check(self) -> None:
        """Raises LinkBroken once the wire is cut."""
        if self._broken is not None:
            raise LinkBroken(self._broken)
