"""Makes the directories of new, waiting nodes from a backup file."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from raftlog.backup.checking import Contents
from raftlog.backup.format import BackupDamaged, BackupRefused
from raftlog.backup.reading import BackupReader
from raftlog.clock import Clock
from raftlog.core.ids import META_GROUP, NodeId
from raftlog.storage import Disk, DiskError, Identity
from raftlog.storage.restored import Restored, Restoring
from raftlog.storage.snapshots import Manifest


async def restore(
    file: Path,
    found: Contents,
    disks: Sequence[Disk],
    *,
    clock: Clock,
    on_read: Callable[[int], None] = lambda offset: None,
) -> list[Identity]:
    """Turn each of these empty directories into that of a new node with the state in `file`, which waits for a cluster.

    All of them or none, short of a crash, which leaves directories that say what to do. One part of the file is in
    memory at a time, and the file is read once, whatever the number of directories.

    Args:
        file: the backup.
        found: what `checking.check` said of it.
        disks: the directories.
        clock: draws the ids of the nodes.
        on_read: told how far the file was read.

    Raises:
        BackupDamaged, BackupRefused: the file is not what `check` read.
        StorageRefused: one of the directories is not empty.
        DiskError: one of the disks refused.
    """
    begun: list[Restoring] = []
    try:
        for disk in disks:
            making = Restoring(disk)
            await making.begin()
            begun.append(making)
        manifests = await _copy(file, begun, on_read)
        restored = Restored(
            source=found.header.cluster,
            taken_at=found.header.taken_at,
            machine=machine_of(found),
            manifests=tuple(manifests),
        )
        return [await making.finish(restored, NodeId(clock.entropy())) for making in begun]
    except Exception:
        for making in begun:
            with suppress(DiskError):  # what is left there says that it is of no use
                await making.give_up()
        raise


def machine_of(found: Contents) -> str:
    """The name of the machine in a backup.

    Raises:
        BackupRefused: it lacks the group that every cluster has.
    """
    for each in found.groups:
        if each.group == META_GROUP:
            return each.machine
    raise BackupRefused(f"the backup has no group {META_GROUP}: nothing can be made of it")


async def _copy(file: Path, begun: Sequence[Restoring], on_read: Callable[[int], None]) -> Sequence[Manifest]:
    """Every part to every directory."""
    manifests: list[Manifest] = []
    try:
        with file.open("rb") as source:
            reader = BackupReader(source, str(file))
            for manifest, parts in reader.groups():
                for number, content in enumerate(parts, start=1):
                    for making in begun:
                        await making.put(manifest, number, content)
                    on_read(reader.offset)
                manifests.append(manifest)
    except OSError as error:
        raise BackupDamaged(str(file), "the file", 0, f"cannot be read: {error.strerror}") from None
    return sorted(manifests, key=lambda manifest: manifest.group)
