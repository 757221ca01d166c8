"""What a directory's segments hold, and whether their end is a torn tail or damage.

The chain of batches is followed from the first segment. Where it stops, everything behind is searched, sector by sector
and segment by segment, for batches of this log: the highest `synced_to` among them says how far the log was durable.
A stop below it is damage and nothing is touched. A stop at or above it is the tail of a write that no sync covered.

A mending segment (see `repair`) says where the log before it breaks off: it is followed exactly up to there.

`examine` only reads. `settle` then makes the end of the log what `examine` found: the last batch is written again,
because a batch that can be read may exist in the page cache only (a process that was killed before its sync, or a sync
that failed and left its pages marked clean), and what follows it is overwritten with zeros. Doing it twice changes
nothing.
"""

import struct
from collections.abc import Iterator

import msgspec

from raftlog.core.ids import EntryId, GroupId, Index
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.damage import WHAT_TO_DO, Damage, LogDamaged, StorageRefused
from raftlog.storage.disk import SECTOR, Disk, DiskError
from raftlog.storage.format import (
    BATCH_HEADER,
    BATCH_MAGIC,
    BatchHeader,
    Position,
    SegmentHeader,
    batch_header_at,
    batch_is_whole,
    segment_name,
)
from raftlog.storage.group import Contradiction, GroupLog, Loss, Place
from raftlog.storage.identity import Identity
from raftlog.storage.records import (
    Close,
    EntryRecord,
    FenceRecord,
    HardStateRecord,
    Impairment,
    Mark,
    Point,
    SparseIndex,
    Standing,
    Truncation,
    decode_entry,
    decode_records,
)
from raftlog.storage.segment import Link, Points, chain, sequences


class Examined(msgspec.Struct):
    """A log as it was found: undamaged, its end not yet settled."""

    groups: dict[GroupId, GroupLog]
    first: int
    """Sequence number of the first segment that belongs to the log; one before it has come back from removal."""
    current: SegmentHeader
    """The segment that holds the last batch."""
    last: BatchHeader
    """The last batch."""
    closed: bool
    """The current segment takes no more batches."""
    marked: bool
    """The last batch is a mark or a closing batch: it covers all there is to cover."""
    ahead: list[SegmentHeader]
    """Segments after the current one, without a batch."""
    torn: list[tuple[str, int, int]]
    """File, from and to: bytes of a write that no sync covered."""
    points: Points
    """The sparse index of the current segment so far."""
    broken: frozenset[int]
    """Segments of which only a part counts."""
    sizes: dict[int, int]
    """Bytes of the segments up to the current one, by sequence number."""
    given_up: list[int]
    """Segments that are out of the log since it was mended, and still have their names."""

    @property
    def end(self) -> Position:
        """Where the log ends."""
        return Position(self.current.sequence, self.last.end)


async def examine(disk: Disk, identity: Identity | None = None, *, first: int = 0) -> Examined:
    """Read a log, from the segment `first` on if there are earlier ones. Changes nothing.

    Raises:
        LogDamaged: something that was synced is missing or changed.
        StorageRefused: there is no log, it is another node's or cluster's, or a later version wrote it.
        DiskError: a file cannot be read.
    """
    links = await chain(disk, first=first)
    if not links:
        joined = identity is not None and identity.cluster is not None
        member = f", and its node is a member of a cluster: {WHAT_TO_DO}" if joined else ""
        raise StorageRefused(f"there is no log in this directory{member}")
    for link in links:
        check_owner(link.header, links[-1].header, identity)
    reader = Reader(links)
    for link in links:
        header, end = link.header, link.end
        content = await disk.read(header.name, 0, header.size if end is None else end)
        if reader.stopped is None:
            reader.follow(header, content, end)
        else:
            reader.search(header, content, SECTOR)
    return reader.result(await _given_up(disk, links))


async def _given_up(disk: Disk, links: list[Link]) -> list[int]:
    breaks = [(link.header.before, link.header.sequence) for link in links if link.header.mends is not None]
    return [each for each in await sequences(disk) if any(low < each < high for low, high in breaks)]


async def settle(disk: Disk, found: Examined, failpoints: Failpoints = INERT) -> None:
    """Make the end of an examined log durable as it was found. Doing it twice changes nothing.

    Raises:
        DiskError: the disk refused; the log is as it was.
    """
    synced = found.last.synced_to
    start = synced.offset if synced.segment == found.current.sequence else SECTOR
    kept = await disk.read(found.current.name, start, found.last.end - start)
    pieces = [kept, *(bytes(to - at) for name, at, to in found.torn if name == found.current.name)]
    if failpoints.armed:
        await failpoints.hit("recovery.before_rewrite", DiskError)
    await disk.write_and_sync(found.current.name, start, pieces)
    for name, at, to in found.torn:
        if name != found.current.name:
            if failpoints.armed:
                await failpoints.hit("recovery.before_zeros", DiskError)
            await disk.write_and_sync(name, at, [bytes(to - at)])


