"""Group commit: everything that gathered while the last write was in flight goes to disk with one sync."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from raftlog.core.ids import GroupId
from raftlog.core.ready import Ready
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage import DiskError, DiskFull, GroupWrite, Wal
from raftlog.transport.events import OnEvent

IDLE_BEFORE_MARK = 0.1
"""Seconds without a write after which the log's end is marked as synced (see `Wal.mark`)."""


FULL_RETRY = 1.0
"""Seconds between attempts to find space on a full disk."""


class Written(Protocol):
    """Who is told that a Ready, and every one before it, is durable."""

    group: GroupId

    def written(self, ready: Ready) -> None:
        """Send what waited for the sync and tell the core."""
        ...


class Writer:
    """Writes Readies in the order they came, many at a time. One task runs `run`.

    A failed write ends that task, and with it the node: nothing after it may be promised, and a retry could be
    answered from pages that the kernel has dropped.
    """

    def __init__(
        self,
        wal: Wal,
        *,
        max_bytes: int,
        on_done: Callable[[], None],
        on_event: OnEvent,
        failpoints: Failpoints = INERT,
    ) -> None:
        self._wal = wal
        self._failpoints = failpoints
        self._on_event = on_event
        self._max_bytes = max_bytes
        self._on_done = on_done
        self._queue: deque[tuple[Written, Ready]] = deque()
        self._done: deque[tuple[Written, Ready]] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._in_flight = 0

    @property
    def busy(self) -> bool:
        """Whether a write is under way or waits."""
        return self._in_flight > 0 or bool(self._queue)

    def submit(self, replica: Written, ready: Ready) -> None:
        """Queue a Ready behind all earlier ones."""
        self._queue.append((replica, ready))
        self._wake.set()

    def deliver(self) -> None:
        """Tell the replicas what has become durable; called by the node between two inputs, never inside one."""
        while self._done:
            if self._failpoints.armed:
                self._failpoints.hit_now("writer.before_deliver")
            replica, ready = self._done.popleft()
            replica.written(ready)

    def close(self) -> None:
        """Let `run` end once the queue is empty."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Write until closed and empty; mark the end of the log when nothing has come for a while.

        Closed on a full disk it ends with what is not written: nothing of that was promised.
        """
        while True:
            while self._queue:
                if not await self._write():
                    return
            if self._closing:
                return
            if not await self._work_within(IDLE_BEFORE_MARK):
                await self._wal.mark()
                await self._work_within(None)

    async def _work_within(self, seconds: float | None) -> bool:
        """Wait until there is something to do; False when there still was nothing after that long."""
        self._wake.clear()
        if self._queue or self._closing:
            return True
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()
        return bool(self._queue) or self._closing

    async def _write(self) -> bool:
        batch = self._take()
        writes = [
            GroupWrite(replica.group, ready.hard_state, ready.entries, ready.base, ready.healed)
            for replica, ready in batch
            if ready.writes or ready.healed
        ]
        self._in_flight = len(batch)
        if self._failpoints.armed:
            await self._failpoints.hit("writer.before_append", DiskError)
        if writes and not await self._append(writes):
            return False
        if self._failpoints.armed:
            await self._failpoints.hit("writer.after_append", DiskError)
        self._in_flight = 0
        self._done.extend(batch)
        self._on_done()
        if any(ready.base is not None for _, ready in batch):
            await self._wal.purge()
        return True

    async def _append(self, writes: Sequence[GroupWrite]) -> bool:
        """Append, and while the disk is full wait for space: nothing was written then, so trying again is safe.

        Meanwhile nothing is promised, and a leader resigns because its disk does not answer. False when there still
        was no space and nobody waits for it any more.
        """
        while True:
            try:
                await self._wal.append(writes)
                return True
            except DiskFull as full:
                if self._closing:
                    return False
                self._on_event(f"cannot write: {full}; waiting for space", {"retry_in_seconds": FULL_RETRY})
            await asyncio.sleep(FULL_RETRY)
            if self._failpoints.armed:
                await self._failpoints.hit("writer.before_retry", DiskError)
            await self._wal.make_room()

    def _take(self) -> list[tuple[Written, Ready]]:
        taken: list[tuple[Written, Ready]] = []
        size = 0
        while self._queue and (not taken or size < self._max_bytes):
            taken.append(self._queue.popleft())
            size += sum(entry.size for entry in taken[-1][1].entries)
        return taken
