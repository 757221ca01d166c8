"""Has a group's state be that of a snapshot that is here and durable."""

from collections.abc import Coroutine
from typing import Protocol

from raftlog.clock import Clock
from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import GroupId
from raftlog.core.raft import Raft
from raftlog.machine.snapshot import SnapshotRefused
from raftlog.node.applying import Applying
from raftlog.node.offload import Offload
from raftlog.storage import DiskError, LogDamaged, Wal
from raftlog.transport.events import OnEvent


class Surroundings(Protocol):
    """What it uses of its node."""

    clock: Clock
    wal: Wal
    offload: Offload

    def kick(self) -> None:
        """Have the replica pumped soon."""
        ...

    def start_aside(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the node, which is cancelled when that is left."""
        ...


class Restoring:
    """The state is built beside the present one and takes its place at once, or not at all."""

    def __init__(
        self, around: Surroundings, group: GroupId, raft: Raft, applying: Applying, on_event: OnEvent
    ) -> None:
        self._around = around
        self._group = group
        self._raft = raft
        self._applying = applying
        self._on_event = on_event

    def newest(self) -> None:
        """Begin with the state of the newest snapshot, where there is one; else with the machine's first."""
        newest = self._around.wal.snapshots.newest(self._group)
        if newest is not None:
            self.begin(newest.meta)

    def begin(self, meta: SnapshotMeta) -> None:
        """Have the state be that of the snapshot at `meta`, which is here and durable."""
        self._applying.await_state(meta.last.index)
        self._around.start_aside(self._restore(meta))

    async def _restore(self, meta: SnapshotMeta) -> None:
        wal, index = self._around.wal, meta.last.index
        manifest = next(each for each in wal.snapshots.all(self._group) if each.meta.last == meta.last)
        try:
            rebuilt = await self._around.offload.feed(
                wal.snapshots.stream(manifest), self._applying.applier.rebuild
            )
        except (LogDamaged, DiskError, SnapshotRefused) as problem:
            self._on_event(f"cannot restore the snapshot at {meta.last}: {problem}", {"group": self._group})
            self._applying.not_restored(str(problem))
            self._around.kick()
            return
        if self._applying.restored(index, rebuilt) and index == self._raft.applied_index:
            self._raft.applied(index, rebuilt.digest, self._around.clock.monotonic())
        self._around.kick()
