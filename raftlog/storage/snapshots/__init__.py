"""Snapshot files: states of machines on disk, in parts, each complete or not there."""

from raftlog.storage.snapshots.files import PART_SIZE, SnapshotDamaged, Snapshots
from raftlog.storage.snapshots.manifest import Manifest, Part, SnapshotId
from raftlog.storage.snapshots.writing import Receiver, Writer

__all__ = [
    "PART_SIZE",
    "Manifest",
    "Part",
    "Receiver",
    "SnapshotDamaged",
    "SnapshotId",
    "Snapshots",
    "Writer",
]
