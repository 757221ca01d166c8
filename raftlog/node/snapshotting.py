"""Takes snapshots of one group's state beside its work, and lets the log begin later once they are durable."""

from collections.abc import Iterator
from functools import partial
from typing import Protocol

import msgspec

from raftlog.clock import Clock
from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import EntryId, GroupId, Index, Micros
from raftlog.core.raft import Raft
from raftlog.machine.applier import Applier, View
from raftlog.node.offload import Offload
from raftlog.node.retention import Retention, Since
from raftlog.storage import Compacted, DiskError, LogDamaged, Wal
from raftlog.storage.snapshots import Writer
from raftlog.transport.events import OnEvent

_RETRY: Micros = 10_000_000
"""How long a snapshot that failed is not tried again."""
KEPT = 2
"""Snapshots of a group that are kept."""


class Surroundings(Protocol):
    """What it uses of its node."""

    clock: Clock
    wal: Wal
    offload: Offload

    def kick(self) -> None:
        """Have the replica pumped soon."""
        ...


class Making(msgspec.Struct, frozen=True):
    """How far the snapshot in the making is, and what became of the attempts before it."""

    writing: bool
    written: int
    """Bytes of it; of the last one while none is in the making."""
    failures: int
    """Attempts since the node started that came to nothing."""
    trouble: str
    """Why the last of them did; empty: none has."""


class Snapshotting:
    """One group's snapshots: at most one in the making.

    What it finds out beside the pump waits for `report`, which the replica calls in it. Invariants: the core hears of a
    snapshot when it is durable, and of a later beginning of the log after that.
    """

    def __init__(
        self,
        around: Surroundings,
        group: GroupId,
        raft: Raft,
        retention: Retention,
        on_event: OnEvent,
    ) -> None:
        self._around = around
        self._group = group
        self._raft = raft
        self._retention = retention
        self._on_event = on_event
        now = around.clock.monotonic()
        self._since = Since(raft.applied_index, now)
        self._not_before: Micros = now
        self._busy = False
        self._asked = False
        self._written = 0
        self._failures = 0
        self._trouble = ""
        self._taken: EntryId | None = None
        self._compaction: tuple[Index, Micros] | None = None

    def applied(self, size: int) -> None:
        """An entry of so many bytes is applied."""
        self._since.count(size)

    def ask(self) -> None:
        """Take one as soon as possible, whatever the retention says; nothing new since the last one is no reason."""
        self._asked = True

    @property
    def making(self) -> Making:
        """For whoever asked."""
        return Making(self._busy, self._written, self._failures, self._trouble)

    def due(self, now: Micros) -> bool:
        """Whether `capture` should be called; the state must be between two entries then."""
        if self._busy or now < self._not_before:
            return False
        return (self._asked and self._beyond_newest) or self._since.due(self._retention, now)

    @property
    def _beyond_newest(self) -> bool:
        newest = self._around.wal.snapshots.newest(self._group)
        return self._raft.applied_index > (0 if newest is None else newest.meta.last.index)

    def capture(self, applier: Applier, now: Micros) -> "Work | None":
        """The quick half: a view of the state as it stands. The rest is `write`, beside further applying."""
        meta = SnapshotMeta(
            applier.applied, self._raft.membership_at(applier.applied.index), applier.log_time
        )
        try:
            view = applier.capture()
        except Exception as error:  # noqa: BLE001 - the machine's own code
            self._failed(f"the machine cannot be captured: {type(error).__name__}: {error}", now)
            return None
        self._busy, self._asked, self._written = True, False, 0
        self._since = Since(meta.last.index, now)
        return Work(view, applier.write(view), meta, applier.digest)

    def report(self, now: Micros) -> None:
        """Tell the core what has become durable, and where the log may begin."""
        if self._taken is not None:
            taken, self._taken = self._taken, None
            self._raft.snapshot_taken(taken, now)
        if self._compaction is not None:
            (index, log_time), self._compaction = self._compaction, None
            if index <= self._raft.snapshot_index:
                self._raft.compact(index, log_time, now)

    async def write(self, work: "Work") -> None:
        """The slow half."""
        snapshots = self._around.wal.snapshots
        writer = snapshots.begin(self._group, work.meta)
        try:
            while (piece := await self._around.offload.run(partial(next, work.pieces, None))) is not None:
                await writer.write(piece)
                self._written += len(piece)
            manifest = await writer.commit(work.digest)
            self._on_event(
                f"took a snapshot at {work.meta.last}", {"group": self._group, "bytes": manifest.size}
            )
            self._taken = work.meta.last
            self._around.kick()
            await snapshots.keep_newest(self._group, KEPT)
            await self._let_go()
        except DiskError as problem:
            await self._abandon(writer, f"a snapshot could not be written: {problem}")
        except Exception as error:  # noqa: BLE001 - the machine's own code
            await self._abandon(writer, f"the machine could not be written: {type(error).__name__}: {error}")
        finally:
            self._busy = False

    async def _abandon(self, writer: Writer, reason: str) -> None:
        self._failed(reason, self._around.clock.monotonic())
        try:
            await writer.abandon()
        except DiskError as problem:
            self._on_event(f"what was written of it stays until the next start: {problem}", {})

    def _failed(self, reason: str, now: Micros) -> None:
        self._not_before = now + _RETRY
        self._asked = True  # what was due is still due, whether or not anything is applied meanwhile
        self._failures += 1
        self._trouble = reason
        self._on_event(reason, {"group": self._group, "retry_in_seconds": _RETRY // 1_000_000})

    async def _let_go(self) -> None:
        """Find where the log may begin, and the log time there."""
        index = self._target()
        if index is None:
            return
        try:
            (entry,) = await self._around.wal.read(self._group, index, index, max_bytes=1)
        except (Compacted, LogDamaged):
            return
        self._compaction = (index, entry.log_time)
        self._around.kick()

    def _target(self) -> Index | None:
        """The last entry that may go; None when none may."""
        wal, group, keep = self._around.wal, self._group, self._retention
        kept = wal.snapshots.all(group)
        if len(kept) < KEPT:
            return None
        newest, before = kept[-1].meta.last.index, kept[-KEPT].meta.last.index
        count = min(keep.keep_entries, wal.within(group, newest, keep.keep_bytes))
        target = min(newest - count, before)
        if wal.size < keep.most_bytes:
            target = min(target, self._raft.needed_from - 1)
        return target if target > wal.recovered(group).base.last.index else None


class Work:
    """A captured state on its way to the disk."""

    def __init__(self, view: View, pieces: Iterator[bytes], meta: SnapshotMeta, digest: int) -> None:
        self.view = view
        self.pieces = pieces
        self.meta = meta
        self.digest = digest
