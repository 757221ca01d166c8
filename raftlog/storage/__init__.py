"""The log on disk: segments, records and recovery over the Disk port.

Start with `format` for what the files look like, `wal` for what a node does with them, `recovery` for what a
crash leaves.
"""

from raftlog.storage.damage import Compacted, Damage, LogDamaged, StorageRefused
from raftlog.storage.disk import Disk, DiskError, DiskFull
from raftlog.storage.group import GroupWrite
from raftlog.storage.identity import Identity, keep_machine, load_or_create
from raftlog.storage.local import LocalDisk
from raftlog.storage.wal import Wal

__all__ = [
    "Compacted",
    "Damage",
    "Disk",
    "DiskError",
    "DiskFull",
    "GroupWrite",
    "Identity",
    "LocalDisk",
    "LogDamaged",
    "StorageRefused",
    "Wal",
    "keep_machine",
    "load_or_create",
]
