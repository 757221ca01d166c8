"""The log on disk, format 1: the specification, and the framing of segments and batches.

A log is a chain of segment files. A segment is allocated in full, filled with zeros and synced before it gets its name,
so appending never changes a file's length and never meets a full disk.

    0000000000000007.seg            <sequence number>.seg; a file being prepared is called *.new
    +----------------+------------------------+-----------------+---- - - ----+--------------+-----------+
    | segment header | batch                  | batch           |    ...      | closing batch| zeros ... |
    | 512 bytes      | opens with every       | records, padded |             | sparse index |           |
    |                | group's standing       | to the sector   |             | per group    |           |
    +----------------+------------------------+-----------------+---- - - ----+--------------+-----------+

All integers are little-endian and unsigned. Checksums are xxh3-64. Zeros are never a header, a batch or a record.

Segment header, one sector. Its first 16 and last 8 bytes keep their meaning in every later format.

    8  magic "RAFTLSEG"     4  format version      4  zero
    8  segment id           random, unlike that of any other segment
    8  sequence number      8  id of the segment before (0: none)      8  length of the file
    8  cluster id           8  node id
    8  1: mends the log     8  breaks off in: sequence number          8  breaks off at: offset
    zeros                   8  checksum of the 504 bytes before it

Batch, starting on a sector boundary. One append is one batch: it is there as a whole or not at all.

    8  magic "RAFTLBAT"     8  segment id          8  offset of this batch in the file
    4  length of the batch, header and padding included; a multiple of 512
    4  number of records
    8  synced_to: sequence number                  8  synced_to: offset
    8  checksum of everything after this header    8  checksum of the 56 bytes before it
    records, one after the other, then zeros up to the length

Segment id and offset make a batch that was read from or written to another place invalid there. `synced_to` is where
the log ended when the last sync before this batch had completed: everything below it was durable, so anything
unreadable below the highest `synced_to` of the whole log is damage. Anything unreadable at or above it is the tail of a
write that no sync covered, promised to nobody, and is cut: overwritten with zeros before the first new batch. After a
pause and on a clean close a batch with a lone mark is written, so that the batch before it is covered as well.

Record, 16 bytes and a body (kind 1, zero 3, length of the body 4, group id 8):

    1  standing     MessagePack: hard state, base, membership entries, last entry's id and log time. The first batch of
                    a segment begins with one per group: with it the segments before may be gone.
    2  entry        index 8, term 8, log time 8, checksum 8, kind 1, zero 7, payload. Replaces the entry of that index
                    and every later one of its group. The checksum is the leader's own and covers the group too.
    3  hard state   term 8, vote 8, commit 8, has a vote 1, zero 7
    4  truncation   MessagePack: the new base. The log up to it is in a snapshot. If the base is not an entry of this
                    log, the whole log goes (it came from a leader whose log differs).
    5  index        (index 8, term 8, offset 8) of entry records of this segment, per group one and about
                    one per 64 KiB more, in the order they were written: of two points for one index the later counts
    6  mark         empty
    7  close        empty; the last record of a segment that is followed by another
    8  impairment   MessagePack: why acknowledged entries had to be given up, "" once others have told them again; with
                    a base: the whole log goes, and begins anew after that, be it an earlier one. Beside the standing
                    of an impaired group there is one in the first batch of each segment.
    9  fence        MessagePack: why the group's state may be shown to nobody, "" once it may again
    others          a later version's: this version refuses the log by name

Order of things: a segment's header is synced under its *.new name before the rename, so a `.seg` file without a valid
header is damaged, whatever its place. A segment is closed only when the next one is there, name and all; its closing
batch is synced before the next segment gets its first batch.

A log that is damaged is mended by a segment whose header says where the log breaks off (see `repair`): it goes on from
that byte of that segment, whose id is the "id of the segment before". What lies behind that byte, and the segments in
between, are out of the log; sequence number 0 means everything. Its first batch has a standing for each group, with the
last entry before the break, or for a group without a usable log one that begins anew; and an impairment for each.
Segments out of the log are renamed to `*.bad` and left to people.

Snapshots are specified in `snapshots.manifest`, the identity file in `identity`.

Not promised: a change to the very last batch before its mark is there looks like a torn tail; files of an earlier day
put back in place of all later ones look like a log of that day.
"""

