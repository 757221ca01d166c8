"""Looking at a stopped node's log and snapshots without changing them: every record in order, and a verdict."""

import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TypeAlias

import msgspec

from raftlog.core.ids import NOTHING, EntryId, GroupId
from raftlog.storage.damage import BAD, Damage, LogDamaged, StorageRefused
from raftlog.storage.disk import SECTOR, Disk
from raftlog.storage.format import (
    BATCH_HEADER,
    BatchHeader,
    Position,
    SegmentHeader,
    batch_header_at,
    batch_is_whole,
    decode_segment_header,
    segment_sequence,
)
from raftlog.storage.identity import Identity, load
from raftlog.storage.records import EntryRecord, Record, decode_records
from raftlog.storage.recovery import Examined, examine, search
from raftlog.storage.repair import plan
from raftlog.storage.segment import sequences
from raftlog.storage.snapshots import Manifest, Snapshots
from raftlog.storage.snapshots.files import read_manifest
from raftlog.storage.snapshots.manifest import decode, is_manifest


class SegmentRow(msgspec.Struct, frozen=True, tag="segment"):
    """A segment begins."""

    file: str
    header: SegmentHeader


class BatchRow(msgspec.Struct, frozen=True, tag="batch"):
    """A whole batch, read one after the other or found behind unreadable bytes."""

    file: str
    batch: BatchHeader
    records: tuple[Record, ...]


class UnreadableRow(msgspec.Struct, frozen=True, tag="unreadable"):
    """Bytes that are not the log's: a torn tail or damage (`verify` tells which)."""

    file: str
    offset: int
    length: int
    reason: str


class SnapshotRow(msgspec.Struct, frozen=True, tag="snapshot"):
    """A snapshot, by its manifest; whether its parts can be read is for `verify` to say."""

    file: str
    manifest: Manifest


Row: TypeAlias = SegmentRow | BatchRow | UnreadableRow | SnapshotRow


class GroupReport(msgspec.Struct, frozen=True):
    """What an undamaged log holds of one group."""

    group: GroupId
    term: int
    vote: int | None
    commit: int
    first: int
    last: int
    base: EntryId
    """What the log begins after."""
    impairment: str
    """Why acknowledged entries are missing, of which other nodes have yet to tell; empty: none are."""
    fenced: str = ""
    """Why the group's state is shown to nobody; empty: it may be."""


class SnapshotReport(msgspec.Struct, frozen=True):
    """A snapshot and whether all of it can be read."""

    file: str
    group: GroupId
    at: EntryId
    bytes: int
    parts: int
    problem: str
    """Empty: it is whole."""


class Report(msgspec.Struct, frozen=True):
    """The verdict on a log. Sound: `problems` is empty."""

    identity: Identity | None
    segments: int
    end: Position | None
    """Where an undamaged log ends."""
    groups: tuple[GroupReport, ...]
    torn: tuple[Damage, ...]
    """Tails of writes that no sync covered: the next start cuts them, nothing acknowledged is in them."""
    problems: tuple[str, ...]
    """Each one a sentence that names file, offset and reason of something that was synced and cannot be read."""
    snapshots: tuple[SnapshotReport, ...] = ()
    aside: tuple[str, ...] = ()
    """Files that earlier starts found damaged or out of the log; for people, and theirs to remove."""
    way: str = ""
    """How a start would go on from a damaged log, or why it must not; empty: the log is not damaged."""

    @property
    def sound(self) -> bool:
        """Whether everything that was synced can be read."""
        return not self.problems


async def dump(disk: Disk) -> AsyncIterator[Row]:
    """Everything that can be read, in order, of a damaged log as well. Only reads.

    Raises:
        DiskError: a file cannot be read at all.
    """
    for name in await disk.names():
        if is_manifest(name):
            yield await _snapshot_row(disk, name)
        if segment_sequence(name) is None:
            continue
        content = await disk.read(name, 0, await disk.size(name))
        try:
            header = decode_segment_header(content[:SECTOR], name, len(content))
        except LogDamaged as error:
            yield UnreadableRow(name, error.damage.offset, len(content), error.damage.reason)
        except StorageRefused as error:
            yield UnreadableRow(name, 0, len(content), str(error))
        else:
            yield SegmentRow(name, header)
            for row in _rows(content, header):
                yield row


async def _snapshot_row(disk: Disk, name: str) -> SnapshotRow | UnreadableRow:
    content = await disk.read(name, 0, await disk.size(name))
    try:
        return SnapshotRow(name, decode(content, name))
    except LogDamaged as error:
        return UnreadableRow(name, error.damage.offset, len(content), error.damage.reason)
    except StorageRefused as error:
        return UnreadableRow(name, 0, len(content), str(error))


