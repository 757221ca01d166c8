"""What snapshots the disk of a running node holds for good, as the disk itself shows it."""

from collections.abc import Callable, Sequence

from jepsen_like.sim.node.images import Kept, snapshots_on
from raftlog.storage.snapshots.manifest import is_manifest
from raftlog.testing.platter import Event, NamesSynced, Platter, Removed, Renamed


class Shelf:
    """Told of everything that happens to the disk, it tells of every change of its snapshots once that is durable.

    The node is not asked: a snapshot counts when its names are synced, and every byte of it was read and checked.
    """

    def __init__(self, platter: Platter, changed: Callable[[Sequence[Kept]], None]) -> None:
        """`changed` is given the sound snapshots, oldest first; now as well."""
        self._platter = platter
        self._changed = changed
        self._touched = False
        changed(snapshots_on(platter))

    def happened(self, event: Event) -> None:
        """Something happened to the disk."""
        match event:
            case Renamed(old=old, new=new):
                self._touched |= is_manifest(old) or is_manifest(new)
            case Removed(name=name):
                self._touched |= is_manifest(name)
            case NamesSynced() if self._touched:
                self._touched = False
                self._changed(snapshots_on(self._platter))
            case _:
                pass
