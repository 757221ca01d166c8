"""The write-ahead log: appends for many groups in one synced write each, and reads of single entries."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Final, Literal, TypeAlias

import msgspec

from raftlog.clock import SystemClock
from raftlog.core.durable import HardState, Recovered, SnapshotMeta
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import META_GROUP, NOTHING, ClusterId, GroupId, Index
from raftlog.core.membership import Membership, MembershipAt
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.ahead import Ahead
from raftlog.storage.batch import Body, encode_writes
from raftlog.storage.damage import Damage, LogDamaged, StorageRefused
from raftlog.storage.disk import SECTOR, Disk, DiskError, DiskFull
from raftlog.storage.format import (
    BATCH_HEADER,
    MAX_SEGMENT,
    Position,
    SegmentHeader,
    batch_length,
    padded,
    seal_batch,
    segment_name,
    segment_sequence,
)
from raftlog.storage.group import GroupWrite, Loss, Stretch, objection, record_length
from raftlog.storage.identity import Identity, initialised, save
from raftlog.storage.reading import Reading
from raftlog.storage.records import (
    MARK,
    Impairment,
    Standing,
    encode_fence,
    encode_impairment,
    encode_standing,
)
from raftlog.storage.recovery import Examined, examine, settle
from raftlog.storage.repair import alone, mend, set_aside
from raftlog.storage.repair import plan as plan_repair
from raftlog.storage.restored import Restored, adopt, load_restored
from raftlog.storage.segment import Points, prepare, remove_unfinished
from raftlog.storage.snapshots import PART_SIZE, Manifest, Snapshots
from raftlog.storage.states import check_newest, newest_state, uncovered

SEGMENT_SIZE: Final = 16 << 20
"""Bytes of a segment, unless one batch needs more."""

MIN_SEGMENT: Final = 8 * SECTOR
_entropy = SystemClock().entropy
_KEPT: Final = 64 << 10

_Kind: TypeAlias = Literal["append", "truncate", "seal", "roll", "mark"]
"""What a batch is there for."""


class Wal:
    """The log of every group of this node.

    One task appends; reads may run beside it. What an `append` wrote is visible to `read` and `recovered` once it
    returned, never earlier. After a failed write or sync the log takes nothing more: reopen it, recovery decides.

    Invariants:
    - `_synced`, the position every batch carries, is never beyond what a completed sync covers;
    - a batch is written to one segment, after everything before it was synced;
    - the closing batch of a segment always has room in it.
    """

    def __init__(
        self,
        disk: Disk,
        identity: Identity,
        found: Examined,
        snapshots: Snapshots,
        *,
        segment_size: int,
        entropy: Callable[[], int],
        failpoints: Failpoints,
    ) -> None:
        self._disk = disk
        self._failpoints = failpoints
        self._identity = identity
        self._groups = found.groups
        self._first = found.first
        self._broken = found.broken
        self._sizes = found.sizes
        self.snapshots = snapshots
        """The durable snapshots of this directory; whoever takes or fetches one puts it here."""
        self._current = found.current
        self._closed = found.closed
        self._marked = found.marked
        self._ahead = Ahead(disk, found.ahead, size=segment_size, entropy=entropy, failpoints=failpoints)
        self._points = found.points
        self._synced = found.end
        self._writing = False
        self._failed: BaseException | None = None
        self._reading = Reading(disk, failpoints)
        self._damage: list[Damage] = []

    # ------------------------------------------------------------------------------------------- opening

    @classmethod
    async def bootstrap(
        cls,
        disk: Disk,
        *,
        identity: Identity,
        cluster_id: ClusterId,
        groups: Mapping[GroupId, Membership],
        restored: Restored | None = None,
        segment_size: int = SEGMENT_SIZE,
        entropy: Callable[[], int] = _entropy,
        failpoints: Failpoints = INERT,
    ) -> Identity:
        """Turn a waiting directory into a member's, in one step: a crash leaves it waiting or initialised.

        Each log begins empty or, with `restored`, after the state there is of its group. A directory that holds a
        restored state is refused unless that is given: a member that joins others must not bring a state of its own.

        Raises:
            StorageRefused: it is initialised already; or its restored state is not the one given, not whole, or of this
                very cluster.
            LogDamaged: what says which state was restored is unreadable.
            DiskError: the disk refused; the directory waits as before.
        """
        assert cluster_id != 0, "0 on disk means a node that waits"
        if identity.cluster is not None or await initialised(disk):
            raise StorageRefused(f"node {identity.node:016x} is initialised already; nothing was changed")
        await remove_unfinished(disk, failpoints)
        bases = {group: SnapshotMeta(NOTHING, MembershipAt(0, each)) for group, each in groups.items()}
        if await load_restored(disk) != restored:
            raise StorageRefused(
                f"node {identity.node:016x} holds a state that was restored to begin a new cluster with: it cannot "
                "become a member otherwise; empty its directory first"
            )
        if restored is not None:
            bases |= await adopt(disk, restored, cluster_id, groups[META_GROUP], failpoints)
        body = Body()
        for group, base in sorted(bases.items()):
            last = base.last
            body.add(encode_standing(Standing(group, HardState(last.term, None, last.index), base)))
        needed = SECTOR + batch_length(body.length) + Points(segment_size).closing_room(len(bases))
        size = max(segment_size, MIN_SEGMENT, padded(needed))
        header = SegmentHeader(entropy(), 1, 0, size, cluster_id, identity.node)
        start = Position(1, SECTOR)
        batch = seal_batch(
            segment_id=header.id, offset=SECTOR, synced_to=start, count=body.count, pieces=body.pieces
        )
        await prepare(disk, header, batch, purpose="bootstrap", failpoints=failpoints)
        if failpoints.armed:
            await failpoints.hit("bootstrap.before_identity", DiskError)
        member = Identity(identity.node, cluster_id, identity.machine)
        await save(disk, member, failpoints)
        if failpoints.armed:
            await failpoints.hit("bootstrap.before_answer", DiskError)
        return member

    @classmethod
    async def open(
        cls,
        disk: Disk,
        *,
        identity: Identity,
        segment_size: int = SEGMENT_SIZE,
        entropy: Callable[[], int] = _entropy,
        failpoints: Failpoints = INERT,
        part_size: int = PART_SIZE,
        repair: bool = False,
    ) -> "Wal":
        """Recover the log: cut a torn tail, refuse damage or mend it.

        Args:
            disk: the node's directory; stays the caller's, to be closed after the log.
            identity: what `load_or_create` returned.
            segment_size: bytes of segments yet to be made.
            entropy: a random u64, never 0, per call: the ids of new segments.
            failpoints: of this process start.
            part_size: bytes of a part of the snapshots yet to be taken.
            repair: go on after damage where that is safe, with what is left and impaired (see `repair`); what was set
                aside is in `damage`.

        Raises:
            LogDamaged: something that was synced is missing or changed; names file, offset and reason. With `repair`:
                and going on without it is not safe.
            StorageRefused: there is no log, or it is not this node's.
            DiskError: the disk refused.
        """
        assert MIN_SEGMENT <= segment_size < MAX_SEGMENT, f"a segment cannot have {segment_size} bytes"
        await remove_unfinished(disk, failpoints)
        if failpoints.armed:
            await failpoints.hit("recovery.before_read", DiskError)
        damage: list[Damage] = []
        try:
            found = await examine(disk, identity)
        except LogDamaged as damaged:
            if not repair:
                raise
            plan = await plan_repair(disk, identity, damaged)
            await mend(disk, plan, segment_size=segment_size, entropy=entropy, failpoints=failpoints)
            damage.append(plan.damage)
            found = await examine(disk, identity)
        await set_aside(disk, found.given_up, failpoints)
        assert identity.cluster is not None, "a log belongs to a member of a cluster"
        snapshots = await Snapshots.open(
            disk, identity.cluster, entropy=entropy, part_size=part_size, failpoints=failpoints
        )
        for group, log in sorted(found.groups.items()):
            await check_newest(log, snapshots)
            if (reason := uncovered(log, snapshots)) is not None:
                if not repair or alone(identity.node, group, log.membership):
                    raise StorageRefused(f"group {group} {reason}: put it back, or go on without this node")
                damage.append(Damage("snapshots", 0, reason, f"group {group}"))
        await settle(disk, found, failpoints)
        if failpoints.armed:
            await failpoints.hit("recovery.before_answer", DiskError)
        wal = cls(
            disk,
            identity,
            found,
            snapshots,
            segment_size=segment_size,
            entropy=entropy,
            failpoints=failpoints,
        )
        wal._damage += damage
        await wal._give_up_what_lacks_its_state()
        await wal._finish_installations()
        await wal.purge()
        wal._ahead.begin(wal._current)  # last: `close` sees to its end, and nobody closes what was not opened
        return wal

    async def _give_up_what_lacks_its_state(self) -> None:
        """Begin anew, impaired, after the newest state there is, where that is behind the base."""
        losses = [
            GroupWrite(group, loss=Loss(newest_state(log, self.snapshots), reason))
            for group, log in sorted(self._groups.items())
            if (reason := uncovered(log, self.snapshots)) is not None
        ]
        await self.append(losses)

    async def snapshot_damaged(self, manifest: Manifest) -> Recovered:
        """Set a snapshot aside that turned out damaged when it was read; what to start its group from instead.

        An older snapshot, if the log reaches back to it; no snapshot, if the log begins at its beginning. Otherwise the
        log is given up as a whole, and the group begins impaired after the newest state there is, perhaps none: a
        leader will offer its own. Term and vote stay. To be called before the group's core is made; what was already
        started from this snapshot has its state and takes a new one instead (`Snapshots.quarantine`).

        Raises:
            StorageRefused: the group has no other voter, who could tell this node what is lost.
            DiskError: the disk refused.
        """
        await self.snapshots.quarantine(manifest)
        log = self._groups[manifest.group]
        if (reason := uncovered(log, self.snapshots)) is not None:
            if nobody := alone(self._identity.node, log.group, log.membership):
                raise StorageRefused(f"group {log.group} {reason}: put it back ({nobody})")
            await self._give_up_what_lacks_its_state()
        return self.recovered(manifest.group)

    async def _finish_installations(self) -> None:
        """Let the log begin after a snapshot that reaches beyond it.

        It was fetched, is durable and stands for what is decided; the crash came before the log said so.
        """
        newest = {group: self.snapshots.newest(group) for group in self.groups()}
        await self.append(
            [
                GroupWrite(group, base=snapshot.meta)
                for group, snapshot in newest.items()
                if snapshot is not None and not self._groups[group].reaches(snapshot.meta.last)
            ]
        )

    # -------------------------------------------------------------------------------------------- asking

    def groups(self) -> tuple[GroupId, ...]:
        """Every group, sorted."""
        return tuple(sorted(self._groups))

    def recovered(self, group: GroupId) -> Recovered:
        """What the core starts from; after appends, what it would start from now."""
        found, snapshot = self._groups[group].recovered(), self.snapshots.newest(group)
        if snapshot is None:
            return found
        return msgspec.structs.replace(found, snapshot=snapshot.meta.last)

    def count(self, group: GroupId) -> int:
        """How many entries of a group the log holds."""
        return self._groups[group].count

    def within(self, group: GroupId, last: Index, size: int) -> int:
        """How many entries up to `last` fit into `size` bytes on disk."""
        return self._groups[group].within(last, size)

    @property
    def size(self) -> int:
        """Bytes of all segments up to the end of the log."""
        return sum(size for sequence, size in self._sizes.items() if sequence != self._current.sequence) + (
            self._synced.offset
        )

    @property
    def pinning(self) -> tuple[GroupId, ...]:
        """The groups for whose sake the oldest segment stays; a base at its end lets an idle one let go."""
        oldest = {group: max(log.beginnings, default=self._first) for group, log in self._groups.items()}
        return tuple(sorted(group for group, first in oldest.items() if first == min(oldest.values())))

    @property
    def full(self) -> bool:
        """No space for the next segment. The current one still takes writes; `make_room` tries again."""
        return self._ahead.refused is not None

    @property
    def refusal(self) -> DiskError | None:
        """Why there is none, while `full`."""
        return self._ahead.refused

    @property
    def room(self) -> int:
        """Bytes of commands that the current segment still takes, while `full`."""
        if self._closed:
            return 0
        started = self._synced.segment == self._current.sequence
        used = self._synced.offset if started else SECTOR
        left = self._current.size - used - self._points.closing_room(len(self._groups)) - self._kept
        return max(0, left)

    @property
    def _kept(self) -> int:
        return min(_KEPT, self._current.size // 8)

    def ahead_of_entries(self, writes: Sequence[GroupWrite]) -> list[GroupWrite]:
        """What of these writes can be recorded before their entries: the newest term and vote, and a base in this log.

        The commit hint goes as far as this log does.
        """
        found = []
        for group in sorted({write.group for write in writes}):
            log = self._groups[group]
            ours = [write for write in writes if write.group == group]
            states = [write.hard_state for write in ours if write.hard_state is not None]
            newest = reduce(HardState.newest, states, log.hard_state)
            known = (newest.term, newest.vote) == (log.hard_state.term, log.hard_state.vote)
            state = HardState(newest.term, newest.vote, min(newest.commit, log.last.index))
            bases = [write.base for write in ours if write.base is not None]
            base = max(filter(log.may_begin_after, bases), key=lambda each: each.last, default=None)
            if not known or base is not None:
                found.append(GroupWrite(group, None if known else state, base=base))
        return found

    def without_past_base(self, write: GroupWrite) -> GroupWrite:
        """The same write without a base that the log already begins at or after."""
        if write.base is None or write.base.last.index > self._groups[write.group].base.last.index:
            return write
        return msgspec.structs.replace(write, base=None)

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What was found damaged since the log was opened: set aside then, or met by reads since."""
        return (*self._damage, *self._reading.damage, *self.snapshots.damage)

    def impairment(self, group: GroupId) -> str:
        """Why entries of a group that may have been acknowledged are not here; empty: they are."""
        return self._groups[group].impairment

    @property
    def end(self) -> Position:
        """Where the next batch begins, unless it needs a new segment. Everything before it is durable."""
        return self._synced

    async def read(self, group: GroupId, first: Index, last: Index, *, max_bytes: int) -> tuple[Entry, ...]:
        """Entries `first` to `last`, or as many of them as `max_bytes` (by `Entry.size`) allows; at least one.

        Raises:
            Compacted: `first` is at or below the base.
            LogDamaged: the bytes are not the entries that were written; the hole is in `damage` from now on.
            DiskError: the device refused.
        """
        return await self._reading.read(self._groups[group], first, last, max_bytes)

    def stretches(self, group: GroupId, first: Index, last: Index) -> tuple[Stretch, ...]:
        """Where entries `first` to `last` lie on disk, for another process to read; see `Stretch`.

        They stay there while the log does not begin later.

        Raises:
            Compacted: `first` is at or below the base.
        """
        return self._groups[group].stretches(first, last)

    # ----------------------------------------------------------------------------------------- appending

    async def append(self, writes: Sequence[GroupWrite]) -> None:
        """Make the writes durable, all of them in one step and, unless a segment ends, with one sync.

        Writes of one group count in their order.

        Raises:
            DiskFull: they need a new segment and there is no space. Nothing was written; the log goes on as it was.
            DiskError: the write or its sync failed. It may or may not have happened; the log takes nothing more.
        """
        assert not self._writing, "two tasks append at once"
        self._admit(writes)
        body, offsets = encode_writes(writes)
        if body.count == 0:
            return
        kind: _Kind = "append" if all(write.base is None for write in writes) else "truncate"
        start, segment = await self._commit(body, kind, keeps_room=_has_commands(writes), groups=len(writes))
        self._remember(writes, [start + offset for offset in offsets], segment)
        self._marked = False

    async def mark(self) -> None:
        """Cover the last batch with one that says it was synced: damage to it is then no torn tail.

        For quiet moments (after 100 ms without a write); does nothing when there is nothing to cover or no room.

        Raises:
            DiskError: the write or its sync failed; the log takes nothing more.
        """
        assert not self._writing, "a mark while another task appends"
        if self._marked:
            return
        body = Body()
        body.add(MARK)
        try:
            await self._commit(body, "mark", keeps_room=True, groups=0)
        except DiskFull:
            return
        self._marked = True

    async def purge(self) -> int:
        """Remove the segments that no group needs any more; how many. May run beside an append, not beside itself.

        One with damage in it is set aside instead.

        The last of them goes first, and for good before any other: whatever a crash then brings back lies before a
        gap and is ignored. Were it the other way round, one that came back alone would adjoin those that stayed, and
        the log would seem to begin with it although it cannot: entries that it speaks of may have been replaced since.

        Raises:
            DiskError: the disk refused; what could not be removed is tried again at the next start.
        """
        needed = self._needed()
        self._first = max(self._first, needed)
        self._sizes = {sequence: size for sequence, size in self._sizes.items() if sequence >= needed}
        for log in self._groups.values():
            log.forget_segments_before(needed)
        there = [segment_sequence(name) for name in await self._disk.names()]
        stale = sorted(sequence for sequence in there if sequence is not None and sequence < needed)
        for part in (stale[-1:], stale[:-1]):
            await set_aside(self._disk, [each for each in part if each in self._broken], self._failpoints)
            await self._remove([each for each in part if each not in self._broken])
        return len(stale)

    async def _remove(self, stale: Sequence[int]) -> None:
        for sequence in stale:
            if self._failpoints.armed:
                await self._failpoints.hit("purge.before_remove", DiskError)
            await self._disk.remove(segment_name(sequence))
        if stale:
            if self._failpoints.armed:
                await self._failpoints.hit("purge.before_names_sync", DiskError)
            await self._disk.sync_names()

    def _needed(self) -> int:
        """The newest segment that every group could begin with."""
        beginnings = frozenset.intersection(*(log.beginnings for log in self._groups.values()))
        return max(beginnings, default=self._first)

    async def make_room(self) -> bool:
        """While `full`: try again to allocate the next segment. Whether there is one now. May run beside an append."""
        await self._ahead.settled()
        await self._ahead.attempt(self._current)
        return self._ahead.ready

    async def close(self) -> None:
        """Mark the end and stop. The disk stays open: it is the caller's."""
        assert not self._writing, "closed while a task appends"
        try:
            if self._failpoints.armed:
                await self._failpoints.hit("wal.shutdown.before_mark", DiskError)
            if self._failed is None:
                await self.mark()
            if self._failpoints.armed:
                await self._failpoints.hit("wal.shutdown.after_mark", DiskError)
        finally:
            self._failed = self._failed or DiskError("the log is closed")
            await self._ahead.settled()

    def _admit(self, writes: Sequence[GroupWrite]) -> None:
        by_group: dict[GroupId, list[GroupWrite]] = {}
        for write in writes:
            by_group.setdefault(write.group, []).append(write)
        for group, ours in by_group.items():
            assert group in self._groups, f"group {group} was never created here"
            newest = self.snapshots.newest(group)
            for write in ours:
                assert write.base is None or (newest and newest.meta.last.index >= write.base.last.index), (
                    f"group {group} would begin after {write.base}, and the newest snapshot is {newest}"
                )
            reason = objection(self._groups[group], ours)
            assert reason is None, f"group {group}: {reason}"

    def _remember(self, writes: Sequence[GroupWrite], offsets: Sequence[int], segment: int) -> None:
        start = 0
        for write in writes:
            log = self._groups[write.group]
            if write.loss is not None:
                log.give_up(write.loss)
            if write.base is not None:
                log.truncate(write.base)
            if entries := write.entries:
                ours = offsets[start : start + len(entries)]
                log.put_all(entries, segment, ours)
                span = ours[-1] + record_length(entries[-1]) - ours[0]
                self._points.note(write.group, entries[0].index, entries[0].term, ours[0], span)
                start += len(entries)
            if write.hard_state is not None:
                log.set_hard_state(write.hard_state)
            if write.healed:
                log.impairment = ""
            if write.fenced is not None:
                log.fenced = write.fenced

    async def _commit(self, body: Body, kind: _Kind, *, keeps_room: bool, groups: int) -> tuple[int, int]:
        """Write and sync a batch: where in its segment its own records start, and the segment's number."""
        if self._failed is not None:
            raise DiskError(
                f"the log takes no more writes since: {self._failed}; reopen it"
            ) from self._failed
        self._writing = True
        try:
            if not self._fits(body, keeps_room=keeps_room, groups=groups):
                return await self._commit_to_next(body, groups)
            start = self._synced.offset
            await self._write(body, kind)
            return start + BATCH_HEADER, self._current.sequence
        finally:
            self._writing = False

    def _fits(self, body: Body, *, keeps_room: bool, groups: int) -> bool:
        if self._closed:
            return False
        # While no segment is ahead, the last room is for terms, votes and membership: without them a node must fall
        # silent. Commands leave it free.
        kept = self._kept if keeps_room and not self._ahead.ready else 0
        room = self._current.size - self._synced.offset - self._points.closing_room(groups) - kept
        return batch_length(body.length) <= room

    async def _commit_to_next(self, body: Body, groups: int) -> tuple[int, int]:
        opening = Body()
        for _, log in sorted(self._groups.items()):
            opening.add(encode_standing(log.standing()))
            if log.impairment:
                opening.add(encode_impairment(Impairment(log.group, log.impairment)))
            if log.fenced:
                opening.add(encode_fence(log.group, log.fenced))
        own = opening.join(body)
        whole = SECTOR + batch_length(opening.length)
        if self._failpoints.armed:
            await self._failpoints.hit("wal.roll.before_segment", DiskFull)
        await self._ahead.ensure(self._current, whole + Points(whole).closing_room(groups))
        if not self._closed:
            await self._close_segment()
        self._begin_next()
        await self._write(opening, "roll")
        for log in self._groups.values():
            log.open_segment(self._current.sequence)
        self._ahead.begin(self._current)
        return SECTOR + BATCH_HEADER + own, self._current.sequence

    async def _close_segment(self) -> None:
        closing = Body()
        count, records = self._points.closing()
        closing.add(*records)
        closing.count = count
        assert self._synced.offset + batch_length(closing.length) <= self._current.size, (
            "no room was left to close"
        )
        await self._write(closing, "seal")
        self._closed = True

    def _begin_next(self) -> None:
        self._current = self._ahead.take()
        self._sizes[self._current.sequence] = self._current.size
        self._points = Points(self._current.size)
        self._closed = False

    async def _write(self, body: Body, kind: _Kind) -> None:
        """Write and sync one batch at the end of the current segment. Only here does the log grow."""
        synced = self._synced
        offset = synced.offset if synced.segment == self._current.sequence else SECTOR
        pieces = seal_batch(
            segment_id=self._current.id, offset=offset, synced_to=synced, count=body.count, pieces=body.pieces
        )
        end = offset + batch_length(body.length)
        assert end <= self._current.size, f"a batch would end at {end}, the segment at {self._current.size}"
        try:
            if self._failpoints.armed:
                await self._write_watched(kind, offset, pieces)
            else:
                await self._disk.write_and_sync(self._current.name, offset, pieces)
        except BaseException as error:  # a cancelled write, too, may or may not have happened
            self._failed = error
            raise
        self._synced = Position(self._current.sequence, end)

    async def _write_watched(self, kind: _Kind, offset: int, pieces: Sequence[bytes]) -> None:
        """The same write, past its failpoints. It is done in two steps only if a rule asks for what lies between."""
        points, name = self._failpoints, self._current.name
        await points.hit(f"wal.{kind}.before_write", DiskError)
        if points.has_rule(between := f"wal.{kind}.before_sync"):
            await self._disk.write(name, offset, pieces)
            await points.hit(between, DiskError)
            await self._disk.sync(name)
        else:
            await self._disk.write_and_sync(name, offset, pieces)
        await points.hit(f"wal.{kind}.after_sync", DiskError)


def _has_commands(writes: Sequence[GroupWrite]) -> bool:
    return any(entry.kind == EntryKind.COMMANDS for write in writes for entry in write.entries)


__all__ = ["SEGMENT_SIZE", "GroupWrite", "Wal"]
