"""What faults led to, and whether they held: kept apart from what carries them out, so that a lying nemesis is seen."""

from collections.abc import Callable

from jepsen_like.sim.links import Link
from raftlog.core.ids import Micros


class Leak(AssertionError):
    """Something got through that a fault was to hold back: the run shows nothing."""


class Effects:
    """What is in force by the nemesis's account, against what the network is seen to do.

    Invariant: nothing is in force here that the network was not told of, so that what gets through is a leak.
    """

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self.cuts: frozenset[Link] = frozenset()
        self.hung: set[str] = set()
        self.still: set[str] = set()
        self.slow: dict[Link, Micros] = {}
        self._sent: dict[int, Micros] = {}

    def count(self, effect: str) -> None:
        """A fault has led to this."""
        self._count(f"effect/{effect}")

    def sent(self, flight: int, origin: str, now: Micros) -> None:
        """A frame leaves.

        Raises:
            Leak: its origin stands still.
        """
        if origin in self.still:
            raise Leak(f"{origin} stands still, and sends")
        self._sent[flight] = now

    def arrived(self, flight: int, origin: str, target: str, now: Micros) -> None:
        """A frame is read.

        Raises:
            Leak: the way is cut, or the target reads nothing.
        """
        if (origin, target) in self.cuts:
            raise Leak(f"{origin} to {target} is cut, and a frame arrives")
        if target in self.hung:
            raise Leak(f"{target} reads nothing, and a frame arrives")
        since = self._sent.pop(flight, None)
        if since is None:
            self.count("doubled")
        elif now - since >= self.slow.get((origin, target), now):
            self.count("slowed")

    def lost(self, flight: int, origin: str, target: str) -> None:
        """A frame will not arrive."""
        self._sent.pop(flight, None)
        self.count("lost-at-a-cut" if (origin, target) in self.cuts else "lost")
