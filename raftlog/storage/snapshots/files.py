"""The snapshots of a data directory: which there are, reading them, and letting old ones go."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Self

import xxhash

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import ClusterId, GroupId, Micros
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.damage import Damage, LogDamaged, bad_name
from raftlog.storage.disk import Disk, DiskError
from raftlog.storage.snapshots.manifest import (
    Manifest,
    SnapshotId,
    decode,
    is_manifest,
    is_part,
    snapshot_in,
)
from raftlog.storage.snapshots.writing import ASIDE, Receiver, Writer, discard, remove, seal

PART_SIZE = 8 << 20
"""Bytes of a part: what is held in memory while one is written, and lost when a transfer breaks."""


HELD: Micros = 60_000_000
"""How long a snapshot is not dropped after a piece of it was given to somebody."""


class SnapshotDamaged(LogDamaged):
    """A snapshot lost or changed something that had been synced. The state must come from elsewhere."""


class Snapshots:
    """Every complete snapshot of every group in one directory, newest last.

    One task writes at a time per group; reading may run beside it, and goes on where a snapshot is dropped meanwhile.

    Invariants:
    - what `newest` returns is durable, and stays until a newer one of its group is;
    - a file is only removed when no manifest on disk names it any more: manifests go first.
    """

    def __init__(
        self,
        disk: Disk,
        cluster: ClusterId,
        *,
        entropy: Callable[[], int],
        part_size: int,
        failpoints: Failpoints = INERT,
    ) -> None:
        self._disk = disk
        self._cluster = cluster
        self._entropy = entropy
        self._part_size = part_size
        self._failpoints = failpoints
        self._groups: dict[GroupId, list[Manifest]] = {}
        self._damage: list[Damage] = []
        self._given: dict[GroupId, tuple[Manifest, Micros]] = {}

    @classmethod
    async def open(
        cls,
        disk: Disk,
        cluster: ClusterId,
        *,
        entropy: Callable[[], int],
        part_size: int = PART_SIZE,
        failpoints: Failpoints = INERT,
    ) -> Self:
        """Find the snapshots, set aside those that are damaged, remove leftovers.

        Manifests are checked here, and that every part is there; the content of parts is checked when it is read.

        Raises:
            StorageRefused: a manifest of a later format.
            DiskError: the disk refused.
        """
        found = cls(disk, cluster, entropy=entropy, part_size=part_size, failpoints=failpoints)
        names = await disk.names()
        for name in names:
            if is_manifest(name):
                await found._take(name, names)
        await found._remove_leftovers()
        return found

    async def _take(self, name: str, names: list[str]) -> None:
        try:
            manifest = await read_manifest(self._disk, self._cluster, name)
        except LogDamaged as error:
            self._damage.append(error.damage)
            id = snapshot_in(name)
            await self._set_aside([part for part in names if is_part(part) and snapshot_in(part) == id], name)
        else:
            self.shelve(manifest)

    async def _remove_leftovers(self) -> None:
        named = {
            name for manifests in self._groups.values() for each in manifests for name in each.part_names
        }
        there = await self._disk.names()
        halves = [name for name in there if name.endswith(ASIDE) and is_manifest(name[: -len(ASIDE)])]
        leftovers = [name for name in there if is_part(name) and name not in named] + halves
        if leftovers and self._failpoints.armed:
            await self._failpoints.hit("snapshot.leftovers.before_remove", DiskError)
        await remove(self._disk, leftovers)

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
    def damage(self) -> tuple[Damage, ...]:
        """What of snapshots could not be read, since the directory was opened."""
        return tuple(self._damage)

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
        try:
            content = await self._disk.read(name, 0, part.length)
        except DiskError:
            if manifest in self.all(manifest.group) and name not in await self._disk.names():
                raise self._damaged(manifest, number, "the file is missing") from None
            raise
        if len(content) != part.length or xxhash.xxh3_64_intdigest(content) != part.checksum:
            raise self._damaged(manifest, number, "the part does not fit its checksum")
        return content

    def _damaged(self, manifest: Manifest, number: int, reason: str) -> SnapshotDamaged:
        damage = Damage(manifest.part_name(number), 0, reason, f"group {manifest.group}: {manifest}")
        if damage not in self._damage:
            self._damage.append(damage)
        return SnapshotDamaged(damage)

    async def verify(self, manifest: Manifest) -> None:
        """Read the whole stream and check it. Raises as `part` does."""
        async for _ in self.stream(manifest):
            pass

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

    def draw(self) -> SnapshotId:
        """An id for a snapshot to be taken."""
        return SnapshotId(self._entropy())

    @property
    def cluster(self) -> ClusterId:
        """Whose snapshots these are."""
        return self._cluster

    @property
    def part_size(self) -> int:
        """Bytes of a part of the snapshots yet to be taken."""
        return self._part_size

    def begin(self, group: GroupId, meta: SnapshotMeta, id: SnapshotId | None = None) -> Writer:
        """Start writing a snapshot of this node's own state."""
        return Writer(
            self._disk,
            self.shelve,
            id=id or self.draw(),
            cluster=self._cluster,
            group=group,
            meta=meta,
            part_size=self._part_size,
            failpoints=self._failpoints,
        )

    def receive(self, manifest: Manifest) -> Receiver:
        """Start receiving a snapshot from another node; it must not be here (`find`).

        Raises:
            LogDamaged: it is of another cluster.
        """
        if manifest.cluster != self._cluster:
            raise LogDamaged(Damage(manifest.name, 0, f"a snapshot of cluster {manifest.cluster:016x}"))
        assert self.find(manifest.id) is None, (
            f"{manifest} is here: to receive it again would remove it first"
        )
        return Receiver(self._disk, self.shelve, manifest, failpoints=self._failpoints)

    async def adopt(self, manifest: Manifest) -> None:
        """Make a snapshot of parts that another process has written and synced here, under an id that was drawn here.

        Raises:
            LogDamaged: the parts are not there, or have other lengths; nothing was changed.
            DiskFull, DiskError: it may not be one; `sweep` what it left.
        """
        assert manifest.cluster == self._cluster, f"{manifest} is of cluster {manifest.cluster:016x}"
        await check_parts(self._disk, manifest)
        await seal(self._disk, manifest, self._failpoints)
        self.shelve(manifest)

    async def sweep(self, id: SnapshotId) -> None:
        """Remove whatever is there of a snapshot that came to nothing.

        Raises:
            DiskError: the disk refused; what remains is removed by the next start.
        """
        assert self.find(id) is None, f"snapshot {id} is in use"
        names = [
            name for name in await self._disk.names() if snapshot_in(name.removesuffix(ASIDE)) == str(id)
        ]
        manifests = [name for name in names if not is_part(name)]
        await remove(self._disk, manifests)
        await remove(self._disk, [name for name in names if is_part(name)])

    def shelve(self, manifest: Manifest) -> None:
        """This snapshot is durable now."""
        manifests = self._groups.setdefault(manifest.group, [])
        manifests.append(manifest)
        manifests.sort(key=lambda each: (each.meta.last.index, each.id))

    # -- letting go

    def given(self, manifest: Manifest, now: Micros) -> None:
        """Its manifest or a piece goes to somebody, who is likely to want the next: it stays for a while.

        See `keep_newest`.
        """
        self._given[manifest.group] = (manifest, now)

    async def keep_newest(self, group: GroupId, count: int = 1, *, now: Micros | None = None) -> None:
        """Drop all but the newest `count` snapshots of a group. The newest is never dropped.

        With `now`, the one of which something was given last is kept as well, for `HELD` after that: else a transfer
        that takes longer than new snapshots do would never end.

        Raises:
            DiskError: the disk refused; what is left of a dropped one is removed by the next start.
        """
        assert count >= 1, "the newest snapshot is what the log relies on"
        held, at = self._given.get(group, (None, 0))
        for manifest in self.all(group)[:-count]:
            if now is not None and manifest == held and now < at + HELD:
                continue
            self._groups[group].remove(manifest)
            await discard(self._disk, manifest.name, manifest.part_names, self._failpoints)

    async def drop(self, manifest: Manifest) -> None:
        """Remove one that nobody relies on, be it the newest.

        Raises:
            DiskError: the disk refused; it is out of use, and the next start may find it again.
        """
        if manifest in self._groups.get(manifest.group, []):
            self._groups[manifest.group].remove(manifest)
            await discard(self._disk, manifest.name, manifest.part_names, self._failpoints)

    async def quarantine(self, manifest: Manifest) -> None:
        """Take a damaged snapshot out of use; its files stay for people, as `*.bad`. Once is enough.

        Raises:
            DiskError: the disk refused; it is out of use, and the next start finds it again.
        """
        if manifest in self._groups.get(manifest.group, []):
            self._groups[manifest.group].remove(manifest)
            await self._set_aside(manifest.part_names, manifest.name)

    async def _set_aside(self, parts: Iterable[str], manifest: str) -> None:
        """The manifest goes last: parts without one are leftovers, which the next start would remove."""
        names = await self._disk.names()
        for name in (*parts, manifest):
            if name in names:
                if self._failpoints.armed:
                    await self._failpoints.hit("snapshot.quarantine.before_rename", DiskError)
                if name == manifest:
                    await self._disk.sync_names()
                await self._disk.rename(name, bad_name(name, names))
        if self._failpoints.armed:
            await self._failpoints.hit("snapshot.quarantine.before_names_sync", DiskError)
        await self._disk.sync_names()


