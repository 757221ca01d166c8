"""A waiting directory that holds a state already: how a restore makes it, and how its node becomes a member with it.

A restore turns an empty directory into that of a new node, which waits to be initialised like any other. In this order,
each durable before the next:

    restoring                           says that a restore is under way; while it is there, no node starts here
    0123456789abcdef.0001.part ...      the parts of each group's snapshot, as `snapshots.manifest` specifies them
    restored                            what they belong to, format 1 (below)
    identity                            a new node that waits

Then `restoring` is removed. So a directory that a crash left says what to do: nothing, or empty it and begin again.

Initialising writes for each group a manifest of the new cluster, with its members, and then as ever the first segment,
whose standing says that the log begins after that snapshot, and the identity last. A crash before the segment leaves a
directory that waits; the manifest that may be there by then belongs to nothing and is written anew. `restored` stays,
to say where the state is from.

    8  magic "RAFTLRST"     4  format version      4  length of the body
    body                    MessagePack of `Restored`
    8  xxh3-64 of everything before it             zeros up to a multiple of 512
"""

import struct
from collections.abc import Mapping
from typing import Final

import msgspec
import xxhash

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import ClusterId, GroupId, Micros, NodeId
from raftlog.core.membership import Membership, MembershipAt
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.damage import Damage, LogDamaged, StorageRefused
from raftlog.storage.disk import SECTOR, Disk
from raftlog.storage.format import padded
from raftlog.storage.identity import CUT_SHORT, RESTORING, Identity, save
from raftlog.storage.snapshots.manifest import Manifest
from raftlog.storage.snapshots.writing import seal, write_part

FORMAT: Final = 1
FILE: Final = "restored"

_MAGIC = b"RAFTLRST"
_HEAD = struct.Struct("<8sII")
_CHECKSUM = struct.Struct("<Q")
_ASIDE = ".new"
_AGAIN = "empty the directory and run `raftlog restore` again"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory was restored from.

    Invariant: one manifest per group, sorted by group, group 0 among them, each with its parts beside it.
    """

    source: ClusterId
    """The cluster whose state it is."""
    taken_at: Micros
    """When the backup was begun, since the Unix epoch."""
    machine: str
    """The name of the machine whose state it is."""
    manifests: tuple[Manifest, ...]
    """As they were in the source."""

    def encode(self) -> bytes:
        """The content of the file."""
        body = msgspec.msgpack.encode(self)
        head = _HEAD.pack(_MAGIC, FORMAT, len(body)) + body
        sealed = head + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(head))
        return sealed + bytes(padded(len(sealed)) - len(sealed))


class Restoring:
    """Makes one directory. `begin`, then `put` every part, then `finish`; `give_up` after an error."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    async def begin(self) -> None:
        """Take the directory.

        Raises:
            StorageRefused: it is not empty.
            DiskError: the disk refused.
        """
        names = await self._disk.names()
        if RESTORING in names:
            raise StorageRefused(CUT_SHORT)
        if names:
            raise StorageRefused(
                f"the directory is not empty (it holds {names[0]}): a restore makes a new node, and never goes into "
                "one that there is"
            )
        await self._disk.allocate(RESTORING, SECTOR)
        await self._disk.sync_names()

    async def put(self, manifest: Manifest, number: int, content: bytes) -> None:
        """Write a part, counted from 1. Raises DiskFull or DiskError."""
        await write_part(self._disk, manifest.part_name(number), content, INERT)

    async def finish(self, restored: Restored, node: NodeId) -> Identity:
        """Make it the directory of a new node that waits. Raises DiskFull or DiskError."""
        content = restored.encode()
        await self._disk.allocate(FILE + _ASIDE, len(content))
        await self._disk.write_and_sync(FILE + _ASIDE, 0, [content])
        await self._disk.rename(FILE + _ASIDE, FILE)
        await self._disk.sync_names()
        identity = Identity(node, None, restored.machine)
        await save(self._disk, identity)
        await self._disk.remove(RESTORING)
        await self._disk.sync_names()
        return identity

    async def give_up(self) -> None:
        """Empty the directory again, what says that it is of no use last. Raises DiskError."""
        names = await self._disk.names()
        for name in names:
            if name != RESTORING:
                await self._disk.remove(name)
        await self._disk.sync_names()
        if RESTORING in names:
            await self._disk.remove(RESTORING)
            await self._disk.sync_names()


async def load_restored(disk: Disk) -> Restored | None:
    """What the directory was restored from; None: it was not.

    Raises:
        LogDamaged: the file is unreadable.
        StorageRefused: another format version wrote it.
    """
    if FILE not in await disk.names():
        return None
    content = await disk.read(FILE, 0, await disk.size(FILE))
    if len(content) < _HEAD.size or content[:8] != _MAGIC:
        raise LogDamaged(Damage(FILE, 0, "it does not say what was restored"))
    _, version, length = _HEAD.unpack_from(content)
    if version != FORMAT:
        raise StorageRefused(
            f"{FILE} has format version {version}, this program reads {FORMAT}: use the one that wrote it"
        )
    end = _HEAD.size + length
    if len(content) < end + _CHECKSUM.size:
        raise LogDamaged(Damage(FILE, len(content), f"it is cut off: {length} bytes belong into it"))
    if _CHECKSUM.unpack_from(content, end)[0] != xxhash.xxh3_64_intdigest(content[:end]):
        raise LogDamaged(Damage(FILE, 0, "it does not fit its checksum"))
    try:
        return msgspec.msgpack.decode(content[_HEAD.size : end], type=Restored)
    except (msgspec.MsgspecError, ValueError) as error:
        raise LogDamaged(Damage(FILE, _HEAD.size, f"it cannot be read: {error}")) from error


async def adopt(
    disk: Disk,
    restored: Restored,
    cluster: ClusterId,
    membership: Membership,
    failpoints: Failpoints = INERT,
) -> Mapping[GroupId, SnapshotMeta]:
    """Make the restored state the new cluster's: where each group's log begins, its snapshots durable.

    Again, for another cluster, after a try that came to nothing, is the same as once.

    Raises:
        StorageRefused: parts of it are not there, or the cluster is the one it is from.
        DiskError: the disk refused; the directory waits as before.
    """
    if cluster == restored.source:
        raise StorageRefused(
            f"the state in this directory is from cluster {cluster:016x}: a restore makes a new cluster and never "
            "goes back into the old one, whose members hold other entries under the same indexes"
        )
    bases: dict[GroupId, SnapshotMeta] = {}
    for manifest in restored.manifests:
        await _check_parts(disk, manifest)
        meta = msgspec.structs.replace(manifest.meta, membership=MembershipAt(0, membership))
        await seal(disk, msgspec.structs.replace(manifest, cluster=cluster, meta=meta), failpoints)
        bases[manifest.group] = meta
    return bases


async def _check_parts(disk: Disk, manifest: Manifest) -> None:
    names = await disk.names()
    for part, name in zip(manifest.parts, manifest.part_names, strict=True):
        if name not in names or await disk.size(name) != part.length:
            raise StorageRefused(f"{name} of the restored state is missing or cut off: {_AGAIN}")