def check_owner(header: SegmentHeader, newest: SegmentHeader, identity: Identity | None) -> None:
    """Refuse a segment of another node or cluster. Raises StorageRefused."""
    node, cluster = (identity.node, identity.cluster) if identity else (newest.node, newest.cluster)
    if header.node != node:
        raise StorageRefused(
            f"{header.name} belongs to node {header.node:016x}, this directory to node {node:016x}"
        )
    if header.cluster != cluster:
        ours = "no cluster yet" if cluster is None else f"cluster {cluster:016x}"
        raise StorageRefused(
            f"{header.name} belongs to cluster {header.cluster:016x}, this directory to {ours}"
        )


def batches(content: bytes, header: SegmentHeader, start: int = SECTOR) -> Iterator[BatchHeader]:
    """The whole batches of a segment from `start` on, up to the first place where none begins."""
    at = start
    while (batch := batch_header_at(content, at, header.id)) is not None and batch_is_whole(content, batch):
        yield batch
        at = batch.end


def search(content: bytes, header: SegmentHeader, start: int) -> Iterator[BatchHeader]:
    """Every valid batch header of a segment at or after `start`, whatever lies between. Their records may be bad."""
    at = start
    while (at := content.find(BATCH_MAGIC, at)) >= 0:
        if at % SECTOR == 0 and (batch := batch_header_at(content, at, header.id)) is not None:
            yield batch
        at += 1


