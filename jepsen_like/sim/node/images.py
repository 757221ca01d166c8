"""Reads log and snapshots from a disk at rest, through the node's own recovery, without letting any time pass."""

from collections.abc import Coroutine, Sequence
from typing import Any, Never, TypeVar

import msgspec
import xxhash

from jepsen_like.sim.image import Image, Snapshot
from raftlog.core.entry import Entry
from raftlog.core.ids import META_GROUP, GroupId
from raftlog.storage.damage import LogDamaged, StorageRefused
from raftlog.storage.disk import DiskError
from raftlog.storage.format import segment_name
from raftlog.storage.group import GroupLog
from raftlog.storage.records import decode_entry
from raftlog.storage.recovery import Examined, examine
from raftlog.storage.snapshots.files import read_manifest
from raftlog.storage.snapshots.manifest import Manifest, is_manifest
from raftlog.testing.platter import Platter

T = TypeVar("T")


class StillDisk:
    """A platter as a `Disk` that can only be read, at once."""

    def __init__(self, platter: Platter) -> None:
        self._files = platter.names

    async def names(self) -> list[str]:
        """See `Disk.names`."""
        return sorted(self._files)

    async def size(self, name: str) -> int:
        """See `Disk.size`."""
        return len(self._files[name].cache)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        return bytes(self._files[name].cache[offset : offset + length])

    async def _refuse(self, *_: object) -> Never:
        raise DiskError("a disk at rest is only read")

    async def allocate(self, name: str, size: int) -> None:
        """Refused."""
        await self._refuse()

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """Refused."""
        await self._refuse()

    async def sync(self, name: str) -> None:
        """Refused."""
        await self._refuse()

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """Refused."""
        await self._refuse()

    async def rename(self, old: str, new: str) -> None:
        """Refused."""
        await self._refuse()

    async def remove(self, name: str) -> None:
        """Refused."""
        await self._refuse()

    async def sync_names(self) -> None:
        """Refused."""
        await self._refuse()

    async def close(self) -> None:
        """Nothing to do."""


def found(platter: Platter) -> Examined:
    """What recovery makes of a disk.

    Raises:
        LogDamaged, StorageRefused: as `examine`.
    """
    return at_once(examine(StillDisk(platter)))


def image_of(platter: Platter, group: GroupId = META_GROUP) -> Image:
    """A group's log and newest sound snapshot as a node that starts from this disk finds them.

    Raises:
        LogDamaged, StorageRefused: as `examine`.
    """
    log = found(platter).groups[group]
    base = log.recovered().base
    entries = _entries(platter, log, base.last.index + 1)
    sound = [each for each in snapshots_on(platter) if each.manifest.group == group]
    newest = sound[-1].snapshot if sound else None
    return Image(base, log.hard_state, entries, newest, bool(log.impairment))


class Kept(msgspec.Struct, frozen=True):
    """A snapshot that a disk holds, every byte of it checked."""

    manifest: Manifest
    snapshot: Snapshot
    """Its `state` is the hash of the whole stream: equal states at one index have equal streams."""


def snapshots_on(platter: Platter) -> list[Kept]:
    """The sound snapshots, oldest first; what is damaged is as good as not there."""
    sound = [kept for name in sorted(platter.names) if is_manifest(name) and (kept := _kept(platter, name))]
    return sorted(sound, key=lambda kept: (kept.snapshot.meta.last.index, kept.manifest.id))


def _kept(platter: Platter, name: str) -> Kept | None:
    try:
        manifest = at_once(read_manifest(StillDisk(platter), None, name))
    except (LogDamaged, StorageRefused):
        return None
    stream = xxhash.xxh3_64()
    for part, file in zip(manifest.parts, manifest.part_names, strict=True):
        content = bytes(platter.names[file].cache)
        if xxhash.xxh3_64_intdigest(content) != part.checksum:
            return None
        stream.update(content)
    return Kept(manifest, Snapshot(manifest.meta, manifest.digest, stream.intdigest()))


def _entries(platter: Platter, log: GroupLog, first: int) -> list[Entry]:
    contents: dict[int, bytes] = {}
    entries = []
    for index in range(first, log.last.index + 1):
        place = log.place_of(index)
        if place.segment not in contents:
            contents[place.segment] = bytes(platter.names[segment_name(place.segment)].cache)
        entries.append(decode_entry(contents[place.segment], place.offset))
    return entries


def durable_only(platter: Platter) -> Platter:
    """The disk after the unluckiest power failure: nothing is kept that no sync covers."""
    return platter.worst_crash()


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError(f"{work} waits for something")


__all__ = ["Kept", "LogDamaged", "StillDisk", "at_once", "durable_only", "found", "image_of", "snapshots_on"]
