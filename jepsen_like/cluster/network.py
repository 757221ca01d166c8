"""The network between hosts that run on one machine: a link for every ordered pair, and what can be done to them."""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from random import Random

from jepsen_like.cluster.link import Link
from jepsen_like.cluster.path import Path
from jepsen_like.sim.links import Link as Pair


class Network:
    """Entered with `async with`; then `routes` tells each host where to dial the others.

    Clients have their own way to every host, which stays open: what they cannot reach, they see. Invariant: a path is
    cut as long as at least one fault that cuts it lasts.
    """

    def __init__(self, addresses: Mapping[str, str], random: Random) -> None:
        """Hosts by name, and where each listens."""
        self._addresses = dict(addresses)
        pairs = [(one, other) for one in self._addresses for other in self._addresses if one != other]
        self.paths = {pair: Path(random) for pair in pairs}
        """By origin and target."""
        self._links: dict[Pair, Link] = {}
        self._cuts: dict[Pair, int] = dict.fromkeys(pairs, 0)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Network":
        async with AsyncExitStack() as stack:
            for (origin, target), there in self.paths.items():
                link = Link(self._addresses[target], there, self.paths[target, origin])
                self._links[origin, target] = await stack.enter_async_context(link)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def routes(self, origin: str) -> dict[str, str]:
        """What `origin` has to dial in place of each other host's address."""
        return {
            self._addresses[target]: link.address
            for (host, target), link in self._links.items()
            if host == origin
        }

    # -- faults

    def cut(self, pairs: Iterable[Pair]) -> None:
        """Nothing gets from the origins to the targets of these pairs until `mend`."""
        for pair in pairs:
            self._cuts[pair] += 1
            self.paths[pair].close()

    def mend(self, pairs: Iterable[Pair]) -> None:
        """Undo one `cut` of these pairs."""
        for pair in pairs:
            self._cuts[pair] -= 1
            assert self._cuts[pair] >= 0, f"the way {pair} is mended more often than it was cut"
            if not self._cuts[pair]:
                self.paths[pair].open()

    def heal(self) -> None:
        """All ways are open and fast."""
        for pair, path in self.paths.items():
            self._cuts[pair] = 0
            path.open()
            path.calm()

    @property
    def held(self) -> int:
        """How often something found its way cut, all in all: the proof that a partition met traffic."""
        return sum(path.held for path in self.paths.values())