class Reader:
    """Follows the chain of batches through the segments, then searches what lies behind its end."""

    def __init__(self, links: list[Link]) -> None:
        self._links = links
        self.groups: dict[GroupId, GroupLog] = {}
        self._current = links[0].header
        self._last: BatchHeader | None = None
        self._closed = False
        self._marked = False
        self._points = Points(self._current.size)
        self._synced = Position(0, 0)
        self._torn: list[tuple[str, int, int]] = []
        self._later: dict[GroupId, Index] = {}
        self.stopped: Position | None = None
        """Where no batch begins; None while the segments read so far are closed, or break off."""

    def follow(self, header: SegmentHeader, content: bytes, end: int | None = None) -> None:
        """Replay the batches of the next segment, exactly up to `end` if it is given; remember where they stop.

        Raises:
            LogDamaged: a batch is whole and cannot follow what came before; or they stop before `end`.
        """
        at = SECTOR
        for batch in batches(content, header):
            if batch.offset == SECTOR:
                self._begin(header)
            self._replay(header, content, batch)
            at = batch.end
        if header.mends is not None and at == SECTOR != end:
            raise LogDamaged(Damage(header.name, SECTOR, "its first batch is unreadable", "every group"))
        if end is not None and at < end:
            reason = f"no batch begins here, and the log was found whole up to byte {end} when it was mended"
            raise LogDamaged(Damage(header.name, at, reason, self._affected()))
        if end is not None or (self._closed and self._current is header):
            return  # what follows the end, or the last record of a closed segment, is never read
        self.stopped = Position(header.sequence, at)
        self.search(header, content, at)

    @property
    def end(self) -> Position:
        """Right after the last batch; 0 in segment 0 while there is none."""
        return Position(self._current.sequence, self._last.end) if self._last else Position(0, 0)

    def search(self, header: SegmentHeader, content: bytes, start: int) -> None:
        """Look for proof that the log was durable beyond its end, and for what a torn write left."""
        for batch in search(content, header, start):
            self._synced = max(self._synced, batch.synced_to)
            if batch_is_whole(content, batch):
                self._note_later(content, batch)
        end = len(content.rstrip(b"\0"))
        if end > start:
            self._torn.append((header.name, start, -(-end // SECTOR) * SECTOR))

    def result(self, given_up: list[int]) -> Examined:
        """What was found, beside segments that are out of the log.

        Raises:
            LogDamaged: it is not all that was synced.
        """
        stopped, last = self.stopped, self._last
        if last is None:
            first = self._links[0].header
            reason = (
                "its first batch is unreadable"
                if first.previous == 0
                else "the segments before this one are missing"
            )
            raise LogDamaged(Damage(first.name, SECTOR, reason, "every group"))
        if stopped is not None and stopped < self._synced:
            reason = f"no batch begins here, and the log was durable up to {self._synced}"
            raise LogDamaged(Damage(segment_name(stopped.segment), stopped.offset, reason, self._affected()))
        if stopped is None:
            reason = "this segment was closed, which is done when the next one is there, and there is none"
            raise LogDamaged(Damage(self._current.name, last.offset, reason, self._affected()))
        for group, log in sorted(self.groups.items()):
            if log.absent is not None:
                file = self._links[0].header.name
                reason = "the segments before this one are missing"
                raise LogDamaged(
                    Damage(file, 0, reason, f"group {group}: entries {log.absent[0]} to {log.absent[1]}")
                )
        return Examined(
            groups=self.groups,
            first=self._links[0].header.sequence,
            current=self._current,
            last=last,
            closed=self._closed,
            marked=self._marked,
            ahead=[link.header for link in self._links if link.header.sequence > self._current.sequence],
            torn=self._torn,
            points=self._points,
            broken=frozenset(link.header.sequence for link in self._links if link.end is not None),
            sizes={
                link.header.sequence: link.header.size
                for link in self._links
                if link.header.sequence <= self._current.sequence
            },
            given_up=given_up,
        )

    def _begin(self, header: SegmentHeader) -> None:
        self._current, self._closed = header, False
        self._points = Points(header.size)

    def _replay(self, header: SegmentHeader, content: bytes, batch: BatchHeader) -> None:
        try:
            if self._closed:
                raise Contradiction("a batch follows the last record of the segment")
            if Position(header.sequence, batch.offset) < batch.synced_to:
                raise Contradiction(
                    f"the batch claims that {batch.synced_to}, beyond itself, was synced before it"
                )
            self._replay_records(header, content, batch)
            self._check(batch)
        except (ValueError, Contradiction, struct.error) as error:
            reason = f"the batch is whole but cannot be: {error}"
            raise LogDamaged(Damage(header.name, batch.offset, reason)) from error
        self._last = batch

    def _replay_records(self, header: SegmentHeader, content: bytes, batch: BatchHeader) -> None:
        self._marked = True
        start = batch.offset + BATCH_HEADER
        for record in decode_records(content, start=start, end=batch.end, count=batch.count):
            match record:
                case EntryRecord(entry=entry, offset=offset, length=length):
                    self._log(entry.group).put(entry, Place(header.sequence, offset, length))
                    self._points.note(entry.group, entry.index, entry.term, offset, length)
                    self._marked = False
                case HardStateRecord(group=group, hard_state=hard_state):
                    self._log(group).set_hard_state(hard_state)
                    self._marked = False
                case Truncation(group=group, base=base):
                    self._log(group).truncate(base)
                    self._marked = False
                case Impairment():
                    self._impair(record)
                    self._marked = False
                case FenceRecord(group=group, reason=reason):
                    self._log(group).fenced = reason
                    self._marked = False
                case Standing():
                    self._stand(record, header, first=batch.offset == SECTOR)
                    self._marked = False
                case SparseIndex(group=group, points=points):
                    _check_points(content, group, points)
                case Close():
                    self._closed = True
                case Mark():
                    pass

    def _stand(self, standing: Standing, header: SegmentHeader, *, first: bool) -> None:
        known = self.groups.get(standing.group)
        if known is None:
            known = self.groups[standing.group] = GroupLog(standing)
        elif not first:
            raise Contradiction(f"group {standing.group} is created a second time")
        elif header.mends is not None and standing.last == standing.base.last != known.last:
            known = self.groups[standing.group] = GroupLog(standing)  # nothing at hand was worth keeping
        elif header.mends is not None:
            known.mend(standing)
        elif known.standing() != standing:
            raise Contradiction(
                f"the segment opens with {standing}, the segments before end with {known.standing()}"
            )
        if first:
            known.open_segment(header.sequence)
            known.impairment = ""  # unless this batch says otherwise
            if header.mends is None:
                known.fenced = ""  # the same; a log that is mended stays as it was

    def _impair(self, record: Impairment) -> None:
        log = self._log(record.group)
        if record.base is not None:
            log.give_up(Loss(record.base, record.reason))
        else:
            log.impairment = record.reason

    def _log(self, group: GroupId) -> GroupLog:
        if (log := self.groups.get(group)) is None:
            raise Contradiction(f"a record of group {group}, which does not exist")
        return log

    def _check(self, batch: BatchHeader) -> None:
        if not self.groups:
            raise Contradiction("the log does not begin with the standing of a group")
        for group, log in self.groups.items():
            if log.last.term > log.hard_state.term and log.last != log.base.last:
                raise Contradiction(
                    f"group {group} ends at {log.last} in term {log.hard_state.term}, at {batch.offset}"
                )

    def _note_later(self, content: bytes, batch: BatchHeader) -> None:
        try:
            for record in decode_records(
                content, start=batch.offset + BATCH_HEADER, end=batch.end, count=batch.count
            ):
                if isinstance(record, EntryRecord):
                    entry = record.entry
                    self._later[entry.group] = min(entry.index, self._later.get(entry.group, entry.index))
        except (ValueError, StorageRefused, struct.error):
            return  # only a hint for people is lost

    def _affected(self) -> str:
        ranges = []
        for group, log in sorted(self.groups.items()):
            after = self._later.get(group)
            until = f" to {after - 1}" if after is not None and after > log.last.index + 1 else " on"
            ranges.append(f"group {group}: entries {log.last.index + 1}{until}")
        return ", ".join(ranges)


def _check_points(content: bytes, group: GroupId, points: tuple[Point, ...]) -> None:
    for point in points:
        entry = decode_entry(content, point.offset)
        if (entry.group, entry.id) != (group, EntryId(point.term, point.index)):
            raise Contradiction(f"the sparse index names {point} of group {group}, where {entry.id} lies")
