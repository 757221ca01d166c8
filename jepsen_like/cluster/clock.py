"""A real process's clock that can be set and made to run fast or slow."""

from raftlog.clock import Clock
from raftlog.core.ids import Micros


class FaultyClock:
    """The machine's clocks, at another rate and with another date. Invariant: monotonic time never goes back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ppm = 0
        self._began = clock.monotonic()
        self._shown = self._began
        self._ahead: Micros = 0

    def jump(self, by: Micros) -> None:
        """Set the wall clock forward or back."""
        self._ahead += by

    def drift(self, ppm: int) -> None:
        """Run at (1 + ppm / 1,000,000) of the true rate from now on."""
        self._shown, self._began = self.monotonic(), self._clock.monotonic()
        self._ppm = ppm

    def monotonic(self) -> Micros:
        """See `Clock.monotonic`."""
        gone = self._clock.monotonic() - self._began
        return self._shown + gone + gone * self._ppm // 1_000_000

    def wall(self) -> Micros:
        """See `Clock.wall`."""
        lead = self.monotonic() - self._clock.monotonic()
        return self._clock.wall() + self._ahead + lead

    def entropy(self) -> int:
        """See `Clock.entropy`."""
        return self._clock.entropy()
