"""Whom to dial next: the leader that somebody named, else the given addresses in turn, with growing patience."""

from collections.abc import Sequence
from random import Random

from raftlog.transport.backoff import Backoff

_LONGEST_PAUSE = 0.25
"""Short, because every client's fail-over waits for it: an election takes about as long as four of these."""
_FREE_HOPS = 3
"""Named leaders followed without a pause; nodes that name each other would be a loop."""


class Addresses:
    """The next address and the pause before it.

    Invariants: every given address is tried before one is tried twice in a row of failures; the first round has no
    pauses, so a client finds the living quickly; later pauses double up to a bound and are spread by chance, so that
    many clients do not come back at one moment.
    """

    def __init__(self, given: Sequence[str], random: Random) -> None:
        if not given:
            raise ValueError("a client needs the address of at least one node, such as 127.0.0.1:7001")
        self._given = tuple(given)
        self._random = random
        self._turn = random.randrange(len(self._given))
        self._failures = 0
        self._hops = 0
        self._named: str | None = None
        self._backoff = Backoff(_LONGEST_PAUSE)

    def name(self, leader: str) -> None:
        """Somebody says that this node leads."""
        self._named = leader

    def worked(self) -> None:
        """The present node answers calls."""
        if self._failures or self._hops:
            self._failures = self._hops = 0
            self._backoff.reset()

    def failed(self) -> None:
        """The last address did not answer, or fell silent."""
        self._failures += 1
        self._turn = (self._turn + 1) % len(self._given)

    def next(self) -> tuple[str, float]:
        """The address to dial and the seconds to wait before."""
        named, self._named = self._named, None
        if named is not None:
            self._hops += 1
            return named, 0.0 if self._hops <= _FREE_HOPS else self._pause()
        return self._given[self._turn], 0.0 if self._failures < len(self._given) else self._pause()

    def _pause(self) -> float:
        return self._backoff.next() * (0.5 + self._random.random())
