"""A snapshot coming into being: written by its own node, or received from another."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import xxhash

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import ClusterId, GroupId
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.damage import Damage, LogDamaged
from raftlog.storage.disk import Disk, DiskError, DiskFull
from raftlog.storage.snapshots.manifest import Manifest, Part, SnapshotId, encode, manifest_name, part_name

ASIDE = ".new"
_STEP = 1 << 20
"""Bytes of a part that are written and synced at a time: the log's own syncs stand behind no more than that."""


Shelve: TypeAlias = Callable[[Manifest], None]
"""Told that a snapshot is durable now."""


class Writer:
    """Takes the stream of one snapshot, piece by piece. Holds at most one part in memory.

    End with `commit` or `abandon`. A crash before `commit` returned leaves leftovers that the next start removes, or
    the whole snapshot.
    """

    def __init__(
        self,
        disk: Disk,
        shelve: Shelve,
        *,
        id: SnapshotId,
        cluster: ClusterId,
        group: GroupId,
        meta: SnapshotMeta,
        part_size: int,
        failpoints: Failpoints = INERT,
    ) -> None:
        self._disk = disk
        self._shelve = shelve
        self._failpoints = failpoints
        self._id = id
        self._cluster = cluster
        self._group = group
        self._meta = meta
        self._part_size = part_size
        self._pieces: list[bytes] = []
        self._held = 0
        self._parts: list[Part] = []

    async def write(self, piece: bytes) -> None:
        """Add to the stream.

        Raises:
            DiskFull: there is no space for the next part.
            DiskError: the disk refused.
        """
        start = 0
        while start < len(piece):
            taken = min(len(piece) - start, self._part_size - self._held)
            self._pieces.append(piece[start : start + taken])
            self._held += taken
            start += taken
            if self._held == self._part_size:
                await self._flush()

    async def commit(self, digest: int) -> Manifest:
        """Make it a snapshot, in one step; `digest` is the machine's at the last entry.

        Raises:
            DiskFull, DiskError: it may not be one; abandon it.
        """
        manifest = await self.finish(digest)
        await seal(self._disk, manifest, self._failpoints)
        self._shelve(manifest)
        return manifest

    async def finish(self, digest: int) -> Manifest:
        """Write what is left; the manifest that would make the parts a snapshot. For whoever leaves that to another.

        Raises:
            DiskFull, DiskError: as `write` does.
        """
        await self._flush()
        assert self._parts, "a snapshot of no bytes is none"
        return Manifest(
            id=self._id,
            cluster=self._cluster,
            group=self._group,
            meta=self._meta,
            digest=digest,
            parts=tuple(self._parts),
        )

    async def abandon(self) -> None:
        """Remove what was written. Not after `commit` returned.

        Raises:
            DiskError: the disk refused; what remains is removed by the next start, unless it is the whole snapshot.
        """
        parts = [part_name(self._id, number + 1) for number in range(len(self._parts) + 1)]
        await discard(self._disk, manifest_name(self._meta.last, self._id), parts, self._failpoints)

    async def _flush(self) -> None:
        if not self._held:
            return
        content = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        name = part_name(self._id, len(self._parts) + 1)
        await write_part(self._disk, name, content, self._failpoints)
        self._parts.append(Part(len(content), xxhash.xxh3_64_intdigest(content)))


