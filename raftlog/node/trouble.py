"""What a node's disk is capable of at the moment, as states that are entered, shown and left by themselves."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from typing import Protocol

from raftlog.core.ids import META_GROUP, GroupId, Micros, NodeId
from raftlog.core.raft import Raft
from raftlog.failpoints import Failpoints
from raftlog.node.snapshotting import Snapshotting
from raftlog.node.writer import FULL_RETRY, Writer
from raftlog.storage import DiskError, Wal
from raftlog.transport.events import OnEvent


class Part(Protocol):
    """What it uses of one group's replica."""

    raft: Raft
    snapshotting: Snapshotting


class Surroundings(Protocol):
    """What it uses of its node."""

    wal: Wal
    writer: Writer
    failpoints: Failpoints

    def kick(self) -> None:
        """Have the replicas pumped soon."""
        ...

    def start_aside(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the node, which is cancelled when that is left."""
        ...


class DiskHealth:
    """One node's disk. `look` is called at the beginning of every pump, and decides nothing of what the cores decide.

    The states, each of which may hold or not:
    - *full*: there is no space for the next segment of the log. Clients' commands stop; what is left of the present one
      is for entries under way, votes and memberships. While it holds, space is made and looked for.
    - *slow*: a write took an election timeout, or has lasted that long, and none was prompt since.
    - *hanging*: a write has lasted that long and is not done: nothing new can be applied here.

    A failed sync is no state: it ends the node.
    Invariants: entering and leaving `full` and `slow` are told in turns; at most one task looks for space.
    """

    def __init__(self, around: Surroundings, parts: Mapping[GroupId, Part], on_event: OnEvent) -> None:
        self._around = around
        self._parts = parts
        self._on_event = on_event
        self._full = self._slow = self._searching = False

    def look(self, now: Micros) -> None:
        """See how the disk is, tell the cores what room it has, and people what has changed."""
        wal, room = self._around.wal, self._room()
        for part in self._parts.values():
            if room is not None or part.raft.room is not None:
                part.raft.disk_room(room, now)
        if wal.full and not self._searching:
            self._searching = True
            self._around.start_aside(self._find_space())
        if wal.full is not self._full:
            self._full = wal.full
            text = f"its disk is full: {wal.refusal}" if wal.full else "its disk has space again"
            self._on_event(text, {})
        if (slow := self.slow) is not self._slow:
            self._slow = slow
            self._on_event(
                "its disk is too slow" if slow else "its disk is as fast as it should be again", {}
            )

    def _room(self) -> int | None:
        wal, writer = self._around.wal, self._around.writer
        return max(0, wal.room - writer.owed) if wal.full else None

    @property
    def hangs(self) -> bool:
        """Whether a write has lasted for an election timeout: what is decided meanwhile is not applied here."""
        return not self._around.wal.full and any(part.raft.hangs for part in self._parts.values())

    @property
    def slow(self) -> bool:
        """Whether a write took as long, and none was prompt since. A full disk is not called slow."""
        return not self._around.wal.full and any(part.raft.slow for part in self._parts.values())

    @property
    def sentences(self) -> Iterator[str]:
        """What people should know of this disk, and of those of others whom this node leads."""
        wal = self._around.wal
        if wal.full:
            yield (
                f"its disk is full: {wal.refusal}. It takes no commands and leads only if nobody with space can; "
                "this ends by itself once there is space"
            )
        if self.slow:
            yield (
                f"its disk {'hangs' if self.hangs else 'is too slow'}: a write takes longer than an election timeout. "
                "It leads only if nobody else can; this ends with the first prompt write"
            )
        if META_GROUP in self._parts:
            yield from _full_followers(self._parts[META_GROUP].raft)

    async def _find_space(self) -> None:
        """Until there is some: what is kept for others goes first, then a snapshot lets the log begin later."""
        try:
            while self._around.wal.full:
                for part in self._parts.values():
                    await part.snapshotting.free()
                if self._around.failpoints.armed:
                    await self._around.failpoints.hit("writer.before_retry", DiskError)
                if not await self._around.wal.make_room():
                    await asyncio.sleep(FULL_RETRY)
        finally:
            self._searching = False
            self._around.kick()


def _full_followers(raft: Raft) -> Iterator[str]:
    for node in raft.full_followers:
        yield f"the disk of {_name(raft, node)} is full: it stores nothing new until it has space"


def _name(raft: Raft, node: NodeId) -> str:
    member = raft.membership.member(node)
    return f"{node:016x}" if member is None or not member.name else member.name
