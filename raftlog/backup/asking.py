"""Has one node take a snapshot of a group, and waits for it."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from raftlog.admin import SnapshotReply
from raftlog.core.ids import GroupId, Index

_POLL = 0.1


class Snapshotter(Protocol):
    """Of `raftlog.admin.Operator`, what is used here."""

    async def snapshot(
        self, address: str, group: GroupId, *, covers: Index = 0, linearizable: bool = False
    ) -> SnapshotReply:
        """See there."""
        ...


class NoSnapshot(Exception):
    """A node was asked for a snapshot and could not take it; the sentence says why."""


async def take(
    operator: Snapshotter,
    address: str,
    group: GroupId,
    *,
    linearizable: bool = False,
    seconds: float,
    on_progress: Callable[[SnapshotReply], None] = lambda reply: None,
) -> SnapshotReply:
    """Have it take a snapshot of all it has applied by now, unless it has one; the reply names that.

    Args:
        operator: to ask it with.
        address: the node.
        group: which of its groups.
        linearizable: the snapshot is to hold everything that was acknowledged anywhere before this call.
        seconds: for how long nothing may move.
        on_progress: told each answer.

    Raises:
        NoSnapshot: an attempt failed, or nothing moved for `seconds`.
        Unreachable, Refused: as `Operator.snapshot` does.
    """
    loop = asyncio.get_running_loop()
    reply = before = await operator.snapshot(address, group, linearizable=linearizable)
    moved = loop.time()
    while True:
        on_progress(reply)
        if reply.done:
            return reply
        if reply.failures > before.failures:
            raise NoSnapshot(f"{address} could not take a snapshot of group {group}: {reply.trouble}")
        if (reply.writing, reply.written) != (before.writing, before.written):
            moved = loop.time()
        if loop.time() - moved > seconds:
            why = f"; an earlier attempt failed: {reply.trouble}" if reply.trouble else ""
            raise NoSnapshot(f"{address} has begun no snapshot of group {group} in {seconds:g} s{why}")
        await asyncio.sleep(_POLL)
        before, reply = reply, await operator.snapshot(address, group, covers=reply.covers)
