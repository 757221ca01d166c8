"""One node's clocks: how they differ from true time, and from each other's."""

from raftlog.core.ids import Micros

WALL: Micros = 1_700_000_000_000_000
"""What wall clocks show when a run begins."""
_MILLION = 1_000_000


class Clock:
    """A monotonic clock that drifts, and a wall clock that drifts with it and can be set.

    Invariants: `monotonic` never falls while true time does not.
    """

    __slots__ = ("_base", "_ppm", "_since", "_wall_ahead")

    def __init__(self, shows: Micros, *, wall_ahead: Micros = 0) -> None:
        self._base = shows
        self._since: Micros = 0
        self._ppm = 0
        self._wall_ahead = WALL - shows + wall_ahead

    def monotonic(self, now: Micros) -> Micros:
        """What it shows at the true time `now`."""
        passed = now - self._since
        if self._ppm:
            passed += passed * self._ppm // _MILLION
        return self._base + passed

    def wall(self, now: Micros) -> Micros:
        """Unix microseconds, as this node believes."""
        return self.monotonic(now) + self._wall_ahead

    def true(self, shows: Micros, now: Micros) -> Micros:
        """The first true time, `now` at the earliest, at which the monotonic clock shows at least `shows`."""
        left = shows - self.monotonic(now)
        if left <= 0:
            return now
        if self._ppm:
            left = max(0, left * _MILLION // (_MILLION + self._ppm) - 2)
            while self.monotonic(now + left) < shows:
                left += 1
        return now + left

    def drift(self, ppm: int, now: Micros) -> None:
        """From now on it runs at (1 + ppm / 1,000,000) of the true rate."""
        self._base, self._since, self._ppm = self.monotonic(now), now, ppm

    def set_wall(self, by: Micros) -> None:
        """The wall clock jumps."""
        self._wall_ahead += by

    def reboot(self, shows: Micros, now: Micros) -> None:
        """The machine starts anew: its monotonic clock begins again, the wall clock goes on."""
        wall = self.wall(now)
        self._base, self._since = shows, now
        self._wall_ahead = wall - shows
