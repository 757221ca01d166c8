"""The operators' calls about snapshots: have one taken, read one piece by piece."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from raftlog.core.ids import GroupId, Index
from raftlog.machine.result import Refusal, Result
from raftlog.node.reads import ReadDone
from raftlog.node.snapshotting import Making
from raftlog.pb import admin_pb2 as pb
from raftlog.service.admin import decode, snapshot_of
from raftlog.service.unary import CallRefused, Code
from raftlog.storage.snapshots import Manifest
from raftlog.transport.bulk import MAX_PIECE, ManifestWanted, PieceWanted, Wanted
from raftlog.transport.client_frames import Level


class Snapshotter(Protocol):
    """What it uses of the node."""

    def serves(self, group: GroupId) -> bool:
        """Whether this node has the group."""
        ...

    def read(self, group: GroupId, level: Level, done: ReadDone) -> None:
        """Call `done` once local state may answer queries of this level, or with the refusal."""
        ...

    def applied(self, group: GroupId) -> Index:
        """Local state reflects the group's log up to here."""
        ...

    def newest_snapshot(self, group: GroupId) -> Manifest | None:
        """The newest durable one."""
        ...

    def snapshot_soon(self, group: GroupId, covers: Index) -> Making:
        """Have one taken that reaches `covers`, unless there is one; and how far that is."""
        ...


class SnapshotService:
    """Answers pb.Admin's Snapshot and ReadSnapshot: bytes in, bytes out. Remembers nothing between two calls."""

    def __init__(self, node: Snapshotter, give: Callable[[Wanted], Awaitable[bytes | None]]) -> None:
        """`give` keeps to what this node gives away per second, peers included."""
        self._node = node
        self._give = give

    async def snapshot(self, request: bytes) -> bytes:
        """Answer a pb.SnapshotRequest with a pb.SnapshotReply.

        Raises:
            CallRefused: the request makes no sense, or nobody can tell at the moment what was acknowledged.
        """
        asked = decode(pb.SnapshotRequest, request)
        group = self._group(asked.group)
        if asked.linearizable and not asked.covers:
            await self._catch_up(group)
        covers = Index(asked.covers or max(self._node.applied(group), 1))
        if covers > self._node.applied(group):
            reason = f"group {group} is applied up to {self._node.applied(group)} here, not yet to {covers}"
            raise CallRefused(Code.FAILED_PRECONDITION, reason)
        making = self._node.snapshot_soon(group, covers)
        newest = self._node.newest_snapshot(group)
        return pb.SnapshotReply(
            covers=covers,
            done=newest is not None and newest.meta.last.index >= covers,
            newest=None if newest is None else snapshot_of(newest),
            writing=making.writing,
            written=making.written,
            failures=making.failures,
            trouble=making.trouble,
        ).SerializeToString()

    async def read_snapshot(self, request: bytes) -> bytes:
        """Answer a pb.ReadSnapshotRequest with a pb.ReadSnapshotReply.

        Raises:
            CallRefused: the request makes no sense, or this node does not have that.
        """
        asked = decode(pb.ReadSnapshotRequest, request)
        group = self._group(asked.group)
        content = await self._give(_wanted(group, asked))
        if content is None:
            raise CallRefused(Code.NOT_FOUND, "that snapshot is not here, or no longer")
        return pb.ReadSnapshotReply(content=content).SerializeToString()

    def _group(self, number: int) -> GroupId:
        group = GroupId(number)
        if not self._node.serves(group):
            raise CallRefused(Code.INVALID_ARGUMENT, f"this node has no group {group}")
        return group

    async def _catch_up(self, group: GroupId) -> None:
        """Apply everything that was acknowledged anywhere before now."""
        answer: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()

        def done(refused: Result | None) -> None:
            if not answer.done():
                answer.set_result(refused)

        self._node.read(group, Level.LINEARIZABLE, done)
        refused = await answer
        if refused is not None:
            raise CallRefused(
                Code.FAILED_PRECONDITION, msgspec.msgpack.decode(refused.body, type=Refusal).reason
            )


def _wanted(group: GroupId, asked: pb.ReadSnapshotRequest) -> Wanted:
    if not asked.snapshot:
        return ManifestWanted(group)
    if not (asked.part >= 1 and 1 <= asked.length <= MAX_PIECE):
        raise CallRefused(
            Code.INVALID_ARGUMENT,
            f"{asked.length} bytes of part {asked.part}: parts count from 1, a piece has {MAX_PIECE} bytes at most",
        )
    return PieceWanted(asked.snapshot, asked.part, asked.offset, asked.length)