class Receiver:
    """Takes the parts of a snapshot that another node has, in any order, each checked before it counts.

    A broken connection costs at most the part that was under way: `missing` says what is still wanted.
    """

    def __init__(
        self, disk: Disk, shelve: Shelve, manifest: Manifest, *, failpoints: Failpoints = INERT
    ) -> None:
        self._disk = disk
        self._shelve = shelve
        self._failpoints = failpoints
        self.manifest = manifest
        self._have: set[int] = set()

    @property
    def missing(self) -> list[int]:
        """Numbers of the parts still wanted, in order."""
        return [number for number in range(1, len(self.manifest.parts) + 1) if number not in self._have]

    async def put(self, number: int, content: bytes) -> None:
        """Take a part, counted from 1.

        Raises:
            LogDamaged: it is not the part of this snapshot; nothing was written.
            DiskFull, DiskError: the disk refused.
        """
        name = self.manifest.part_name(number)
        if not 1 <= number <= len(self.manifest.parts):
            raise LogDamaged(
                Damage(name, 0, f"a snapshot of {len(self.manifest.parts)} parts has no such part")
            )
        part = self.manifest.parts[number - 1]
        if (len(content), xxhash.xxh3_64_intdigest(content)) != (part.length, part.checksum):
            raise LogDamaged(Damage(name, 0, f"{len(content)} bytes came that do not fit the manifest"))
        if number not in self._have:
            await write_part(self._disk, name, content, self._failpoints)
            self._have.add(number)

    async def commit(self) -> Manifest:
        """Make it a snapshot here, in one step.

        Raises:
            DiskFull, DiskError: it may not be one; abandon it.
        """
        assert not self.missing, f"parts {self.missing} have not come"
        await seal(self._disk, self.manifest, self._failpoints)
        self._shelve(self.manifest)
        return self.manifest

    async def abandon(self) -> None:
        """Remove what was received. Not after `commit` returned. Raises as `Writer.abandon` does."""
        await discard(self._disk, self.manifest.name, self.manifest.part_names, self._failpoints)


async def write_part(disk: Disk, name: str, content: bytes, failpoints: Failpoints) -> None:
    """Write and sync a part; its name is not yet durable."""
    if name in await disk.names():
        await disk.remove(name)  # of an attempt that failed
    if failpoints.armed:
        await failpoints.hit("snapshot.part.before_allocate", DiskFull)
    await disk.allocate(name, len(content))
    if failpoints.armed:
        await failpoints.hit("snapshot.part.before_write", DiskError)
    for start in range(0, len(content), _STEP):
        await disk.write_and_sync(name, start, [content[start : start + _STEP]])
    if failpoints.armed:
        await failpoints.hit("snapshot.part.after_sync", DiskError)


async def seal(disk: Disk, manifest: Manifest, failpoints: Failpoints) -> None:
    """Make the parts a snapshot: once this returned it survives a crash, before the rename there is none."""
    if failpoints.armed:
        await failpoints.hit("snapshot.before_parts_sync", DiskError)
    await disk.sync_names()
    content, aside = encode(manifest), manifest.name + ASIDE
    if aside in await disk.names():
        await disk.remove(aside)
    if failpoints.armed:
        await failpoints.hit("snapshot.before_allocate", DiskFull)
    await disk.allocate(aside, len(content))
    if failpoints.armed:
        await failpoints.hit("snapshot.before_write", DiskError)
    await disk.write_and_sync(aside, 0, [content])
    if failpoints.armed:
        await failpoints.hit("snapshot.before_rename", DiskError)
    await disk.rename(aside, manifest.name)
    if failpoints.armed:
        await failpoints.hit("snapshot.before_names_sync", DiskError)
    await disk.sync_names()
    if failpoints.armed:
        await failpoints.hit("snapshot.after_names_sync", DiskError)


async def discard(disk: Disk, manifest: str, parts: Iterable[str], failpoints: Failpoints) -> None:
    """Remove a snapshot, whole or half-made: the manifest first and for good, so that none is without its parts."""
    if failpoints.armed:
        await failpoints.hit("snapshot.drop.before_manifest", DiskError)
    there = set(await disk.names())
    await remove(disk, sorted(there & {manifest, manifest + ASIDE}))
    if failpoints.armed:
        await failpoints.hit("snapshot.drop.before_parts", DiskError)
    await remove(disk, sorted(there & set(parts)))


async def remove(disk: Disk, names: list[str]) -> None:
    """Remove these files, durably."""
    for name in names:
        await disk.remove(name)
    if names:
        await disk.sync_names()
