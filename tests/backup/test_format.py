"""The bytes of a backup, read here by hand, and every way in which a file is not one."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import xxhash

from raftlog.backup.checking import check
from raftlog.backup.format import BackupDamaged, BackupRefused
from raftlog.backup.reading import BackupReader
from raftlog.core.ids import META_GROUP, EntryId, GroupId
from raftlog.machine.applier import Applier
from raftlog.machine.calls import encode_call
from raftlog.storage.snapshots.manifest import decode
from statemachines.counter import Counter
from tests.backup.samples import CLUSTER, TAKEN_AT, last_of, state, write


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    file = tmp_path / "sample.backup"
    write(file)
    return file


def blocks(content: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Kind, number, group, offset and content of each block."""
    at = 16 + struct.unpack_from("<I", content, 12)[0] + 8
    while at < len(content):
        kind, number, group, length, checksum = struct.unpack_from("<IIQQQ", content, at)
        assert struct.unpack_from("<Q", content, at + 32)[0] == xxhash.xxh3_64_intdigest(
            content[at : at + 32]
        )
        body = content[at + 40 : at + 40 + length]
        assert checksum == xxhash.xxh3_64_intdigest(body)
        yield kind, number, group, at, body
        at += 40 + length


def test_the_format(sample: Path) -> None:
    content = sample.read_bytes()
    magic, version, length = struct.unpack_from("<8sII", content)
    assert (magic, version) == (b"RAFTLBAK", 1)
    assert msgspec.msgpack.decode(content[16 : 16 + length]) == {
        "cluster": CLUSTER, "taken_at": TAKEN_AT, "release": "0.1.0", "groups": [0, 7],
    }  # fmt: skip
    assert struct.unpack_from("<Q", content, 16 + length)[0] == xxhash.xxh3_64_intdigest(
        content[: 16 + length]
    )
    found = list(blocks(content))
    manifest, parts = state(GroupId(7), 49)
    counts = len(state(META_GROUP, 42)[1]), len(parts)
    assert [(kind, number, group) for kind, number, group, _, _ in found] == [
        *[(1, 0, 0), *((2, n + 1, 0) for n in range(counts[0]))],
        *[(1, 0, 7), *((2, n + 1, 7) for n in range(counts[1]))],
        (3, 0, 0),
    ]
    assert counts[0] > 3, "too few parts to be mixed up: no test"
    assert decode(found[1 + counts[0]][4], "m") == manifest
    assert [body for kind, _, group, _, body in found if (kind, group) == (2, 7)] == parts
    *_, at, end = found[-1]
    assert end == struct.pack("<Q", xxhash.xxh3_64_intdigest(content[:at]))


def test_what_is_in_it(sample: Path) -> None:
    offsets: list[int] = []
    found = check(sample, offsets.append)
    assert found.header.cluster == CLUSTER
    assert [(each.group, each.last, each.machine) for each in found.groups] == [
        (0, last_of(META_GROUP), "Counter"),
        (7, last_of(GroupId(7)), "Counter"),
    ]
    assert offsets == sorted(offsets)
    assert found.size == sample.stat().st_size
    values: list[int] = []
    with sample.open("rb") as source:
        for manifest, parts in BackupReader(source, "sample").groups():
            applier = Applier(Counter, group=manifest.group)
            applier.restore(parts)
            assert applier.applied == EntryId(1, 2)
            values.append(msgspec.msgpack.decode(applier.query(encode_call(Counter.read)).body))
    assert values == [42, 49]


def test_every_flipped_bit_is_seen_and_its_place_named(sample: Path) -> None:
    content = sample.read_bytes()
    places = {at: place_of(kind, number, group) for kind, number, group, at, _ in blocks(content)}
    starts = sorted(places)
    for at in range(len(content)):
        spoilt = content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]
        if at < 12:
            with pytest.raises(
                BackupRefused, match="is no backup of raftlog" if at < 8 else "has format version"
            ):
                read(spoilt)
            continue
        place = places[max(start for start in starts if start <= at)] if at >= starts[0] else "the header"
        with pytest.raises(BackupDamaged) as damaged:
            read(spoilt)
        assert damaged.value.place == place, f"byte {at}: {damaged.value}"


def test_every_cut_is_seen_and_its_place_named(sample: Path) -> None:
    content = sample.read_bytes()
    places = {at: place_of(kind, number, group) for kind, number, group, at, _ in blocks(content)}
    starts = sorted(places)
    for size in range(1, len(content)):
        place = places[max(start for start in starts if start <= size)] if size >= starts[0] else "the header"
        with pytest.raises(BackupDamaged, match=f"is cut off: the file ends after {size} bytes") as damaged:
            read(content[:size])
        assert damaged.value.place == place


def read(content: bytes) -> None:
    for _, parts in BackupReader(io.BytesIO(content), "sample").groups():
        for _ in parts:
            pass


def place_of(kind: int, number: int, group: int) -> str:
    match kind:
        case 1:
            return f"the manifest of group {group}"
        case 2:
            return f"part {number} of group {group}"
        case _:
            return "the end"


def test_parts_cannot_change_places_and_none_can_be_missing(sample: Path) -> None:
    content = sample.read_bytes()
    found = list(blocks(content))
    first, second, third = (content[found[n][3] : found[n + 1][3]] for n in (1, 2, 3))
    for spoilt, said in (
        (
            content.replace(first + second, second + first),
            "part 1 of group 0.* is missing: part 2 of group 0",
        ),
        (content.replace(second, b""), "part 2 of group 0.* is missing: part 3 of group 0 is in its place"),
        (content.replace(third, second), "part 3 of group 0.* is missing: part 2 of group 0 is in its place"),
        (content[: found[-1][3]], "the end, at byte .* is cut off"),
        (content + b"\0", "the end, at byte .* is followed by more"),
    ):
        sample.write_bytes(spoilt)
        with pytest.raises(BackupDamaged, match=said):
            check(sample)


def test_whole_blocks_of_another_backup_do_not_fit(sample: Path, tmp_path: Path) -> None:
    """The last part of one and the last part of another, each with a block that is in order."""
    write(tmp_path / "other", (META_GROUP,))
    content, other = sample.read_bytes(), (tmp_path / "other").read_bytes()
    end, foreign = list(blocks(content))[-1], list(blocks(other))[-1]
    sample.write_bytes(content[: end[3]] + other[foreign[3] :])
    with pytest.raises(BackupDamaged, match="does not fit the checksum of the whole"):
        check(sample)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "is no backup of raftlog"),
        (b"#!/bin/sh\n", "is no backup of raftlog"),
        (b"RAFTLSNP" + bytes(600), "is no backup of raftlog"),
        (
            b"RAFTLBAK" + struct.pack("<II", 2, 0),
            "has format version 2, this program reads 1: use the release",
        ),
    ],
)
def test_what_is_no_backup_of_this_format(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BackupRefused, match=said):
        check(tmp_path / "file")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BackupRefused, match="absent cannot be read: No such file or directory"):
        check(tmp_path / "absent")
    with pytest.raises(BackupRefused, match="Is a directory"):
        check(tmp_path)
