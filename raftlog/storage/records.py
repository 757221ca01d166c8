"""The records inside a batch: their kinds, and how each is encoded and decoded (see `format`)."""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, TypeAlias

import msgspec

from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import NOTHING, EntryId, GroupId, Index, Micros, NodeId, Term
from raftlog.core.membership import MembershipAt
from raftlog.storage.damage import StorageRefused
from raftlog.storage.format import RECORD_HEADER

_HEAD = struct.Struct("<B3xIQ")
_ENTRY = struct.Struct("<B3xIQQQQQB7x")
_HARD_STATE = struct.Struct("<QQQB7x")
_POINT = struct.Struct("<QQQ")

_ENTRY_KINDS = {int(kind): kind for kind in EntryKind}

ENTRY_OVERHEAD: Final = _ENTRY.size
"""Bytes of an entry record beside its payload: 56."""
POINT_SIZE: Final = _POINT.size


class Kind(IntEnum):
    """What a record is. Zero is none of them."""

    STANDING = 1
    ENTRY = 2
    HARD_STATE = 3
    TRUNCATION = 4
    INDEX = 5
    MARK = 6
    CLOSE = 7
    IMPAIRMENT = 8
    FENCE = 9


class Standing(msgspec.Struct, frozen=True):
    """All that a group is, short of its entries, at the moment a segment opens."""

    group: GroupId
    hard_state: HardState
    base: SnapshotMeta
    memberships: tuple[MembershipAt, ...] = ()
    last: EntryId = NOTHING
    last_log_time: Micros = 0


class EntryRecord(msgspec.Struct, frozen=True):
    """An entry and the place of its record."""

    entry: Entry
    offset: int
    """Of the record, in the bytes it was decoded from."""

    @property
    def length(self) -> int:
        """Bytes of the record."""
        return ENTRY_OVERHEAD + len(self.entry.payload)


class HardStateRecord(msgspec.Struct, frozen=True):
    """A group's new hard state."""

    group: GroupId
    hard_state: HardState


class Truncation(msgspec.Struct, frozen=True):
    """A group's log up to `base` is in a snapshot now."""

    group: GroupId
    base: SnapshotMeta


class Impairment(msgspec.Struct, frozen=True):
    """What a group has lost of what it may have acknowledged."""

    group: GroupId
    reason: str
    """A sentence for people; empty: nothing any more."""
    base: SnapshotMeta | None = None
    """The whole log went, and begins anew after this."""


class FenceRecord(msgspec.Struct, frozen=True):
    """Why a group's state is not to be shown."""

    group: GroupId
    reason: str
    """A sentence for people; empty: it may be shown again."""


class Point(msgspec.Struct, frozen=True, array_like=True):
    """Where in the segment the record of an entry starts."""

    index: Index
    term: Term
    offset: int


class SparseIndex(msgspec.Struct, frozen=True):
    """Some entry records of one group in the segment that ends here."""

    group: GroupId
    points: tuple[Point, ...]


class Mark(msgspec.Struct, frozen=True):
    """Nothing but a batch that covers the one before it."""


class Close(msgspec.Struct, frozen=True):
    """Nothing follows in this segment."""


Record: TypeAlias = (
    Standing
    | EntryRecord
    | HardStateRecord
    | Truncation
    | Impairment
    | FenceRecord
    | SparseIndex
    | Mark
    | Close
)

_pack = msgspec.msgpack.Encoder().encode
_read_standing = msgspec.msgpack.Decoder(Standing).decode
_read_impairment = msgspec.msgpack.Decoder(Impairment).decode
_read_fence = msgspec.msgpack.Decoder(FenceRecord).decode
_read_base = msgspec.msgpack.Decoder(SnapshotMeta).decode


def encode_entry(entry: Entry) -> tuple[bytes, bytes]:
    """The record's head and the payload, which is passed on as it is."""
    payload = entry.payload
    head = _ENTRY.pack(
        Kind.ENTRY,
        ENTRY_OVERHEAD - RECORD_HEADER + len(payload),
        entry.group,
        entry.index,
        entry.term,
        entry.log_time,
        entry.checksum,
        entry.kind,
    )
    return head, payload


def encode_hard_state(group: GroupId, hard_state: HardState) -> bytes:
    """One record."""
    vote = hard_state.vote
    body = _HARD_STATE.pack(hard_state.term, vote or 0, hard_state.commit, vote is not None)
    return _HEAD.pack(Kind.HARD_STATE, len(body), group) + body


def encode_standing(standing: Standing) -> bytes:
    """One record."""
    body = _pack(standing)
    return _HEAD.pack(Kind.STANDING, len(body), standing.group) + body


