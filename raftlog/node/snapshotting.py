"""Takes snapshots of one group's state beside its work, and lets the log begin later once they are durable."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Protocol, TypeAlias

import msgspec

from raftlog.clock import Clock
from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import EntryId, GroupId, Index, Micros
from raftlog.core.raft import Raft
from raftlog.machine.applier import Applier
from raftlog.machine.contract import StateMachine
from raftlog.node.offload import Offload
from raftlog.node.retention import Retention, Since
from raftlog.node.taking import Differs, NotTaken, Outrun, Point, by_capture, by_replay
from raftlog.replay import MachineSpec, Replays, spec_of
from raftlog.replay.machine import NotImportable
from raftlog.storage import Compacted, DiskError, LogDamaged, Wal
from raftlog.storage.snapshots import Manifest
from raftlog.transport.events import OnEvent

_RETRY: Micros = 10_000_000
"""How long a snapshot that failed is not tried again."""
_RETRY_DIFFERENT: Micros = 600_000_000
"""How long, after one that differed from this node's state."""
_REPLAYS = 2
"""Attempts by replay, one after the other, before one by capture."""
_URGENT = 2
"""Times as much as should have come since the last one: making that took too long."""
_OUTRUN = 8
"""The same while one is made by replay: it will not do."""
_LOOK: Micros = 1_000_000
"""How often a group without new entries looks whether it holds up others."""
_SELDOM: Micros = 60_000_000
"""Between two snapshots that are taken only because the log of all groups is too long."""
Way: TypeAlias = Callable[[], Coroutine[object, object, Manifest]]
KEPT = 2
"""Snapshots of a group that are kept."""


class Surroundings(Protocol):
    """What it uses of its node."""

    clock: Clock
    wal: Wal
    offload: Offload
    replays: Replays | None

    def kick(self) -> None:
        """Have the replica pumped soon."""
        ...


class Making(msgspec.Struct, frozen=True):
    """How far the snapshot in the making is, and what became of the attempts before it."""

    writing: bool
    written: int
    """Bytes of it, as far as this process knows; of the last one while none is in the making."""
    failures: int
    """Attempts since the node started that came to nothing."""
    trouble: str
    """Why the last of them did; empty: none has."""


