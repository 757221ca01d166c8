"""What of a node's snapshots takes time in a simulation: work off the loop, and pieces on their way between nodes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

from raftlog.core.ids import Micros, NodeId
from raftlog.testing.bulk import SimBulk
from raftlog.testing.network import SimNetwork
from raftlog.testing.offload import Inline
from raftlog.transport.bulk import PieceWanted, Unreachable, Wanted
from raftlog.transport.handshake import Doorkeeper
from raftlog.transport.limits import Limits

T = TypeVar("T")


class Unhurried(Inline):
    """An `Offload` whose work takes its time: the node goes on meanwhile."""

    def __init__(self, random: Random, takes: Sequence[Micros]) -> None:
        """`takes`: what one piece of work takes, drawn evenly."""
        self._random = random
        self._takes = takes

    async def run(self, work: Callable[[], T]) -> T:
        """See `Offload.run`."""
        await asyncio.sleep(self._random.choice(self._takes) / 1e6)
        return await super().run(work)

    async def feed(self, pieces: AsyncIterator[bytes], take: Callable[[Iterable[bytes]], T]) -> T:
        """See `Offload.feed`."""
        await asyncio.sleep(self._random.choice(self._takes) / 1e6)
        return await super().feed(pieces, take)


class ObservedBulk(SimBulk):
    """Counts what comes of asking."""

    def __init__(
        self,
        network: SimNetwork,
        door: Doorkeeper,
        address: str,
        *,
        limits: Limits,
        count: Callable[[str], None],
    ) -> None:
        super().__init__(network, door, address, limits=limits)
        self._count = count
        self._unanswered: set[tuple[NodeId, Wanted]] = set()

    async def fetch(self, peer: NodeId, wanted: Wanted) -> bytes:
        """See `Bulk.fetch`."""
        try:
            answer = await super().fetch(peer, wanted)
        except Unreachable:
            if isinstance(wanted, PieceWanted):
                self._count("effect/transfer-broken")
                self._unanswered.add((peer, wanted))
            raise
        if isinstance(wanted, PieceWanted):
            self._count("event/snapshot-piece")
        if (peer, wanted) in self._unanswered:
            self._unanswered.discard((peer, wanted))
            self._count("event/transfer-resumed")
        return answer
