"""Group commit: everything that gathered while the last write was in flight goes to disk with one sync."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from raftlog.core.ids import GroupId
from raftlog.core.ready import Ready
from raftlog.core.state import ENTRY_ROOM, room_for
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage import DiskError, DiskFull, GroupWrite, Wal
from raftlog.transport.events import OnEvent

IDLE_BEFORE_MARK = 0.1
"""Seconds without a write after which the log's end is marked as synced (see `Wal.mark`)."""


FULL_RETRY = 0.5
"""Seconds between attempts to find space on a full disk."""

_EARLY = 0.005
"""Seconds by which a timer may fire too early."""


class Written(Protocol):
    """Who is told that a Ready, and every one before it, is durable."""

    group: GroupId

    def written(self, ready: Ready) -> None:
        """Send what waited for the sync and tell the core."""
        ...

    def went_ahead(self, ready: Ready) -> None:
        """Term and vote of this Ready, and of all before it, are durable; its entries wait for space.

        Send what waited for the sync. `written` comes later, with nothing more to send.
        """
        ...


@dataclass(slots=True)
class _Job:
    """A Ready on its way to the disk."""

    replica: Written
    ready: Ready
    ahead: bool = False
    """Everything of it but its entries is recorded."""

    @property
    def owes(self) -> int:
        """Bytes it takes on disk at most."""
        return sum(map(room_for, self.ready.entries)) + ENTRY_ROOM


class Writer:
    """Writes Readies in the order they came, many at a time. One task runs `run`.

    A failed write ends that task, and with it the node: nothing after it may be promised, and a retry could be
    answered from pages that the kernel has dropped. A full disk is another matter: nothing was written then. Entries
    wait for space; term, vote and the beginning of the log go ahead of them, into the room that is kept for these.
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
        self._queue: deque[_Job] = deque()
        self._ahead: deque[_Job] = deque()
        self._done: deque[_Job] = deque()
        self.owed = 0
        """Bytes that what is under way or waits takes on disk at most."""
        self._wake = asyncio.Event()
        self._closing = False
        self._in_flight = 0

    @property
    def busy(self) -> bool:
        """Whether a write is under way or waits."""
        return self._in_flight > 0 or bool(self._queue)

    def submit(self, replica: Written, ready: Ready) -> None:
        """Queue a Ready behind all earlier ones."""
        job = _Job(replica, ready)
        self._queue.append(job)
        self.owed += job.owes
        self._wake.set()

    def deliver(self) -> None:
        """Tell the replicas what has become durable; called by the node between two inputs, never inside one."""
        while self._ahead:
            job = self._ahead.popleft()
            job.replica.went_ahead(job.ready)
        while self._done:
            if self._failpoints.armed:
                self._failpoints.hit_now("writer.before_deliver")
            job = self._done.popleft()
            said = msgspec.structs.replace(job.ready, messages_after_sync=()) if job.ahead else job.ready
            job.replica.written(said)

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
        if not self._queue and not self._closing:
            await self._woken_within(seconds)
        return bool(self._queue) or self._closing

    async def _woken_within(self, seconds: float | None) -> None:
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()

    async def _write(self) -> bool:
        batch = self._take()
        self._in_flight = len(batch)
        if self._failpoints.armed:
            await self._failpoints.hit("writer.before_append", DiskError)
        if not await self._append(batch):
            return False
        if self._failpoints.armed:
            await self._failpoints.hit("writer.after_append", DiskError)
        self._in_flight = 0
        self.owed -= sum(job.owes for job in batch)
        self._done.extend(batch)
        self._on_done()
        if any(job.ready.base is not None for job in batch):
            await self._wal.purge()
        return True

    async def _append(self, batch: Sequence[_Job]) -> bool:
        """Append, and while the disk is full wait for space: nothing was written then, so trying again is safe.

        Meanwhile no entry is acknowledged. False when there still was no space and nobody waits for it any more.
        """
        told = False
        while writes := self._writes(batch):
            try:
                await self._wal.append(writes)
                return True
            except DiskFull as full:
                if self._closing:
                    return False
                if not told:
                    self._on_event(
                        f"cannot write: {full}; waiting for space", {"retry_in_seconds": FULL_RETRY}
                    )
                    told = True
            await self._wait_for_space(batch)
        return True

    def _writes(self, batch: Sequence[_Job]) -> list[GroupWrite]:
        """What of a batch is not recorded yet."""
        writes = [
            GroupWrite(
                job.replica.group,
                None if job.ahead else job.ready.hard_state,
                job.ready.entries,
                job.ready.base,
                job.ready.healed,
                job.ready.fenced,
            )
            for job in batch
        ]
        if any(job.ahead for job in batch):
            writes = [self._wal.without_past_base(write) for write in writes]
        return [
            write
            for write in writes
            if write.hard_state is not None
            or write.entries
            or write.base is not None
            or write.healed
            or write.fenced is not None
        ]

    async def _wait_for_space(self, batch: Sequence[_Job]) -> None:
        """Until it is time to look for some; what comes meanwhile and needs none goes ahead."""
        loop = asyncio.get_running_loop()
        until = loop.time() + FULL_RETRY
        while not self._closing and until - loop.time() > _EARLY:
            self._wake.clear()
            await self._go_ahead(batch)
            await self._woken_within(until - loop.time())
        await self._wal.make_room()

    async def _go_ahead(self, batch: Sequence[_Job]) -> None:
        """Record term, vote and beginning of what waits, in the room kept for that, and say so.

        Safe for term and vote, which promise nothing about entries; whoever is given this vote was compared with more
        of a log than a crash may leave here. Safe for a base within the log on disk: everything up to it is durable,
        and no entry that waits replaces what is decided.
        """
        jobs = [job for job in (*batch, *self._queue) if not job.ahead]
        if not jobs:
            return
        writes = [
            GroupWrite(job.replica.group, hard_state=job.ready.hard_state, base=job.ready.base)
            for job in jobs
        ]
        try:
            if narrow := self._wal.ahead_of_entries(writes):
                await self._wal.append(narrow)
        except DiskFull:
            return  # that room is used up, too
        for job in jobs:
            job.ahead = True
        self._ahead.extend(jobs)
        self._on_done()
        if any(write.base is not None for write in narrow):
            await self._wal.purge()

    def _take(self) -> list[_Job]:
        taken: list[_Job] = []
        size = 0
        while self._queue and (not taken or size < self._max_bytes):
            taken.append(self._queue.popleft())
            size += sum(entry.size for entry in taken[-1].ready.entries)
        return taken
