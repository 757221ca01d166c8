"""Format 1, byte by byte: what is written today must be readable by every later version."""

import pytest

from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.entry import EntryKind, seal
from raftlog.core.ids import ClusterId, EntryId, GroupId, NodeId
from raftlog.core.membership import Member, Membership, MembershipAt
from raftlog.storage.disk import SECTOR
from raftlog.storage.format import (
    Position,
    SegmentHeader,
    batch_header_at,
    batch_is_whole,
    decode_segment_header,
    seal_batch,
    segment_name,
    segment_sequence,
)
from raftlog.storage.records import (
    CLOSE,
    MARK,
    EntryRecord,
    HardStateRecord,
    Point,
    SparseIndex,
    Standing,
    Truncation,
    decode_records,
    encode_entry,
    encode_hard_state,
    encode_index,
    encode_standing,
    encode_truncation,
)

G = GroupId(5)
MEMBERS = Membership((NodeId(7),), (), (), (Member(NodeId(7), "n7", "p:1", "c:1"),))


def test_a_segment_header_is_these_bytes() -> None:
    header = SegmentHeader(0xA1, 3, 0xA0, 4096, ClusterId(0xC1), NodeId(0xB1))
    sector = header.encode()
    assert sector[:64].hex(" ", 8) == (
        "524146544c534547 0100000000000000 a100000000000000 0300000000000000 "
        "a000000000000000 0010000000000000 c100000000000000 b100000000000000"
    )
    assert sector[64:-8] == bytes(SECTOR - 72)
    assert sector[-8:].hex() == "f9ee1b80b81d6dba"
    assert decode_segment_header(sector, segment_name(3), 4096) == header


def test_a_batch_is_these_bytes() -> None:
    record = encode_hard_state(G, HardState(2, NodeId(7), 1))
    (head, body) = seal_batch(
        segment_id=0xA1, offset=1024, synced_to=Position(3, 512), count=1, pieces=[record]
    )
    assert head[:40].hex(" ", 8) == (
        "524146544c424154 a100000000000000 0004000000000000 0002000001000000 0300000000000000"
    )
    assert head[40:].hex(" ", 8) == "0002000000000000 d2c4435754f885bc 555bc155c3487da2"
    assert body == record + bytes(SECTOR - 64 - len(record))
    content = bytes(1024) + head + body
    header = batch_header_at(content, 1024, 0xA1)
    assert header is not None
    assert (header.offset, header.end, header.count, header.synced_to) == (1024, 1536, 1, Position(3, 512))
    assert batch_is_whole(content, header)
    assert batch_header_at(content, 1024, 0xA2) is None, "a batch of another segment was taken"
    assert batch_header_at(b"\0" * SECTOR + content, 1024 + SECTOR, 0xA1) is None, "at another offset"


def test_records_are_these_bytes() -> None:
    entry = seal(group=G, at=EntryId(2, 9), kind=EntryKind.COMMANDS, log_time=77, payload=b"abc")
    assert b"".join(encode_entry(entry)).hex() == (
        "020000002b00000005000000000000000900000000000000"
        "02000000000000004d000000000000004d860733b8868a07"
        "0200000000000000616263"
    )
    assert encode_hard_state(G, HardState(2, NodeId(7), 1)).hex() == (
        "030000002000000005000000000000000200000000000000070000000000000001000000000000000100000000000000"
    )
    assert (
        encode_hard_state(G, HardState(2, None, 1)).hex()[32:]
        == "0200000000000000" + "00" * 8 + "01" + "00" * 15
    )
    assert MARK.hex() == "06" + "00" * 15
    assert CLOSE.hex() == "07" + "00" * 15
    assert encode_index(G, [Point(9, 2, 1024)]).hex() == (
        "05000000180000000500000000000000090000000000000002000000000000000004000000000000"
    )


STANDING = Standing(
    G,
    HardState(2, NodeId(7), 1),
    SnapshotMeta(EntryId(0, 0), MembershipAt(0, MEMBERS)),
    (),
    EntryId(2, 9),
    77,
)


def test_messagepack_records_are_these_bytes() -> None:
    assert encode_standing(STANDING).hex() == (
        "0100000076000000050000000000000086a567726f757005aa686172645f737461746593020701a46261736583a46c61"
        "7374920000aa6d656d6265727368697092009591079090919607a26e37a3703a31a3633a31c2c090a86c6f675f74696d"
        "6500ab6d656d626572736869707390a46c617374920209ad6c6173745f6c6f675f74696d654d"
    )
    assert encode_truncation(G, STANDING.base).hex() == (
        "0400000036000000050000000000000083a46c617374920000aa6d656d6265727368697092009591079090919607a26e"
        "37a3703a31a3633a31c2c090a86c6f675f74696d6500"
    )


def test_records_are_decoded_as_they_were_encoded() -> None:
    entry = seal(group=G, at=EntryId(2, 9), kind=EntryKind.COMMANDS, log_time=77, payload=b"abc")
    pieces = [
        encode_standing(STANDING),
        *encode_entry(entry),
        encode_hard_state(G, HardState(3)),
        encode_truncation(G, STANDING.base),
        encode_index(G, [Point(9, 2, 1024), Point(10, 2, 2048)]),
    ]
    content = b"".join(pieces)
    assert list(decode_records(content + bytes(30), start=0, end=len(content) + 30, count=5)) == [
        STANDING,
        EntryRecord(entry, len(pieces[0])),
        HardStateRecord(G, HardState(3)),
        Truncation(G, STANDING.base),
        SparseIndex(G, (Point(9, 2, 1024), Point(10, 2, 2048))),
    ]


@pytest.mark.parametrize("size", range(1, 60))
def test_a_cut_off_record_is_an_error(size: int) -> None:
    entry = seal(group=G, at=EntryId(2, 9), kind=EntryKind.COMMANDS, log_time=77, payload=b"abcd")
    content = b"".join(encode_entry(entry))[:size]
    with pytest.raises(ValueError, match="byte 0"):
        list(decode_records(content, start=0, end=len(content), count=1))


def test_what_follows_the_last_record_must_be_zeros() -> None:
    with pytest.raises(ValueError, match="follows the last"):
        list(decode_records(MARK + b"\0\1", start=0, end=len(MARK) + 2, count=1))


@pytest.mark.parametrize(
    "name", ["identity", "lock", "1.seg", "000000000000000x.seg", "0000000000000001.seg.new"]
)
def test_other_files_are_no_segments(name: str) -> None:
    assert segment_sequence(name) is None


def test_segment_names_sort_as_their_numbers() -> None:
    numbers = [1, 9, 10, 255, 10**12]
    assert sorted(map(segment_name, numbers)) == [segment_name(number) for number in numbers]
    assert [segment_sequence(segment_name(number)) for number in numbers] == numbers
