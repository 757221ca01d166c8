"""Reading a damaged log as far as that goes: every batch that is whole, and what lies between them that is not."""

import struct
from collections.abc import Iterator

import msgspec

from raftlog.storage.damage import Damage, LogDamaged
from raftlog.storage.disk import SECTOR, Disk
from raftlog.storage.format import (
    BATCH_HEADER,
    BatchHeader,
    Position,
    SegmentHeader,
    batch_header_at,
    batch_is_whole,
    batch_segment_at,
    segment_name,
)
from raftlog.storage.records import Close, Record, decode_records
from raftlog.storage.segment import Link, read_header, sequences


class Spot(msgspec.Struct):
    """A place of the log: a whole batch, or bytes that are none."""

    start: Position
    batch: BatchHeader | None = None
    records: tuple[Record, ...] = ()
    lost: bool = False
    """It is no batch, and something that was synced may have been there."""


class Piece(msgspec.Struct):
    """A segment file, its header readable or not."""

    sequence: int
    header: SegmentHeader | None
    content: bytes
    id: int
    """0: nothing says which segment this is."""
    end: int | None
    """Where a later segment says that the log breaks off."""


async def survey(disk: Disk) -> tuple[list[Spot], list[Link]]:
    """All places of the log in order, and the links of it that can be read. Only reads.

    The chain is followed as `segment.chain` does, but an unreadable header does not end it: such a segment's batches
    are known by the id that the segment after it names as the one before.

    Raises:
        LogDamaged: two segments do not follow one another.
        StorageRefused: a segment of another format version.
        DiskError: a file cannot be read.
    """
    pieces = await _pieces(disk)
    ours = [list(_spots(piece)) for piece in pieces]
    _judge(ours, pieces)
    spots = [spot for each in ours for spot in each]
    synced = max((batch.synced_to for piece in pieces for batch in _headers(piece)), default=Position(0, 0))
    for spot in spots:
        spot.lost = spot.lost or (spot.batch is None and spot.start < synced)
    if spots and _closes(spots[-1]):
        spots.append(Spot(Position(pieces[-1].sequence + 1, 0), lost=True))  # it was there, and is not
    return spots, [Link(piece.header, piece.end) for piece in pieces if piece.header is not None]


async def _pieces(disk: Disk) -> list[Piece]:
    there = set(await sequences(disk))
    pieces: list[Piece] = []
    sequence, end, expected = max(there, default=0), None, 0
    while sequence in there:
        piece = await _piece(disk, sequence, end, expected)
        pieces.append(piece)
        header = piece.header
        expected = header.previous if header else 0
        end = header.mends.offset if header and header.mends else None
        sequence = header.before if header else sequence - 1
    known = {piece.header.id for piece in pieces if piece.header is not None}
    for piece in pieces:
        if piece.header is None and piece.id in known:
            piece.id = 0  # another segment's content under this one's name
    return pieces[::-1]


async def _piece(disk: Disk, sequence: int, end: int | None, expected: int) -> Piece:
    name = segment_name(sequence)
    content = await disk.read(name, 0, await disk.size(name))
    content = content if end is None else content[:end]
    try:
        header = await read_header(disk, sequence)
    except LogDamaged:
        return Piece(sequence, None, content, expected or _id_in(content), end)
    if expected not in (0, header.id):
        raise LogDamaged(Damage(name, 0, "the segment after it does not follow it: one of them was replaced"))
    return Piece(sequence, header, content, header.id, end)


def _id_in(content: bytes) -> int:
    """Of which segment the batches are, if all are of one; 0 otherwise."""
    sectors = range(SECTOR, len(content), SECTOR)
    ids = {id for at in sectors if (id := batch_segment_at(content, at)) is not None}
    return ids.pop() if len(ids) == 1 else 0


def _spots(piece: Piece) -> Iterator[Spot]:
    if piece.header is None:
        yield Spot(Position(piece.sequence, 0))
    at = SECTOR
    while piece.id and at < len(piece.content):
        batch = batch_header_at(piece.content, at, piece.id)
        if batch is not None and batch_is_whole(piece.content, batch):
            spot = Spot(Position(piece.sequence, at), batch, _records(piece, batch))
            yield spot
            if _closes(spot):
                return
            at = batch.end
        else:
            yield Spot(Position(piece.sequence, at))
            at = min((each.offset for each in _headers(piece, at + SECTOR)), default=len(piece.content))


def _headers(piece: Piece, start: int = SECTOR) -> Iterator[BatchHeader]:
    for at in range(start, len(piece.content), SECTOR):
        if (batch := batch_header_at(piece.content, at, piece.id)) is not None:
            yield batch


def _records(piece: Piece, batch: BatchHeader) -> tuple[Record, ...]:
    start = batch.offset + BATCH_HEADER
    try:
        return tuple(decode_records(piece.content, start=start, end=batch.end, count=batch.count))
    except (ValueError, struct.error) as error:
        reason = f"the batch is whole but cannot be: {error}"
        raise LogDamaged(Damage(segment_name(piece.sequence), batch.offset, reason)) from error


def _closes(spot: Spot) -> bool:
    return any(isinstance(record, Close) for record in spot.records)


def _begun(spots: list[Spot]) -> bool:
    return any(spot.batch is not None for spot in spots)


def _judge(ours: list[list[Spot]], pieces: list[Piece]) -> None:
    """Mark what is lost although no later sync speaks of it."""
    for number, (piece, spots) in enumerate(zip(pieces, ours, strict=True)):
        first = number == 0
        if piece.header is None:
            # It lay ready and was never begun if the one before it was not closed and nothing is in or behind it.
            before = not first and ours[number - 1] and not _closes(ours[number - 1][-1])
            spots[0].lost = not (before and not any(map(_begun, ours[number:])))
        elif (first or piece.header.mends is not None) and not _begun(spots[:1]) and spots:
            spots[
                0
            ].lost = True  # synced before the file had its name, or before those before it were removed
