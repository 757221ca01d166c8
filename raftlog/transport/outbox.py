"""The frames that wait for one stream: bounded in bytes, dropping when full, empty while there is no stream."""

import asyncio
from collections import deque

from raftlog.transport.limits import FRAME_OVERHEAD


class OutboxClosed(Exception):
    """The stream that was being fed is gone."""


class Outbox:
    """A queue between `send`, which never waits, and the one task that writes a stream.

    Invariants: `queued_bytes <= limit`; nothing is queued while it is closed, so what was meant for a lost stream never
    shows up on the next one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._open = False
        self._stirred = asyncio.Event()
        self.dropped = 0
        """Frames refused since the start, for whatever reason."""

    @property
    def queued_bytes(self) -> int:
        """What the queue is charged with."""
        return self._bytes

    def open(self) -> None:
        """A stream is there: frames are taken from now on."""
        assert not self._frames, f"{len(self._frames)} frames outlived their stream"
        self._open = True
        self._stirred.clear()

    def close(self) -> None:
        """The stream is gone: drop everything; `take` raises. Idempotent."""
        self._open = False
        self.dropped += len(self._frames)
        self._frames.clear()
        self._bytes = 0
        self._stirred.set()

    def put(self, frame: bytes) -> bool:
        """Queue a frame; False when it was dropped."""
        charge = len(frame) + FRAME_OVERHEAD
        if not self._open or self._bytes + charge > self._limit:
            self.dropped += 1
            return False
        self._frames.append(frame)
        self._bytes += charge
        self._stirred.set()
        return True

    async def take(self, max_bytes: int) -> list[bytes]:
        """Wait for frames, then take what is there: at least one, and no further one beyond `max_bytes`.

        Raises:
            OutboxClosed: the stream is gone.
        """
        await self._stirred.wait()
        if not self._open:
            raise OutboxClosed
        taken = [self._pop()]
        size = len(taken[0])
        while self._frames and size + len(self._frames[0]) <= max_bytes:
            taken.append(self._pop())
            size += len(taken[-1])
        if not self._frames:
            self._stirred.clear()
        return taken

    def _pop(self) -> bytes:
        frame = self._frames.popleft()
        self._bytes -= len(frame) + FRAME_OVERHEAD
        return frame
