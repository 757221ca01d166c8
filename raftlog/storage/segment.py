"""Segment files: making one ready before it is needed, and finding the ones that are there."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from raftlog.core.ids import GroupId, Index, Term
from raftlog.failpoints import INERT, Failpoints
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
    purpose: Literal["bootstrap", "ahead"],
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


async def segment_headers(disk: Disk) -> list[SegmentHeader]:
    """The headers of all segments, in order.

    Raises:
        LogDamaged: a header is unreadable or a file has another length than it should.
        StorageRefused: a file of another format version.
    """
    sequences = sorted(
        sequence for name in await disk.names() if (sequence := segment_sequence(name)) is not None
    )
    return [await _header(disk, segment_name(sequence)) for sequence in sequences]


async def _header(disk: Disk, name: str) -> SegmentHeader:
    return decode_segment_header(await disk.read(name, 0, SECTOR), name, await disk.size(name))


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
