"""The snapshots of a data directory: which there are, reading them, and letting old ones go."""

from collections.abc import AsyncIterator, Callable
from typing import Self

import xxhash

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import ClusterId, GroupId
from raftlog.storage.damage import Damage, LogDamaged
from raftlog.storage.disk import Disk, DiskError
from raftlog.storage.snapshots.manifest import Manifest, SnapshotId, decode, is_manifest, is_part
from raftlog.storage.snapshots.writing import ASIDE, Receiver, Writer, remove

PART_SIZE = 8 << 20
"""Bytes of a part: what is held in memory while one is written, and lost when a transfer breaks."""

QUARANTINED = ".bad"


class SnapshotDamaged(LogDamaged):
    """A snapshot lost or changed something that had been synced. The state must come from elsewhere."""


class Snapshots:
    """Every complete snapshot of every group in one directory, newest last.

    One task writes at a time per group; reading may run beside it, and goes on where a snapshot is dropped meanwhile.

    Invariants:
    - what `newest` returns is durable, and stays until a newer one of its group is;
    - a file is only removed when no manifest on disk names it any more: manifests go first.
    """

    def __init__(self, disk: Disk, cluster: ClusterId, *, entropy: Callable[[], int], part_size: int) -> None:
        self._disk = disk
        self._cluster = cluster
        self._entropy = entropy
        self._part_size = part_size
        self._groups: dict[GroupId, list[Manifest]] = {}
        self.damage: list[Damage] = []
        """Snapshots that could not be read, since the directory was opened; their manifests are kept as `*.bad`."""

    @classmethod
    async def open(
        cls, disk: Disk, cluster: ClusterId, *, entropy: Callable[[], int], part_size: int = PART_SIZE
    ) -> Self:
        """Find the snapshots and remove leftovers. Manifests are checked here, parts when they are read.

        Raises:
            StorageRefused: a manifest of a later format.
            DiskError: the disk refused.
        """
        found = cls(disk, cluster, entropy=entropy, part_size=part_size)
        for name in await disk.names():
            if is_manifest(name):
                await found._take(name)
        await found._remove_leftovers()
        return found

    async def _take(self, name: str) -> None:
        try:
            manifest = decode(await self._disk.read(name, 0, await self._disk.size(name)), name)
            if manifest.name != name or manifest.cluster != self._cluster:
                raise LogDamaged(
                    Damage(
                        name,
                        0,
                        f"it is {manifest.name} of cluster {manifest.cluster:016x}, not what it is called",
                    )
                )
        except LogDamaged as error:
            self.damage.append(error.damage)
            await self._set_aside(name)
            return
        self.shelve(manifest)

    async def _remove_leftovers(self) -> None:
        named = {
            name for manifests in self._groups.values() for each in manifests for name in each.part_names
        }
        there = await self._disk.names()
        await remove(self._disk, [name for name in there if is_part(name) and name not in named])
        await remove(
            self._disk, [name for name in there if name.endswith(ASIDE) and is_manifest(name[: -len(ASIDE)])]
        )

    # -- asking

    def newest(self, group: GroupId) -> Manifest | None:
        """The newest snapshot of a group."""
        manifests = self._groups.get(group)
        return manifests[-1] if manifests else None

    def all(self, group: GroupId) -> tuple[Manifest, ...]:
        """Every snapshot of a group, newest last."""
        return tuple(self._groups.get(group, ()))

    def find(self, id: SnapshotId) -> Manifest | None:
        """The snapshot with that id, if it is here."""
        every = (manifest for manifests in self._groups.values() for manifest in manifests)
        return next((manifest for manifest in every if manifest.id == id), None)

    @property
    def size(self) -> int:
        """Bytes that all snapshots take on disk, manifests aside."""
        return sum(each.size for manifests in self._groups.values() for each in manifests)

    # -- reading

    async def part(self, manifest: Manifest, number: int) -> bytes:
        """A part, counted from 1, checked.

        Raises:
            SnapshotDamaged: its bytes are not what was written.
            DiskError: the device refused, or the snapshot was dropped.
        """
        part, name = manifest.parts[number - 1], manifest.part_name(number)
        content = await self._disk.read(name, 0, part.length)
        if len(content) != part.length or xxhash.xxh3_64_intdigest(content) != part.checksum:
            damage = Damage(name, 0, "the part does not fit its checksum", f"snapshot {manifest.meta.last}")
            self.damage.append(damage)
            raise SnapshotDamaged(damage)
        return content

    async def piece(self, manifest: Manifest, number: int, offset: int, length: int) -> bytes:
        """Bytes of a part as they lie on disk: whoever puts the part together checks it.

        Raises:
            DiskError: the device refused, or the snapshot was dropped.
        """
        return await self._disk.read(manifest.part_name(number), offset, length)

    async def stream(self, manifest: Manifest) -> AsyncIterator[bytes]:
        """The whole stream, part by part, each checked before it is given. Raises as `part` does."""
        for number in range(1, len(manifest.parts) + 1):
            yield await self.part(manifest, number)

    # -- writing

    def begin(self, group: GroupId, meta: SnapshotMeta) -> Writer:
        """Start writing a snapshot of this node's own state."""
        return Writer(
            self._disk,
            self.shelve,
            id=SnapshotId(self._entropy()),
            cluster=self._cluster,
            group=group,
            meta=meta,
            part_size=self._part_size,
        )

    def receive(self, manifest: Manifest) -> Receiver:
        """Start receiving a snapshot from another node.

        Raises:
            LogDamaged: it is of another cluster.
        """
        if manifest.cluster != self._cluster:
            raise LogDamaged(Damage(manifest.name, 0, f"a snapshot of cluster {manifest.cluster:016x}"))
        return Receiver(self._disk, self.shelve, manifest)

    def shelve(self, manifest: Manifest) -> None:
        """This snapshot is durable now."""
        manifests = self._groups.setdefault(manifest.group, [])
        manifests.append(manifest)
        manifests.sort(key=lambda each: (each.meta.last.index, each.id))

    # -- letting go

    async def keep_newest(self, group: GroupId, count: int = 1) -> None:
        """Drop all but the newest `count` snapshots of a group. The newest is never dropped."""
        assert count >= 1, "the newest snapshot is what the log relies on"
        for manifest in self.all(group)[:-count]:
            await self._drop(manifest)

    async def quarantine(self, manifest: Manifest) -> None:
        """Take a damaged snapshot out of use; its files stay for people, as `*.bad`."""
        self._groups[manifest.group].remove(manifest)
        for name in (manifest.name, *manifest.part_names):
            await self._set_aside(name)

    async def _drop(self, manifest: Manifest) -> None:
        self._groups[manifest.group].remove(manifest)
        await self._disk.remove(manifest.name)
        await self._disk.sync_names()
        await remove(self._disk, list(manifest.part_names))

    async def _set_aside(self, name: str) -> None:
        try:
            await self._disk.rename(name, name + QUARANTINED)
            await self._disk.sync_names()
        except DiskError as error:
            self.damage.append(Damage(name, 0, f"it could not be set aside: {error}"))
