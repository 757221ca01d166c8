"""The two ways to come by a snapshot: another process replays the log, or the state in use is captured and written."""

import asyncio
from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any, Protocol

import msgspec

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import GroupId
from raftlog.node.offload import Offload
from raftlog.replay import MachineSpec, ReplayFailed, Replays
from raftlog.storage import Compacted, DiskError, LogDamaged, Wal
from raftlog.storage.snapshots import Manifest, SnapshotId, Snapshots


class NotTaken(Exception):
    """There is no snapshot, and the sentence says why; nothing of it is left on disk."""


class Differs(NotTaken):
    """The log does not lead to the state that this node answers from."""


class Outrun(NotTaken):
    """The log grew much faster than the other process got on, or that one is stuck."""


class Point(msgspec.Struct, frozen=True):
    """A state of this node, between two entries."""

    meta: SnapshotMeta
    digest: int


class Surroundings(Protocol):
    """What it uses of its node."""

    wal: Wal
    offload: Offload


async def by_replay(
    wal: Wal,
    replays: Replays,
    group: GroupId,
    machine: MachineSpec,
    point: Point,
    *,
    urgent: bool,
    outrun: asyncio.Event,
) -> Manifest:
    """Have another process build the state at `point` from the newest snapshot and the log; it must be this node's.

    It gives way to others unless it is `urgent`. Whoever sets `outrun` ends it.

    Raises:
        Outrun: it was ended.
        Differs: it is not. The snapshot is not used: nobody knows which of the two is right.
        NotTaken: as it says.
    """
    snapshots, newest, id = wal.snapshots, wal.snapshots.newest(group), wal.snapshots.draw()
    try:
        after = 0 if newest is None else newest.meta.last.index
        making = replays.make(
            cluster=snapshots.cluster,
            group=group,
            machine=machine,
            begins_with=newest,
            stretches=wal.stretches(group, after + 1, point.meta.last.index),
            meta=point.meta,
            id=id,
            part_size=snapshots.part_size,
            urgent=urgent,
        )
        manifest = await _unless(outrun, making)
        if manifest.digest != point.digest:
            raise Differs(_difference(manifest, newest, point))
        await snapshots.adopt(manifest)
        return manifest
    except NotTaken:
        await _sweep(snapshots, id)
        raise
    except (ReplayFailed, Compacted, LogDamaged, DiskError) as problem:
        await _sweep(snapshots, id)
        raise NotTaken(f"a snapshot could not be made by replay: {problem}") from problem


async def _unless(outrun: asyncio.Event, work: Coroutine[Any, Any, Manifest]) -> Manifest:
    """Do the work, but end it when it is outrun. Cancelled, it is over when this returns."""
    making = asyncio.get_running_loop().create_task(work)
    making.add_done_callback(lambda _: outrun.set())
    try:
        await outrun.wait()
        if making.done():
            return making.result()
        raise Outrun("the process that replays the log was outrun by it, or is stuck: it was ended")
    finally:
        making.cancel()
        await asyncio.wait((making,))
        if not making.cancelled():
            making.exception()  # told already, or of no interest to who no longer waits


def _difference(made: Manifest, newest: Manifest | None, point: Point) -> str:
    start = "the beginning" if newest is None else str(newest)
    return (
        f"THE LOG LEADS TO ANOTHER STATE than this node's: replayed from {start}, results up to {point.meta.last} "
        f"have the digest {made.digest:016x}, here it is {point.digest:016x}. The machine is not deterministic (it may "
        "depend on the order of hashes), or memory or disk has changed something. The new snapshot is not used. See "
        "whether the nodes' digests differ (raftlog status), and test the machine (raftlog.check_machine)"
    )


async def by_capture(around: Surroundings, group: GroupId, pieces: Iterator[bytes], point: Point) -> Manifest:
    """Write what was captured of the state at `point`, piece by piece, off the loop.

    Raises:
        NotTaken: as it says.
    """
    snapshots, id = around.wal.snapshots, around.wal.snapshots.draw()
    writer = snapshots.begin(group, point.meta, id)
    try:
        while (piece := await around.offload.run(partial(next, pieces, None))) is not None:
            await writer.write(piece)
        return await writer.commit(point.digest)
    except DiskError as problem:
        await _sweep(snapshots, id)
        raise NotTaken(f"a snapshot could not be written: {problem}") from problem
    except Exception as error:
        await _sweep(snapshots, id)
        raise NotTaken(f"the machine could not be written: {type(error).__name__}: {error}") from error


async def _sweep(snapshots: Snapshots, id: SnapshotId) -> None:
    """What cannot be removed now is removed at the next start."""
    try:
        await snapshots.sweep(id)
    except DiskError:
        return