class Snapshotting:
    """One group's snapshots: at most one in the making.

    What it finds out beside the pump waits for `report`, which the replica calls in it. Invariants: the core hears of a
    snapshot when it is durable, and of a later beginning of the log after that; what falls due while one is in the
    making is taken when that has ended.
    """

    def __init__(
        self,
        around: Surroundings,
        group: GroupId,
        raft: Raft,
        retention: Retention,
        machine: Callable[[], StateMachine],
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
        self._look_at: Micros = now
        self._busy = False
        self._outrun = asyncio.Event()
        self._asked = False
        self._taken: EntryId | None = None
        self._compaction: tuple[Index, Micros] | None = None
        self._void = False
        """What is in the making is of a state that was given up since."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_a_row = 0
        """Attempts that came to nothing since the last one that did not."""
        self._failures = 0
        self._written = 0
        self._last_trouble = ""
        self._machine = self._importable(machine) if around.replays is not None else None
        self.trouble: str | None = None
        """What people must know of the last attempt, in one sentence."""

    def _importable(self, machine: Callable[[], StateMachine]) -> MachineSpec | None:
        try:
            return spec_of(machine)
        except NotImportable as reason:
            text = f"snapshots are taken in this process, which holds it up: {reason}"
            self._on_event(text, {"group": self._group})
            return None

    def applied(self, size: int) -> None:
        """An entry of so many bytes is applied."""
        self._since.count(size)

    def ask(self) -> None:
        """Take one as soon as possible, whatever the retention says; nothing new since the last one is no reason."""
        self._asked = True

    def give_up(self) -> None:
        """The state is replaced by another: nothing comes of a snapshot in the making, nor of one not yet reported."""
        self._void, self._taken, self._compaction = self._busy, None, None

    async def ended(self) -> None:
        """Wait until none is in the making."""
        await self._idle.wait()

    @property
    def making(self) -> Making:
        """For whoever asked."""
        return Making(self._busy, self._written, self._failures, self._last_trouble)

    def due(self, now: Micros) -> bool:
        """Whether `take` should be called; the state must be between two entries then."""
        if self._busy and self._since.overdue(self._retention, _OUTRUN):
            self._outrun.set()
        if self._busy or now < self._not_before:
            return False
        if (self._asked and self._beyond_newest) or self._since.due(self._retention, now):
            return True
        return now >= self._look_at and self._holds_up(now)

    @property
    def _beyond_newest(self) -> bool:
        newest = self._around.wal.snapshots.newest(self._group)
        return self._raft.applied_index > (0 if newest is None else newest.meta.last.index)

    def _holds_up(self, now: Micros) -> bool:
        """Whether this group, which has little to do, keeps segments for entries that nobody needs any more.

        Only a base beyond them lets them go, and a base needs two snapshots beyond itself, be it of one state.
        """
        self._look_at = now + _LOOK
        wal, rest = self._around.wal, now - self._since.at
        if wal.count(self._group) == 0 or self._raft.applied_index == 0:
            return False
        too_long = wal.size > self._retention.most_bytes and len(wal.groups()) > 1 and rest >= _SELDOM
        return rest >= self._retention.age or (too_long and self._group in wal.pinning)

    def take(self, applier: Applier, now: Micros) -> Coroutine[object, object, None] | None:
        """Take the state as it stands for a snapshot; what is given does the rest, beside further applying."""
        wal, index = self._around.wal, applier.applied.index
        kept = wal.snapshots.all(self._group)
        if len(kept) >= KEPT and kept[-KEPT].meta.last.index == index:
            self._since, self._busy = Since(index, now), True
            return self._tidy()
        meta = SnapshotMeta(applier.applied, self._raft.membership_at(index), applier.log_time)
        way = self._way(applier, Point(meta, applier.digest), now)
        if way is not None:
            self._busy, self._asked, self._written = True, False, 0
            self._idle.clear()
            self._since = Since(index, now)
        return None if way is None else self._make(way)

    def _way(self, applier: Applier, point: Point, now: Micros) -> Way | None:
        replays = self._around.replays
        if replays is not None and self._machine is not None and self._in_a_row < _REPLAYS:
            self._outrun = asyncio.Event()
            return partial(
                by_replay,
                self._around.wal,
                replays,
                self._group,
                self._machine,
                point,
                urgent=self._since.overdue(self._retention, _URGENT),
                outrun=self._outrun,
            )
        try:
            view = applier.capture()
        except Exception as error:  # noqa: BLE001 - the machine's own code
            self._failed(f"the machine cannot be captured: {type(error).__name__}: {error}", now)
            return None
        return partial(by_capture, self._around, self._group, self._counted(applier.write(view)), point)

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._written += len(piece)
            yield piece

    def report(self, now: Micros) -> None:
        """Tell the core what has become durable, and where the log may begin."""
        if self._taken is not None:
            taken, self._taken = self._taken, None
            self._raft.snapshot_taken(taken, now)
        if self._compaction is not None:
            (index, log_time), self._compaction = self._compaction, None
            if index <= self._raft.snapshot_index:
                self._raft.compact(index, log_time, now)

    async def _make(self, way: Way) -> None:
        try:
            manifest = await way()
            if self._void:
                await self._around.wal.snapshots.quarantine(manifest)
                return
            self._in_a_row, self.trouble = 0, None
            self._written = manifest.size
            size = {"group": self._group, "bytes": manifest.size}
            self._on_event(f"took a snapshot at {manifest.meta.last}", size)
            self._taken = manifest.meta.last
            self._around.kick()
            await self._let_go()
        except Differs as difference:
            self.trouble = str(difference)
            self._failed(str(difference), self._around.clock.monotonic(), _RETRY_DIFFERENT)
        except Outrun as reason:
            self._in_a_row = _REPLAYS
            self._failed(str(reason), self._around.clock.monotonic())
        except NotTaken as reason:
            self._in_a_row += 1
            self._failed(str(reason), self._around.clock.monotonic())
        except DiskError as problem:
            self._failed(f"old snapshots stay: {problem}", self._around.clock.monotonic())
        finally:
            self._busy = self._void = False
            self._idle.set()
            self._around.kick()

    def _failed(self, reason: str, now: Micros, retry: Micros = _RETRY) -> None:
        self._asked = True  # what was due is still due, whether or not anything is applied meanwhile
        self._not_before = now + retry
        self._failures += 1
        self._last_trouble = reason
        self._on_event(reason, {"group": self._group, "retry_in_seconds": retry // 1_000_000})

    async def _tidy(self) -> None:
        try:
            await self._let_go()
        except DiskError as problem:
            self._failed(f"old snapshots stay: {problem}", self._around.clock.monotonic())
        finally:
            self._busy = False

    async def free(self) -> None:
        """The disk is full: let go of what is kept for others; where that is nothing, have a snapshot taken."""
        if self._busy or self._compaction is not None:
            return
        self._busy = True
        try:
            await self._tidy()
        finally:
            self._busy = False
        if self._compaction is None:
            self.ask()

    @property
    def _kept(self) -> int:
        """Where a full disk has no space for another snapshot, the older one goes, and the log up to the newest."""
        return 1 if self._around.wal.full and self._in_a_row else KEPT

    async def _let_go(self) -> None:
        """Drop older snapshots; find where the log may begin, and the log time there."""
        kept = self._kept
        now = (
            self._around.clock.monotonic() if kept == KEPT else None
        )  # a full disk has no patience with readers
        await self._around.wal.snapshots.keep_newest(self._group, kept, now=now)
        try:
            index = await self._target()
            if index is None:
                return
            log_time = await self._log_time(index)
        except (Compacted, LogDamaged):
            return
        self._compaction = (index, log_time)
        self._around.kick()

    @property
    def _known(self) -> tuple[Manifest, ...]:
        """Those that the core goes by, or hears of next. One just fetched may be of what is not in the log."""
        newest = max(self._raft.snapshot_index, 0 if self._taken is None else self._taken.index)
        every = self._around.wal.snapshots.all(self._group)
        return tuple(each for each in every if each.meta.last.index <= newest)

    async def _target(self) -> Index | None:
        """The last entry that may go; None when none may."""
        wal, group, keep = self._around.wal, self._group, self._retention
        kept = self._known
        if len(kept) < self._kept:
            return None
        base = wal.recovered(group).base.last.index
        newest, before = kept[-1].meta.last.index, kept[-self._kept].meta.last.index
        if wal.size < keep.most_bytes and not wal.full:
            count = min(keep.keep_entries, wal.within(group, newest, keep.keep_bytes))
            target = newest - count
            if target < before:
                target = await self._aged(max(base, target), before)
            target = min(target, before, self._raft.needed_from - 1)
        else:
            target = before
        return target if target > base else None

    async def _aged(self, low: Index, high: Index) -> Index:
        """Of `low` and the entries after it, up to `high`, the last that is older than what is kept."""
        oldest = self._around.clock.wall() - self._retention.keep_age
        while low < high:
            middle = (low + high + 1) // 2
            if await self._log_time(middle) < oldest:
                low = middle
            else:
                high = middle - 1
        return low

    async def _log_time(self, index: Index) -> Micros:
        (entry,) = await self._around.wal.read(self._group, index, index, max_bytes=1)
        return entry.log_time
