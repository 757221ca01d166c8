"""Has a group's state be that of a snapshot that is here and durable."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import chain, repeat
from typing import Protocol, TypeAlias

from raftlog.clock import Clock
from raftlog.core.ids import GroupId, Micros
from raftlog.core.raft import Raft
from raftlog.machine.applier import Rebuilt
from raftlog.machine.snapshot import SnapshotRefused
from raftlog.node.applying import Applying
from raftlog.node.offload import Offload
from raftlog.node.snapshotting import Snapshotting
from raftlog.storage import DiskError, Wal
from raftlog.storage.snapshots import Manifest, SnapshotDamaged
from raftlog.transport.events import OnEvent

_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a disk that refused is asked again; the last of them from then on."""
Work: TypeAlias = Callable[[Manifest], Coroutine[object, object, None]]


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
    """The state is built beside the present one and takes its place at once, or not at all.

    Of the snapshots that are here only those count that the core goes by: one that it was not told of, or would not
    take, may be of what is not decided. One that turns out damaged is set aside, and the next older one serves if the
    log reaches back to it; else the state is lost, and the core has it fetched from a peer.

    Invariants: only the attempt begun last ends in a state; until then no state is shown.
    """

    def __init__(
        self,
        around: Surroundings,
        group: GroupId,
        raft: Raft,
        applying: Applying,
        snapshotting: Snapshotting,
        on_event: OnEvent,
    ) -> None:
        self._around = around
        self._group = group
        self._raft = raft
        self._applying = applying
        self._snapshotting = snapshotting
        self._on_event = on_event
        self._attempt = 0
        self._lost = ""

    def begin(self) -> None:
        """Begin with the state of the snapshot that the core goes by, or where the log begins with the first one."""
        self._attempt += 1
        if (manifest := self._usable) is not None:
            self._wait_for(manifest)
            self._around.start_aside(self._restore(manifest, self._attempt))
        elif self._raft.first_index == 1:
            self._applying.begin_anew()
        else:
            self._applying.not_restored("no snapshot is here that the log goes on from")
            self._lost = "its state is lost"
            self._around.kick()

    @property
    def _usable(self) -> Manifest | None:
        base, newest = self._raft.first_index - 1, self._raft.snapshot_index
        every = self._around.wal.snapshots.all(self._group)
        return next((each for each in reversed(every) if base <= each.meta.last.index <= newest), None)

    def install(self, manifest: Manifest) -> None:
        """Have the state be that of a snapshot just fetched. A fenced node has no other one from then on."""
        self._attempt += 1
        self._wait_for(manifest)
        self._snapshotting.give_up()
        self._around.start_aside(self._install(manifest, self._attempt))

    def report(self, now: Micros) -> None:
        """Tell the core what it must know."""
        if self._lost:
            reason, self._lost = self._lost, ""
            self._raft.state_lost(reason, now)

    def _wait_for(self, manifest: Manifest) -> None:
        self._applying.await_state(manifest.meta.last.index)

    async def _install(self, manifest: Manifest, attempt: int) -> None:
        await self._snapshotting.ended()
        if self._raft.fenced:
            await self._set_aside_all_but(manifest)
        await self._restore(manifest, attempt)

    async def _set_aside_all_but(self, manifest: Manifest) -> None:
        """Their states are not to be trusted, and one of them would be the newest at the next start."""
        snapshots = self._around.wal.snapshots
        for each in snapshots.all(self._group):
            if each.id != manifest.id:
                await self._until_done(f"the snapshot at {each.meta.last} stays", snapshots.quarantine, each)

    async def _until_done(self, problem: str, work: Work, manifest: Manifest) -> None:
        for pause in _forever():
            try:
                await work(manifest)
                return
            except DiskError as error:
                self._on_event(f"{problem}: {error}", {"group": self._group, "retry_in_seconds": pause})
            await asyncio.sleep(pause)

    async def _restore(self, manifest: Manifest, attempt: int) -> None:
        at = manifest.meta.last
        try:
            rebuilt = await self._rebuild(manifest, attempt)
        except SnapshotDamaged as damage:
            self._on_event(f"the snapshot at {at} is damaged: {damage}", {"group": self._group})
            await self._do_without(manifest, attempt)
            return
        except SnapshotRefused as problem:
            self._on_event(f"cannot restore the snapshot at {at}: {problem}", {"group": self._group})
            if attempt == self._attempt:
                self._applying.not_restored(str(problem))
            rebuilt = None
        if rebuilt is not None and attempt == self._attempt and self._applying.restored(at.index, rebuilt):
            if at.index == self._raft.applied_index:
                self._raft.applied(at.index, rebuilt.digest, self._around.clock.monotonic())
        self._around.kick()

    async def _rebuild(self, manifest: Manifest, attempt: int) -> Rebuilt | None:
        """The state; None when it is not wanted any more. A disk that refuses is asked again."""
        snapshots = self._around.wal.snapshots
        for pause in _forever():
            if attempt != self._attempt:
                return None
            try:
                stream = snapshots.stream(manifest)
                return await self._around.offload.feed(stream, self._applying.applier.rebuild)
            except DiskError as problem:
                self._applying.held_up = f"the snapshot at {manifest.meta.last} cannot be read: {problem}"
                self._on_event(self._applying.held_up, {"group": self._group, "retry_in_seconds": pause})
                if manifest not in snapshots.all(self._group):  # dropped meanwhile, for a newer one
                    self.begin()
                    return None
            await asyncio.sleep(pause)
        return None

    async def _do_without(self, manifest: Manifest, attempt: int) -> None:
        try:
            await self._around.wal.snapshots.quarantine(manifest)
        except DiskError as problem:
            self._on_event(f"a damaged snapshot stays: {problem}", {"group": self._group})
        if attempt == self._attempt:
            self._snapshotting.ask()
            self.begin()


def _forever() -> Iterator[float]:
    return chain(_PAUSES, repeat(_PAUSES[-1]))
