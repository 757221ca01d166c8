"""A backup file read from its beginning to its end, every byte checked on the way."""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec
import xxhash

from raftlog.backup.format import (
    BLOCK_HEAD,
    CHECKSUM,
    FIXED,
    FORMAT,
    MAGIC,
    MAX_HEADER,
    BackupDamaged,
    BackupRefused,
    BlockHead,
    Header,
    Kind,
    decode_block_head,
)
from raftlog.core.ids import META_GROUP, GroupId
from raftlog.storage.damage import LogDamaged, StorageRefused
from raftlog.storage.snapshots import Manifest
from raftlog.storage.snapshots.manifest import decode


class BackupReader:
    """Gives the groups of a backup, one after the other; holds one part in memory.

    Invariant: `_running` is the checksum of the bytes before `offset`.
    """

    def __init__(self, source: BinaryIO, name: str) -> None:
        """Read the header; `name` is for people.

        Raises:
            BackupRefused: it is no backup, or of a later format.
            BackupDamaged: the header is not what was written.
        """
        self._source = source
        self._name = name
        self._running = xxhash.xxh3_64()
        self.offset = 0
        """How far it was read."""
        self.header = self._header()

    def groups(self) -> Iterator[tuple[Manifest, Iterator[bytes]]]:
        """Each group's manifest and its parts, which must be used up before the next group's.

        Raises:
            BackupDamaged: and where. What was given before is whole as far as it goes; the file as a whole is not.
            BackupRefused: a manifest of a later format.
        """
        for group in self.header.groups:
            manifest = self._manifest(group)
            parts = self._parts(manifest)
            yield manifest, parts
            assert next(parts, None) is None, f"parts of group {group} were left unread"
        self._end()

    def _header(self) -> Header:
        fixed = self._source.read(FIXED.size)
        if fixed[:8] != MAGIC[: len(fixed)] or not fixed:
            raise BackupRefused(f"{self._name} is no backup of raftlog")
        if len(fixed) < FIXED.size:
            raise self._cut_off("the header", len(fixed))
        _, version, length = FIXED.unpack(fixed)
        if version != FORMAT:
            raise BackupRefused(
                f"the backup {self._name} has format version {version}, this program reads {FORMAT}: "
                "use the release that wrote it, or a later one"
            )
        if length > MAX_HEADER:
            raise self._damaged("the header", f"cannot have {length} bytes")
        rest = self._source.read(length + CHECKSUM.size)
        if len(rest) < length + CHECKSUM.size:
            raise self._cut_off("the header", len(fixed) + len(rest))
        if CHECKSUM.unpack_from(rest, length)[0] != xxhash.xxh3_64_intdigest(fixed + rest[:length]):
            raise self._damaged("the header", "does not fit its checksum")
        self._took(fixed + rest)
        try:
            return msgspec.msgpack.decode(rest[:length], type=Header)
        except ValueError as error:
            raise self._damaged("the header", f"cannot be read: {error}") from None

    def _manifest(self, group: GroupId) -> Manifest:
        place, start = f"the manifest of group {group}", self.offset
        content = self._block(Kind.MANIFEST, place, group=group)
        try:
            manifest = decode(content, f"{place} in {self._name}")
        except LogDamaged as error:
            raise BackupDamaged(self._name, place, start, error.damage.reason) from None
        except StorageRefused as error:
            raise BackupRefused(str(error)) from None
        if (manifest.group, manifest.cluster) != (group, self.header.cluster):
            reason = f"is of group {manifest.group} of cluster {manifest.cluster:016x}"
            raise BackupDamaged(self._name, place, start, reason)
        return manifest

    def _parts(self, manifest: Manifest) -> Iterator[bytes]:
        for number, part in enumerate(manifest.parts, start=1):
            place, start = f"part {number} of group {manifest.group}", self.offset
            content = self._block(Kind.PART, place, group=manifest.group, number=number)
            if (len(content), xxhash.xxh3_64_intdigest(content)) != (part.length, part.checksum):
                raise BackupDamaged(self._name, place, start, "does not fit the manifest")
            yield content

    def _end(self) -> None:
        start, expected = self.offset, self._running.intdigest()
        content = self._block(Kind.END, "the end")
        if content != CHECKSUM.pack(expected):
            raise BackupDamaged(self._name, "the end", start, "does not fit the checksum of the whole")
        if self._source.read(1):
            raise self._damaged("the end", "is followed by more")

    def _block(self, kind: Kind, place: str, *, group: GroupId = META_GROUP, number: int = 0) -> bytes:
        raw = self._source.read(BLOCK_HEAD)
        if len(raw) < BLOCK_HEAD:
            raise self._cut_off(place, self.offset + len(raw))
        head = decode_block_head(raw)
        if head is None:
            raise self._damaged(place, "has a head that does not fit its checksum")
        if (head.kind, head.group, head.number) != (kind, group, number):
            raise self._damaged(place, f"is missing: {_words(head)} is in its place")
        content = self._source.read(head.length)
        if len(content) < head.length:
            raise self._cut_off(place, self.offset + len(raw) + len(content))
        if not head.fits(content):
            raise self._damaged(place, "does not fit its checksum")
        self._took(raw)
        self._took(content)
        return content

    def _took(self, content: bytes) -> None:
        self._running.update(content)
        self.offset += len(content)

    def _damaged(self, place: str, reason: str) -> BackupDamaged:
        return BackupDamaged(self._name, place, self.offset, reason)

    def _cut_off(self, place: str, size: int) -> BackupDamaged:
        return self._damaged(place, f"is cut off: the file ends after {size} bytes")


def _words(head: BlockHead) -> str:
    match head.kind:
        case Kind.MANIFEST:
            return f"the manifest of group {head.group}"
        case Kind.PART:
            return f"part {head.number} of group {head.group}"
        case Kind.END:
            return "the end"
        case _:
            return f"a block of kind {head.kind}"
