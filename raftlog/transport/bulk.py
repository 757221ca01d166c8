"""The Bulk port: pieces of snapshots, asked for one by one by the node that needs them.

Whoever needs a snapshot asks for its manifest, then for its parts piece by piece, from any node that has it. The node
that is asked keeps nothing between two questions: a broken connection costs one piece, memory on both sides is a piece
per question under way, and two transfers cannot mix, for every piece names its snapshot, part and place.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol, TypeAlias

import msgspec

from raftlog.core.ids import GroupId, NodeId

MAX_PIECE = 1 << 20
"""Bytes of one answer, unless it is a manifest."""


class ManifestWanted(msgspec.Struct, frozen=True):
    """The manifest of the newest snapshot of a group."""

    group: GroupId


class PieceWanted(msgspec.Struct, frozen=True):
    """`length` bytes (`MAX_PIECE` at most) from `offset` on of a part, counted from 1, of the snapshot with that id."""

    snapshot: int
    part: int
    offset: int
    length: int


Wanted: TypeAlias = ManifestWanted | PieceWanted


class NotThere(Exception):
    """The peer that was asked does not have it, or no longer. Ask another, or for a newer one."""


class Unreachable(Exception):
    """The peer gave no answer, or refused this node. The text says who and why."""


class Source(Protocol):
    """Who answers: the node that is asked."""

    async def give(self, wanted: Wanted) -> bytes | None:
        """What is wanted; None when it is not here. May take as long as its disk does."""
        ...


class Bulk(Protocol):
    """Asks peers of the same cluster, and answers them from a source."""

    def serve(self, source: Source) -> None:
        """Answer peers from `source` from now on; called once."""
        ...

    def connect(self, peers: Mapping[NodeId, str]) -> None:
        """Replace the set of peers and their addresses."""
        ...

    async def fetch(self, peer: NodeId, wanted: Wanted) -> bytes:
        """Ask one peer.

        Raises:
            NotThere: it does not have that.
            Unreachable: no answer in `Limits.stall_timeout`, or a refusal.
        """
        ...

    async def close(self) -> None:
        """Answer nobody any more; what is being asked ends as unreachable."""
        ...


class NoBulk:
    """A `Bulk` of a node that gives and gets nothing."""

    def serve(self, source: Source) -> None:
        """See `Bulk.serve`."""

    def connect(self, peers: Mapping[NodeId, str]) -> None:
        """See `Bulk.connect`."""

    async def fetch(self, peer: NodeId, wanted: Wanted) -> bytes:
        """See `Bulk.fetch`."""
        raise Unreachable("this node was started without a way to get snapshots from its peers")

    async def close(self) -> None:
        """See `Bulk.close`."""


class Throttle:
    """Spreads what a node gives away over time, so that a transfer leaves room for the log.

    A budget of bytes that refills at `rate` per second up to one second's worth; who takes more than there is waits for
    the rest, in the order of asking.
    """

    def __init__(self, rate: int) -> None:
        assert rate > 0, f"a rate of {rate} bytes per second gives nothing"
        self._rate = rate
        self._free_at: float = 0.0

    async def take(self, size: int) -> None:
        """Wait until `size` bytes may go."""
        now = asyncio.get_running_loop().time()
        # What is free lies in the past, by one second's worth at most.
        self._free_at = max(self._free_at, now - 1.0) + size / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
