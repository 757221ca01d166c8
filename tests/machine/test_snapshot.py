"""The bytes of a snapshot's stream, read here by hand: other versions will have to read them."""

import struct

import msgspec
import pytest
import xxhash

from raftlog.core.ids import META_GROUP, EntryId
from raftlog.machine.applier import Applier
from raftlog.machine.calls import encode_call
from raftlog.machine.snapshot import Head, Reader, SnapshotRefused, write_stream
from statemachines.counter import Counter
from tests.machine.logs import Log, loose, open_session

HEAD = Head("raftlog state", 1, META_GROUP, EntryId(2, 9), 5, 6, (("a", 1), ("b", 3)))


def frames(stream: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(stream):
        kind, length = struct.unpack_from("<BI", stream, at)
        found.append((kind, stream[at + 5 : at + 5 + length]))
        at += 5 + length
    return found


def test_the_format() -> None:
    stream = b"".join(write_stream(HEAD, [[b"one", b""], []]))
    head, *rest, end = frames(stream)
    assert head[0] == 1
    assert msgspec.msgpack.decode(head[1]) == ["raftlog state", 1, 0, [2, 9], 5, 6, [["a", 1], ["b", 3]]]
    assert rest == [(2, b"one"), (2, b""), (3, b""), (3, b"")]
    assert end == (4, struct.pack("<Q", xxhash.xxh3_64_intdigest(stream[:-13])))


def test_an_appliers_snapshot() -> None:
    log, applier = Log(), Applier(Counter)
    session = open_session(log, applier)
    applier.apply(log.entry(loose(encode_call(Counter.add, 5))))
    head, row, _, value, _, _ = frames(b"".join(applier.write(applier.capture())))
    assert msgspec.msgpack.decode(head[1]) == [
        "raftlog state", 1, 0, [1, 2], 1_000_020, applier.digest, [["raftlog.sessions", 1], ["Counter", 1]],
    ]  # fmt: skip
    assert msgspec.msgpack.decode(row[1]) == [session, False, 1, 1, 1, []]
    assert msgspec.msgpack.decode(value[1]) == {"value": 5}


def test_parts_come_back_as_they_were_written_from_pieces_of_any_size() -> None:
    parts = [bytes([n]) * (n * 37 % 300) for n in range(40)]
    stream = b"".join(write_stream(HEAD, [parts, parts[:3]]))
    for size in (1, 5, 64, 1000, len(stream)):
        reader = Reader(stream[at : at + size] for at in range(0, len(stream), size))
        assert reader.head() == HEAD
        assert list(reader.parts()) == parts
        assert list(reader.parts()) == parts[:3]
        reader.end()


@pytest.mark.parametrize(
    "stream,sentence",
    [
        (b"", "cut off"),
        (b"GET / HTTP/1.1\r\n\r\n", "no snapshot: a frame of kind 71"),
        (struct.pack("<BI", 1, 1) + b"\x07", "is not a snapshot"),
        (struct.pack("<BI", 2, 1) + b"\x90", "is not a snapshot"),
        (
            struct.pack("<BI", 1, 16) + b"\x92\xadraftlog state\x02",
            r"has format \[2\], this version reads 1: upgrade",
        ),
        (struct.pack("<BI", 1, 16) + b"\x92\xadraftlog state\x01", "head is damaged"),
        (struct.pack("<BI", 1, 2) + b"\xc1\xc1", "head is damaged"),
    ],
)
def test_another_stream_is_refused_by_name(stream: bytes, sentence: str) -> None:
    with pytest.raises(SnapshotRefused, match=sentence):
        Reader([stream]).head()
