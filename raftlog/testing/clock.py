"""The clocks of one simulated machine: virtual time, a wall clock that can be wrong, entropy from a seed."""

from random import Random

from raftlog.core.ids import Micros
from raftlog.testing.loop import SimLoop

EPOCH: Micros = 1_700_000_000 * 1_000_000
"""What the wall clock shows when a simulation starts: some day in November 2023."""


class SimClock:
    """See `Clock`. Monotonic time passes as the loop's does, from `start` on, or a little faster or slower.

    Invariants: monotonic time never goes back, whatever is done to the clocks; equal generators give equal entropy.
    """

    def __init__(self, loop: SimLoop, random: Random, *, start: Micros = 0, wall: Micros = EPOCH) -> None:
        self._loop = loop
        self._random = random
        self._start = start
        self._wall = wall
        self._since = loop.micros
        self._ppm = 0

    def monotonic(self) -> Micros:
        """See `Clock.monotonic`."""
        return self._start + self._passed()

    def wall(self) -> Micros:
        """See `Clock.wall`."""
        return self._wall + self._passed()

    def entropy(self) -> int:
        """See `Clock.entropy`."""
        return self._random.getrandbits(64) or 1

    def set_rate(self, ppm: int) -> None:
        """From now on both clocks run at (1 + ppm / 1,000,000) of the true rate."""
        assert ppm > -1_000_000, "a clock does not run backwards"
        passed = self._passed()
        self._start += passed
        self._wall += passed
        self._since = self._loop.micros
        self._ppm = ppm

    def skew_wall(self, by: Micros) -> None:
        """Somebody sets the wall clock forward, or back where `by` is negative."""
        self._wall += by

    def suspend(self, span: Micros) -> None:
        """The machine slept: both clocks have moved on by `span`, its timers have not."""
        assert span >= 0, f"a machine cannot sleep for {span} us"
        self._start += span
        self._wall += span

    def _passed(self) -> Micros:
        true = self._loop.micros - self._since
        return true + true * self._ppm // 1_000_000 if self._ppm else true