async def read_manifest(disk: Disk, cluster: ClusterId | None, name: str) -> Manifest:
    """Read a manifest and see that its parts are there, content unread. With a cluster, it must be of that.

    Raises:
        LogDamaged: something of it is missing or changed.
        StorageRefused: it is of a later format.
        DiskError: the disk refused.
    """
    manifest = decode(await disk.read(name, 0, await disk.size(name)), name)
    if manifest.name != name or cluster not in (None, manifest.cluster):
        reason = f"it holds {manifest.name} of cluster {manifest.cluster:016x}"
        raise LogDamaged(Damage(name, 0, reason, f"group {manifest.group}: {manifest}"))
    await check_parts(disk, manifest)
    return manifest


async def check_parts(disk: Disk, manifest: Manifest) -> None:
    """See that the parts are there, content unread.

    Raises:
        LogDamaged: one is missing, or has another length.
        DiskError: the disk refused.
    """
    names = await disk.names()
    for part, file in zip(manifest.parts, manifest.part_names, strict=True):
        found = await disk.size(file) if file in names else None
        if found != part.length:
            reason = "the file is missing" if found is None else f"it has {found} bytes and had {part.length}"
            raise LogDamaged(Damage(file, found or 0, reason, f"group {manifest.group}: {manifest}"))
