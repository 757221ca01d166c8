"""The account the main job keeps of every write: what was promised, what was not, and when."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from math import ceil

import msgspec

from raftlog.core.ids import Micros


class Outcome(Enum):
    """What became of one write."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"
    """The cluster could not say whether it happened."""


class Silence(msgspec.Struct, frozen=True):
    """A time without any acknowledgement: between the last one before it and the first one after it."""

    began: Micros
    ended: Micros

    @property
    def length(self) -> Micros:
        """How long it lasted."""
        return self.ended - self.began


class Ledger:
    """One line per write, by its position in the corpus.

    Invariants: a line leaves `PENDING` once and never changes again; times of acknowledgement never decrease.
    """

    def __init__(self, total: int) -> None:
        self.lines = [Outcome.PENDING] * total
        self.reasons: dict[int, str] = {}
        """Why a line is unknown."""
        self.latencies: list[Micros] = []
        self.times: list[Micros] = []
        """When each acknowledgement came."""

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged so far."""
        return len(self.times)

    def acknowledge(self, position: int, sent: Micros, now: Micros) -> None:
        """The cluster said that the write happened."""
        self._settle(position, Outcome.ACKNOWLEDGED)
        assert not self.times or now >= self.times[-1], f"time fell from {self.times[-1]} to {now}"
        self.latencies.append(now - sent)
        self.times.append(now)

    def doubt(self, position: int, reason: str) -> None:
        """The cluster could not say what became of the write."""
        self._settle(position, Outcome.UNKNOWN)
        self.reasons[position] = reason

    def _settle(self, position: int, outcome: Outcome) -> None:
        was = self.lines[position]
        assert was is Outcome.PENDING, f"write {position} is {was.value}, it cannot become {outcome.value}"
        self.lines[position] = outcome

    def positions(self, outcome: Outcome) -> list[int]:
        """Which writes have this outcome."""
        return [position for position, line in enumerate(self.lines) if line is outcome]

    def counts(self) -> dict[Outcome, int]:
        """How many writes have which outcome."""
        found = Counter(self.lines)
        return {outcome: found[outcome] for outcome in Outcome}

    def recent_rate(self, now: Micros, window: Micros = 1_000_000) -> float:
        """Acknowledgements per second over the last `window`."""
        return (len(self.times) - bisect_left(self.times, now - window)) * 1e6 / window

    def silence_after(self, moment: Micros) -> Silence | None:
        """The longest time without an acknowledgement that ended after `moment`; None when none came after it."""
        at = bisect_left(self.times, moment)
        if at == len(self.times):
            return None
        points = [self.times[at - 1] if at else moment, *self.times[at:]]
        return max((Silence(*pair) for pair in pairwise(points)), key=lambda silence: silence.length)


def percentile(values: Sequence[Micros], share: float) -> Micros:
    """The smallest value that at least `share` of all values do not exceed; 0 of no values."""
    if not values:
        return 0
    ordered = sorted(values)
    return ordered[max(ceil(len(ordered) * share) - 1, 0)]
