"""Looking at a stopped node's log without changing it: every record in order, and a verdict on the whole."""

import struct
from collections.abc import AsyncIterator
from typing import TypeAlias

import msgspec

from raftlog.core.ids import GroupId
from raftlog.storage.damage import Damage, LogDamaged, StorageRefused
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
from raftlog.storage.segment import sequences


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


Row: TypeAlias = SegmentRow | BatchRow | UnreadableRow


class GroupReport(msgspec.Struct, frozen=True):
    """What an undamaged log holds of one group."""

    group: GroupId
    term: int
    vote: int | None
    commit: int
    first: int
    last: int


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
    """Each one a sentence that names file, offset and reason; with any of them the node does not start."""

    @property
    def sound(self) -> bool:
        """Whether the node would start from this log."""
        return not self.problems


async def dump(disk: Disk) -> AsyncIterator[Row]:
    """Everything that can be read, in order, of a damaged log as well. Only reads.

    Raises:
        DiskError: a file cannot be read at all.
    """
    for name in await disk.names():
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


async def verify(disk: Disk) -> Report:
    """Read the whole log, each entry's own checksum included. Only reads; damage is reported, never raised.

    Raises:
        DiskError: a file cannot be read at all.
    """
    problems: list[str] = []
    identity: Identity | None = None
    found: Examined | None = None
    try:
        identity = await load(disk)
        # A node stopped between its first segment and its identity file finishes that at its next start.
        if identity is None or identity.cluster is not None or await sequences(disk):
            found = await examine(disk, identity if identity and identity.cluster else None)
    except LogDamaged as error:
        problems.append(str(error.damage))
    except StorageRefused as error:
        problems.append(str(error))
    problems += [problem async for problem in _bad_entries(disk)]
    segments = sum(segment_sequence(name) is not None for name in await disk.names())
    if identity is None and segments and not problems:
        problems.append("there is a log but no identity file: put it back, or go on without this node")
    if found is None:
        return Report(identity, segments, None, (), (), tuple(problems))
    torn = tuple(Damage(name, at, f"{to - at} bytes of an unsynced write") for name, at, to in found.torn)
    return Report(identity, segments, found.end, _group_reports(found), torn, tuple(problems))


def _group_reports(found: Examined) -> tuple[GroupReport, ...]:
    return tuple(
        GroupReport(
            group=group,
            term=log.hard_state.term,
            vote=log.hard_state.vote,
            commit=log.hard_state.commit,
            first=log.base.last.index + 1,
            last=log.last.index,
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
