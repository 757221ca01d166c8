"""Segment files: making one ready before it is needed, and finding the ones that are there."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from raftlog.core.ids import GroupId, Index, Term
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.damage import Damage, LogDamaged
from raftlog.storage.disk import SECTOR, Disk, DiskError, DiskFull
from raftlog.storage.format import (
    RECORD_HEADER,
    SegmentHeader,
    batch_length,
    decode_segment_header,
    segment_name,
    segment_sequence,
)
from raftlog.storage.records import CLOSE, POINT_SIZE, Point, encode_index

_STRIDE = 1 << 16
ASIDE = ".new"


async def prepare(
    disk: Disk,
    header: SegmentHeader,
    first_batch: Sequence[bytes] = (),
    *,
    purpose: Literal["bootstrap", "ahead", "quarantine"],
    failpoints: Failpoints = INERT,
) -> None:
    """Make a segment that a crash either leaves whole, under its name, or not at all. Replaces one of the same name.

    Raises:
        DiskFull: no space; nothing remains of it.
        DiskError: the disk refused; what remains aside is removed by the next attempt or start.
    """
    aside = header.name + ASIDE
    if aside in await disk.names():
        await disk.remove(aside)  # of an attempt that failed
    if failpoints.armed:
        await failpoints.hit(f"{purpose}.before_allocate", DiskFull)
    await disk.allocate(aside, header.size)
    if failpoints.armed:
        await failpoints.hit(f"{purpose}.before_write", DiskError)
    await disk.write_and_sync(aside, 0, [header.encode(), *first_batch])
    if failpoints.armed:
        await failpoints.hit(f"{purpose}.before_rename", DiskError)
    await disk.rename(aside, header.name)
    if failpoints.armed:
        await failpoints.hit(f"{purpose}.before_names_sync", DiskError)
    await disk.sync_names()


async def remove_unfinished(disk: Disk, failpoints: Failpoints = INERT) -> None:
    """Remove what a crash left behind aside."""
    unfinished = [name for name in await disk.names() if name.endswith(ASIDE)]
    for name in unfinished:
        if failpoints.armed:
            await failpoints.hit("leftovers.before_remove", DiskError)
        await disk.remove(name)
    if failpoints.armed:
        await failpoints.hit("leftovers.before_names_sync", DiskError)
    # Also when there was nothing to remove: a name that is visible may still be lost by a power failure.
    await disk.sync_names()


async def sequences(disk: Disk) -> list[int]:
    """The sequence numbers of all segments there are, in order."""
    found = map(segment_sequence, await disk.names())
    return sorted(sequence for sequence in found if sequence is not None)


async def read_header(disk: Disk, sequence: int) -> SegmentHeader:
    """The header of a segment.

    Raises:
        LogDamaged: it is unreadable, or the file has another length than it should.
        StorageRefused: a file of another format version.
    """
    name = segment_name(sequence)
    return decode_segment_header(await disk.read(name, 0, SECTOR), name, await disk.size(name))


class Link(msgspec.Struct, frozen=True):
    """A segment of a log, and how much of it counts."""

    header: SegmentHeader
    end: int | None = None
    """Where a later segment says that the log breaks off; None: wherever its batches end."""


async def chain(disk: Disk, *, first: int = 0) -> list[Link]:
    """The segments that make up the log, in order: from the last one back, as long as each says what came before it.

    A removed segment that a crash brought back lies before a gap; what a mending segment took out of the log lies
    between two links. Neither is looked at.

    Args:
        first: sequence number below which nothing counts.

    Raises:
        LogDamaged: the header of one that counts is unreadable, or two do not follow one another.
        StorageRefused: a segment of another format version.
    """
    there = set(await sequences(disk))
    links: list[Link] = []
    sequence, end = max(there, default=0), None
    while sequence in there and sequence >= first:
        header = await read_header(disk, sequence)
        if links and links[-1].header.previous != header.id:
            reason = f"it does not follow {header.name}: that file was replaced"
            raise LogDamaged(Damage(links[-1].header.name, 0, reason))
        links.append(Link(header, end))
        sequence, end = header.before, header.mends.offset if header.mends else None
    return links[::-1]


class Stretch(msgspec.Struct):
    """The points of one group in the segment being written."""

    points: list[Point]
    since: int
    """Bytes of the group's records from the last point on."""


class Points:
    """The sparse index of the segment being written: what its closing batch will say.

    Invariant: between two points of a group lie at least 64 KiB of its records, so the closing batch has a bound that
    is known before.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._groups: dict[GroupId, Stretch] = {}

    def note(self, group: GroupId, index: Index, term: Term, offset: int, length: int) -> None:
        """Count `length` bytes of records that start at `offset` with this entry; they get a point if it is time."""
        stretch = self._groups.get(group)
        if stretch is None:
            self._groups[group] = Stretch([Point(index, term, offset)], length)
        elif stretch.since >= _STRIDE:
            stretch.points.append(Point(index, term, offset))
            stretch.since = length
        else:
            stretch.since += length

    def closing_room(self, more_groups: int = 0) -> int:
        """Bytes the closing batch takes at most, `more_groups` counted in."""
        groups = len(self._groups) + more_groups
        points = groups + self._size // _STRIDE
        return batch_length(groups * RECORD_HEADER + points * POINT_SIZE + len(CLOSE))

    def closing(self) -> tuple[int, list[bytes]]:
        """The records of the closing batch: how many, and their bytes."""
        records = [encode_index(group, stretch.points) for group, stretch in sorted(self._groups.items())]
        return len(records) + 1, [*records, CLOSE]