def encode_truncation(group: GroupId, base: SnapshotMeta) -> bytes:
    """One record."""
    body = _pack(base)
    return _HEAD.pack(Kind.TRUNCATION, len(body), group) + body


def encode_impairment(impairment: Impairment) -> bytes:
    """One record."""
    body = _pack(impairment)
    return _HEAD.pack(Kind.IMPAIRMENT, len(body), impairment.group) + body


def encode_fence(group: GroupId, reason: str) -> bytes:
    """One record."""
    body = _pack(FenceRecord(group, reason))
    return _HEAD.pack(Kind.FENCE, len(body), group) + body


def encode_index(group: GroupId, points: Sequence[Point]) -> bytes:
    """One record."""
    body = b"".join(_POINT.pack(point.index, point.term, point.offset) for point in points)
    return _HEAD.pack(Kind.INDEX, len(body), group) + body


MARK: Final = _HEAD.pack(Kind.MARK, 0, 0)
CLOSE: Final = _HEAD.pack(Kind.CLOSE, 0, 0)


def decode_records(content: bytes, *, start: int, end: int, count: int) -> Iterator[Record]:
    """The records of one batch whose body lies at `start` to `end`; offsets count from the start of `content`.

    Raises:
        ValueError: the bytes are not `count` records followed by zeros.
        StorageRefused: a record of a kind that a later version writes.
    """
    at = start
    for _ in range(count):
        if at < end and content[at] == Kind.ENTRY:  # most records by far
            entry = decode_entry(content, at)
            record: Record = EntryRecord(entry, at)
            at += ENTRY_OVERHEAD + len(entry.payload)
            if at > end:
                raise ValueError(f"the entry record before byte {at} is longer than its batch")
        else:
            record, at = _decode(content, at, end)
        yield record
    if content.count(0, at, end) != end - at:
        raise ValueError(f"something follows the last of {count} records, at byte {at}")


def decode_entry(content: bytes, at: int) -> Entry:
    """The entry whose record starts at `at`.

    Raises:
        ValueError: there is no whole entry record. The entry's checksum is not verified here.
    """
    if at + ENTRY_OVERHEAD > len(content):
        raise ValueError(f"the entry record at byte {at} is cut off")
    kind, length, group, index, term, log_time, checksum, entry_kind = _ENTRY.unpack_from(content, at)
    end = at + RECORD_HEADER + length
    if kind != Kind.ENTRY or end < at + ENTRY_OVERHEAD or end > len(content):
        raise ValueError(f"there is no entry record at byte {at}")
    payload = content[at + ENTRY_OVERHEAD : end]
    if (known := _ENTRY_KINDS.get(entry_kind)) is None:
        raise ValueError(f"the entry record at byte {at} has the unknown kind {entry_kind}")
    return Entry(GroupId(group), index, term, known, log_time, checksum, payload)


def _decode(content: bytes, at: int, end: int) -> tuple[Record, int]:
    if at + RECORD_HEADER > end:
        raise ValueError(f"the batch ends within the record at byte {at}")
    code, length, group = _HEAD.unpack_from(content, at)
    after = at + RECORD_HEADER + length
    if after > end:
        raise ValueError(f"the record at byte {at} is longer than its batch")
    return _decode_small(code, GroupId(group), content[at + RECORD_HEADER : after], at), after


def _decode_small(code: int, group: GroupId, body: bytes, at: int) -> Record:
    try:
        kind = Kind(code)
    except ValueError:
        raise StorageRefused(
            f"the log holds a record of kind {code} at byte {at}, which this version does not know: "
            "use the version that wrote it"
        ) from None
    match kind:
        case Kind.HARD_STATE:
            term, vote, commit, voted = _exactly(_HARD_STATE, body)
            return HardStateRecord(group, HardState(term, NodeId(vote) if voted else None, commit))
        case Kind.STANDING:
            return _read_standing(body)
        case Kind.TRUNCATION:
            return Truncation(group, _read_base(body))
        case Kind.IMPAIRMENT:
            return _read_impairment(body)
        case Kind.FENCE:
            return _read_fence(body)
        case Kind.INDEX:
            return SparseIndex(group, tuple(Point(*fields) for fields in _POINT.iter_unpack(body)))
        case Kind.MARK:
            return Mark()
        case Kind.CLOSE:
            return Close()
        case Kind.ENTRY:
            raise AssertionError("entries are decoded by decode_entry")


def _exactly(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    if len(body) != layout.size:
        raise ValueError(f"a record body of {len(body)} bytes where {layout.size} belong")
    return layout.unpack(body)