import struct
from collections.abc import Sequence
from typing import Final

import msgspec
import xxhash

from raftlog.core.ids import ClusterId, NodeId
from raftlog.storage.damage import Damage, LogDamaged, StorageRefused
from raftlog.storage.disk import SECTOR

FORMAT: Final = 1
BATCH_HEADER: Final = 64
RECORD_HEADER: Final = 16
BATCH_MAGIC: Final = b"RAFTLBAT"
MAX_SEGMENT: Final = 1 << 32
"""Offsets are kept in 32 bits in memory."""

_SEGMENT_MAGIC = b"RAFTLSEG"
_SEGMENT = struct.Struct("<8sIIQQQQQQQQQ")
_BATCH = struct.Struct("<8sQQIIQQQ")
_U64 = struct.Struct("<Q")
_SUFFIX = ".seg"
_JOINED = 1 << 16
_ZEROS = bytes(SECTOR)


class Position(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A byte of the log: which segment (sequence number), and where in it."""

    segment: int
    offset: int

    def __str__(self) -> str:
        return f"{segment_name(self.segment)}:{self.offset}"


def segment_name(sequence: int) -> str:
    """The file of a segment."""
    return f"{sequence:016d}{_SUFFIX}"


def segment_sequence(name: str) -> int | None:
    """The sequence number in a segment's file name; None for any other file."""
    stem = name.removesuffix(_SUFFIX)
    return int(stem) if len(name) == 16 + len(_SUFFIX) and name != stem and stem.isdecimal() else None


def padded(length: int) -> int:
    """The next multiple of a sector."""
    return -(-length // SECTOR) * SECTOR


class SegmentHeader(msgspec.Struct, frozen=True):
    """The first sector of a segment."""

    id: int
    sequence: int
    previous: int
    """Id of the segment before; 0: there is none."""
    size: int
    cluster: ClusterId
    node: NodeId
    mends: Position | None = None
    """Where the log breaks off that goes on here; sequence number 0: nothing before counts. None: it does not."""

    @property
    def before(self) -> int:
        """Sequence number of the segment before; 0: none counts."""
        return self.sequence - 1 if self.mends is None else self.mends.segment

    @property
    def name(self) -> str:
        """The segment's file."""
        return segment_name(self.sequence)

    def encode(self) -> bytes:
        """One sector."""
        head = _SEGMENT.pack(
            _SEGMENT_MAGIC,
            FORMAT,
            0,
            self.id,
            self.sequence,
            self.previous,
            self.size,
            self.cluster,
            self.node,
            self.mends is not None,
            *((self.mends.segment, self.mends.offset) if self.mends else (0, 0)),
        )
        body = head + bytes(SECTOR - 8 - len(head))
        return body + _U64.pack(xxhash.xxh3_64_intdigest(body))


def decode_segment_header(sector: bytes, name: str, size: int) -> SegmentHeader:
    """Read the first sector of the file `name`, which is `size` bytes long.

    Raises:
        LogDamaged: the sector or the file's length is not what was synced.
        StorageRefused: the file is of another format version.
    """
    if len(sector) < SECTOR:
        raise LogDamaged(
            Damage(name, len(sector), f"the file is cut off after {size} bytes, within its header")
        )
    (checksum,) = _U64.unpack_from(sector, SECTOR - 8)
    if sector[:8] != _SEGMENT_MAGIC or checksum != xxhash.xxh3_64_intdigest(sector[: SECTOR - 8]):
        raise LogDamaged(Damage(name, 0, "the segment header is unreadable"))
    _, version, _, segment, sequence, previous, length, cluster, node, mends, *broken = _SEGMENT.unpack_from(
        sector
    )
    if version != FORMAT:
        raise StorageRefused(
            f"{name} has format version {version}, this program reads {FORMAT}: use the one that wrote it"
        )
    if segment_name(sequence) != name:
        raise LogDamaged(Damage(name, 0, f"the file holds segment {sequence}, not what its name says"))
    if length != size:
        raise LogDamaged(Damage(name, size, f"the file has {size} bytes, its header says {length}"))
    return SegmentHeader(
        segment,
        sequence,
        previous,
        length,
        ClusterId(cluster),
        NodeId(node),
        Position(*broken) if mends else None,
    )


class BatchHeader(msgspec.Struct, frozen=True):
    """What stands before the records of a batch."""

    offset: int
    length: int
    """Header and padding included."""
    count: int
    synced_to: Position
    checksum: int
    """Of everything after the header."""

    @property
    def end(self) -> int:
        """Where the next batch begins."""
        return self.offset + self.length


def batch_length(body: int) -> int:
    """Bytes a batch takes whose records have `body` bytes."""
    return padded(BATCH_HEADER + body)


def seal_batch(
    *, segment_id: int, offset: int, synced_to: Position, count: int, pieces: Sequence[bytes]
) -> list[bytes]:
    """Frame records for the place they will be written to; the result is to be written from `offset` on.

    Small batches become one piece; the payloads of large ones are passed on without a copy.
    """
    length = sum(map(len, pieces))
    whole = batch_length(length)
    pad = _ZEROS[: whole - BATCH_HEADER - length]
    if length <= _JOINED:
        pieces = (b"".join((*pieces, pad)),)
        checksum = xxhash.xxh3_64_intdigest(pieces[0])
    else:
        pieces = (*pieces, pad)
        running = xxhash.xxh3_64()
        for piece in pieces:
            running.update(piece)
        checksum = running.intdigest()
    assert offset % SECTOR == 0, f"a batch would start at {offset}, inside a sector"
    assert 0 < whole < MAX_SEGMENT, f"a batch of {whole} bytes has no length on disk"
    head = _BATCH.pack(
        BATCH_MAGIC, segment_id, offset, whole, count, synced_to.segment, synced_to.offset, checksum
    )
    return [head + _U64.pack(xxhash.xxh3_64_intdigest(head)), *pieces]


def batch_header_at(content: bytes, offset: int, segment_id: int) -> BatchHeader | None:
    """The valid batch header at `offset` of the segment's bytes; None when there is none. Its records may be bad."""
    head = content[offset : offset + BATCH_HEADER]
    if len(head) < BATCH_HEADER or head[:8] != BATCH_MAGIC:
        return None
    if _U64.unpack_from(head, 56)[0] != xxhash.xxh3_64_intdigest(head[:56]):
        return None
    _, segment, start, length, count, synced, synced_offset, checksum = _BATCH.unpack_from(head)
    fits = length % SECTOR == 0 and length > BATCH_HEADER and offset + length <= len(content)
    if segment != segment_id or start != offset or not fits:
        return None
    return BatchHeader(offset, length, count, Position(synced, synced_offset), checksum)


def batch_segment_at(content: bytes, offset: int) -> int | None:
    """The id of the segment that a batch header at `offset` says it is in; None when there is no such header."""
    head = content[offset : offset + BATCH_HEADER]
    if len(head) < BATCH_HEADER or head[:8] != BATCH_MAGIC:
        return None
    segment = int.from_bytes(head[8:16], "little")
    return segment if batch_header_at(content, offset, segment) is not None else None


def batch_is_whole(content: bytes, header: BatchHeader) -> bool:
    """Whether the records of a batch are what its header was made for."""
    body = memoryview(content)[header.offset + BATCH_HEADER : header.end]
    return header.checksum == xxhash.xxh3_64_intdigest(body)
