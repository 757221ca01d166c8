"""What is in a backup file, format 1: the state of every group of a cluster, each at one index.

    +--------+----------+--------+--------+- - -+----------+--------+- - -+-----+
    | header | manifest | part 1 | part 2 |     | manifest | part 1 |     | end |
    +--------+----------+--------+--------+- - -+----------+--------+- - -+-----+
               the first group                    the next group

All integers are little-endian and unsigned. Checksums are xxh3-64: they catch accidents, not attackers.

Header. Its first 16 bytes keep their meaning in every later format.

    8  magic "RAFTLBAK"     4  format version      4  length of the body
    body                    MessagePack of `Header`
    8  checksum of everything before it

Block: manifest, part or end.

    4  kind (1 manifest, 2 part, 3 end)            4  number: of a part, from 1; else 0
    8  group                                       8  length of the content
    8  checksum of the content                     8  checksum of the 32 bytes before it
    content

The groups come in the order in which the header lists them, each with its manifest and then its parts in order. The
content of a manifest is the file that `raftlog.storage.snapshots.manifest` specifies, with its own magic, version and
checksum, as the node had it from which the group was taken; that of a part is the part file. So each part is checked
three times: by its block, by its manifest, and by the stream that all parts of a group make up together
(`raftlog.machine.snapshot`). The content of the end is the checksum of every byte before the end's block. Nothing
follows it: a file without an end is none, however much of it is whole.

The groups are consistent each by itself: of two groups one may be taken later than the other.
"""

import struct
from enum import IntEnum
from typing import Final

import msgspec
import xxhash

from raftlog.core.ids import META_GROUP, ClusterId, GroupId, Micros

FORMAT: Final = 1
MAGIC: Final = b"RAFTLBAK"
MAX_CONTENT: Final = 1 << 30
"""Bytes of one block: a length beyond this is damage."""

FIXED: Final = struct.Struct("<8sII")
CHECKSUM: Final = struct.Struct("<Q")
_BLOCK = struct.Struct("<IIQQQ")
BLOCK_HEAD: Final = _BLOCK.size + CHECKSUM.size
MAX_HEADER: Final = 1 << 20


class BackupRefused(Exception):
    """A file that this program cannot use as a backup: another kind of file, or of a later format."""


class BackupDamaged(Exception):
    """A backup that is not what was written. The sentence names the first damaged place; nothing of it is usable."""

    def __init__(self, file: str, place: str, offset: int, reason: str) -> None:
        super().__init__(f"the backup {file} is damaged: {place}, at byte {offset}, {reason}")
        self.place = place
        self.offset = offset
        self.reason = reason


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Where a backup is from."""

    cluster: ClusterId
    """The cluster whose state it is; never that of a cluster made from it."""
    taken_at: Micros
    """Since the Unix epoch, when it was begun, by the clock of the machine that wrote the file."""
    release: str
    """Of raftlog, that wrote the file."""
    groups: tuple[GroupId, ...]

    def encode(self) -> bytes:
        """With everything around it."""
        body = msgspec.msgpack.encode(self)
        head = FIXED.pack(MAGIC, FORMAT, len(body)) + body
        return head + CHECKSUM.pack(xxhash.xxh3_64_intdigest(head))


class Kind(IntEnum):
    """What a block holds."""

    MANIFEST = 1
    PART = 2
    END = 3


class BlockHead(msgspec.Struct, frozen=True):
    """What stands before a block's content."""

    kind: int
    number: int
    group: GroupId
    length: int
    checksum: int

    def encode(self) -> bytes:
        """With its own checksum."""
        head = _BLOCK.pack(self.kind, self.number, self.group, self.length, self.checksum)
        return head + CHECKSUM.pack(xxhash.xxh3_64_intdigest(head))

    def fits(self, content: bytes) -> bool:
        """Whether this is the content it was written for."""
        return (len(content), xxhash.xxh3_64_intdigest(content)) == (self.length, self.checksum)


def block_head(kind: Kind, content: bytes, *, group: GroupId = META_GROUP, number: int = 0) -> BlockHead:
    """The head of a block with that content."""
    assert len(content) <= MAX_CONTENT, f"a block of {len(content)} bytes cannot be read back"
    return BlockHead(kind, number, group, len(content), xxhash.xxh3_64_intdigest(content))


def decode_block_head(head: bytes) -> BlockHead | None:
    """Read what `BlockHead.encode` wrote; None when it is not that."""
    if len(head) != BLOCK_HEAD or CHECKSUM.unpack_from(head, _BLOCK.size)[0] != xxhash.xxh3_64_intdigest(
        head[: _BLOCK.size]
    ):
        return None
    kind, number, group, length, checksum = _BLOCK.unpack_from(head)
    return BlockHead(kind, number, GroupId(group), length, checksum) if length <= MAX_CONTENT else None
