"""What a snapshot consists of, in one small file: the deed that makes its parts a snapshot, format 1.

A snapshot of one group is a stream of bytes (see `raftlog.machine.snapshot`), cut into part files of equal length, the
last one shorter. Parts are allocated in full before they are written, as segments are, so that a full disk shows
itself before a write and a file never grows. The manifest names them, with length and checksum of each; it is written
last, aside, synced and renamed, after every part and every part's name is synced. Without its manifest a part is a
leftover, and is removed at the next start. A snapshot that turns out damaged is set aside: its files are renamed to
`*.bad` (`*.bad2`, ... where that is taken), the manifest last, and are left to people.

    0000000000000042-0000000000000007-0123456789abcdef.snap     manifest: index, term, snapshot id
    0123456789abcdef.0001.part                                  parts: snapshot id, number from 1

Manifest, all integers little-endian:

    8  magic "RAFTLSNP"     4  format version      4  length of the body
    body                    MessagePack of `Manifest`
    8  xxh3-64 of everything before it             zeros up to a multiple of 512

Nothing in it depends on the node that holds it: a manifest and its parts are copied from node to node as they are, and
a copy begun at one node may go on at another that has the same snapshot id.
"""

import struct
from typing import Final

import msgspec
import xxhash

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import ClusterId, EntryId, GroupId
from raftlog.storage.damage import Damage, LogDamaged, StorageRefused
from raftlog.storage.format import padded

FORMAT: Final = 1
SUFFIX: Final = ".snap"
PART_SUFFIX: Final = ".part"

_MAGIC = b"RAFTLSNP"
_HEAD = struct.Struct("<8sII")
_CHECKSUM = struct.Struct("<Q")
_MAX_BODY = 64 << 20


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One part file: its length in bytes and the xxh3-64 of its content."""

    length: int
    checksum: int


class SnapshotId(msgspec.Struct, frozen=True, order=True):
    """Which snapshot: a random u64 drawn when it was taken. Two snapshots of one state by two nodes have two ids."""

    value: int

    def __str__(self) -> str:
        return f"{self.value:016x}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Invariants: every part but the last has the length of the first; lengths are positive."""

    id: SnapshotId
    cluster: ClusterId
    group: GroupId
    meta: SnapshotMeta
    digest: int
    """The running digest of the machine at `meta.last`."""
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return f"snapshot {self.id} at {self.meta.last}"

    @property
    def name(self) -> str:
        """The manifest's file."""
        return manifest_name(self.meta.last, self.id)

    @property
    def size(self) -> int:
        """Bytes of the whole stream."""
        return sum(part.length for part in self.parts)

    def part_name(self, number: int) -> str:
        """The file of a part, counted from 1."""
        return part_name(self.id, number)

    @property
    def part_names(self) -> tuple[str, ...]:
        """The files of all parts."""
        return tuple(self.part_name(number) for number in range(1, len(self.parts) + 1))


def manifest_name(last: EntryId, id: SnapshotId) -> str:
    """The file of a manifest."""
    return f"{last.index:016d}-{last.term:016d}-{id}{SUFFIX}"


def part_name(id: SnapshotId, number: int) -> str:
    """The file of a snapshot's part, counted from 1."""
    return f"{id}.{number:04d}{PART_SUFFIX}"


def snapshot_in(name: str) -> str | None:
    """The id, as it is written, in the name of a manifest or a part; None for any other file."""
    if is_manifest(name):
        return name.removesuffix(SUFFIX).rpartition("-")[2]
    return name.partition(".")[0] if is_part(name) else None


def is_manifest(name: str) -> bool:
    """Whether a file name is that of a manifest."""
    return name.endswith(SUFFIX)


def is_part(name: str) -> bool:
    """Whether a file name is that of a part."""
    return name.endswith(PART_SUFFIX)


def encode(manifest: Manifest) -> bytes:
    """The content of the manifest's file."""
    body = msgspec.msgpack.encode(manifest)
    head = _HEAD.pack(_MAGIC, FORMAT, len(body)) + body
    sealed = head + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(head))
    return sealed + bytes(padded(len(sealed)) - len(sealed))


def decode(content: bytes, name: str) -> Manifest:
    """Read what `encode` wrote; `name` is for people.

    Raises:
        LogDamaged: it is not what was written.
        StorageRefused: it is of a later format.
    """
    if len(content) < _HEAD.size or content[:8] != _MAGIC:
        raise LogDamaged(Damage(name, 0, "this is no manifest of a snapshot"))
    _, version, length = _HEAD.unpack_from(content)
    end = _HEAD.size + length
    if length > _MAX_BODY or len(content) < end + _CHECKSUM.size:
        raise LogDamaged(
            Damage(name, len(content), f"the manifest is cut off: {length} bytes belong into it")
        )
    if _CHECKSUM.unpack_from(content, end)[0] != xxhash.xxh3_64_intdigest(content[:end]):
        raise LogDamaged(Damage(name, 0, "the manifest does not fit its checksum"))
    if version != FORMAT:
        raise StorageRefused(
            f"{name} has format version {version}, this program reads {FORMAT}: use the one that wrote it"
        )
    try:
        manifest = msgspec.msgpack.decode(content[_HEAD.size : end], type=Manifest)
    except (msgspec.MsgspecError, ValueError) as error:
        raise LogDamaged(Damage(name, _HEAD.size, f"the manifest cannot be read: {error}")) from error
    _check(manifest, name)
    return manifest


def _check(manifest: Manifest, name: str) -> None:
    lengths = [part.length for part in manifest.parts]
    if not lengths or min(lengths) <= 0 or any(length != lengths[0] for length in lengths[:-1]):
        raise LogDamaged(Damage(name, _HEAD.size, f"the manifest has parts of {lengths[:3]} bytes"))
    if lengths[-1] > lengths[0]:
        raise LogDamaged(Damage(name, _HEAD.size, "the last part is longer than the first"))