async def verify(disk: Disk) -> Report:
    """Read the whole log, each entry's own checksum included, and every snapshot.

    Only reads; damage is reported, never raised.

    Raises:
        DiskError: a file cannot be read at all.
    """
    problems: list[str] = []
    identity: Identity | None = None
    found: Examined | None = None
    way = ""
    try:
        identity = await load(disk)
        # A node stopped between its first segment and its identity file finishes that at its next start.
        if identity is None or identity.cluster is not None or await sequences(disk):
            found = await examine(disk, identity if identity and identity.cluster else None)
    except LogDamaged as error:
        problems.append(str(error.damage))
        way = await _way_on(disk, identity, error)
    except StorageRefused as error:
        problems.append(str(error))
    names = await disk.names()
    snapshots = tuple([await _snapshot_report(disk, name) for name in names if is_manifest(name)])
    problems += [f"{each.file}: {each.problem}" for each in snapshots if each.problem]
    problems += _states_missing(found, snapshots)
    problems += [problem async for problem in _bad_entries(disk)]
    segments = sum(segment_sequence(name) is not None for name in names)
    aside = tuple(name for name in names if BAD in name)
    if identity is None and segments and not problems:
        problems.append("there is a log but no identity file: put it back, or go on without this node")
    if found is None:
        return Report(identity, segments, None, (), (), tuple(problems), snapshots, aside, way)
    torn = tuple(Damage(name, at, f"{to - at} bytes of an unsynced write") for name, at, to in found.torn)
    groups = _group_reports(found)
    return Report(identity, segments, found.end, groups, torn, tuple(problems), snapshots, aside, way)


async def _way_on(disk: Disk, identity: Identity | None, damaged: LogDamaged) -> str:
    if identity is None or identity.cluster is None:
        return ""
    try:
        return str(await plan(disk, identity, damaged))
    except (LogDamaged, StorageRefused) as error:
        return str(error)


async def _snapshot_report(disk: Disk, name: str) -> SnapshotReport:
    problem = ""
    try:
        manifest = decode(await disk.read(name, 0, await disk.size(name)), name)
    except (LogDamaged, StorageRefused) as error:
        reason = error.damage.reason if isinstance(error, LogDamaged) else str(error)
        return SnapshotReport(name, GroupId(0), NOTHING, 0, 0, reason)
    try:
        await read_manifest(disk, manifest.cluster, name)
        reader = Snapshots(disk, manifest.cluster, entropy=lambda: 0, part_size=1)
        await reader.verify(manifest)
    except LogDamaged as error:
        problem = f"{error.damage.file}: {error.damage.reason}"
    return SnapshotReport(
        name, manifest.group, manifest.meta.last, manifest.size, len(manifest.parts), problem
    )


def _states_missing(found: Examined | None, snapshots: Sequence[SnapshotReport]) -> Iterator[str]:
    for group, log in sorted(found.groups.items() if found is not None else ()):
        states = [each.at.index for each in snapshots if each.group == group and not each.problem]
        if log.base.last != NOTHING and log.base.last.index > max(states, default=0):
            yield f"group {group} begins after a snapshot at {log.base.last}, and there is no such snapshot here"


def _group_reports(found: Examined) -> tuple[GroupReport, ...]:
    return tuple(
        GroupReport(
            group=group,
            term=log.hard_state.term,
            vote=log.hard_state.vote,
            commit=log.hard_state.commit,
            first=log.base.last.index + 1,
            last=log.last.index,
            base=log.base.last,
            impairment=log.impairment,
            fenced=log.fenced,
        )
        for group, log in sorted(found.groups.items())
    )


async def _bad_entries(disk: Disk) -> AsyncIterator[str]:
    """Entries inside sound batches that do not fit their own checksum: they were wrong before they were written."""
    async for row in dump(disk):
        if isinstance(row, BatchRow):
            for record in row.records:
                if isinstance(record, EntryRecord) and not record.entry.intact():
                    entry = record.entry
                    reason = f"group {entry.group}: entry {entry.id} does not fit its own checksum"
                    yield str(Damage(row.file, record.offset, reason))


def _rows(content: bytes, header: SegmentHeader) -> list[Row]:
    rows: list[Row] = []
    at = SECTOR
    while at < len(content):
        batch = batch_header_at(content, at, header.id)
        if batch is not None and batch_is_whole(content, batch):
            rows.append(_batch_row(content, header, batch))
            at = batch.end
            continue
        after = next((found.offset for found in search(content, header, at + SECTOR)), len(content))
        used = len(content[at:after].rstrip(b"\0"))
        if used or after < len(content):
            reason = "no batch begins here" if batch is None else "the batch does not fit its checksum"
            rows.append(UnreadableRow(header.name, at, after - at if after < len(content) else used, reason))
        at = after
    return rows


def _batch_row(content: bytes, header: SegmentHeader, batch: BatchHeader) -> Row:
    start = batch.offset + BATCH_HEADER
    try:
        records = tuple(decode_records(content, start=start, end=batch.end, count=batch.count))
    except (ValueError, StorageRefused, struct.error) as error:
        return UnreadableRow(header.name, batch.offset, batch.length, str(error))
    return BatchRow(header.name, batch, records)
