"""When to look at the clock between commands: often enough for every slice, seldom enough to cost next to nothing."""

from collections.abc import Callable

from raftlog.core.ids import Micros

_TOGETHER = 32
"""The most commands between two readings of the clock, which costs a quarter of a quick one."""
_STRETCH: Micros = 1_000
"""As many commands are run between two readings as would have taken this long before."""
_WATCHED = 64
"""Commands that are timed one by one after a slow one."""


class Pace:
    """Readings of the clock while commands of an entry are run.

    Between two readings lie as many commands as would have taken 1 ms before, from 1 to 32; after a slow reading, 64
    are timed one by one. This alone bounds how long a slice goes on, however many commands are admitted together.

    Invariant: `due` is above the ordinal of the last reading, unless that was the last one.
    """

    __slots__ = (
        "_before",
        "_clock",
        "_from",
        "_on_slow",
        "_slow_after",
        "_to",
        "_together",
        "_watched",
        "due",
    )

    def __init__(
        self, clock: Callable[[], Micros], slow_after: Micros, on_slow: Callable[[int, int, Micros], None]
    ) -> None:
        """`clock` is monotonic; `on_slow` is told of commands, from an ordinal up to another, that took too long."""
        self._clock = clock
        self._slow_after = slow_after
        self._on_slow = on_slow
        self._together = _TOGETHER
        """Commands between this reading and the next."""
        self._watched = 0
        """Commands to time one by one."""
        self._before: Micros = 0
        self._from = self._to = 0
        self.due = 0
        """Before the command with this ordinal the clock is to be read."""

    def begin(self, ordinal: int, end: int) -> None:
        """The commands from `ordinal` up to `end` are run now."""
        self._before = self._clock()
        self._from, self._to = ordinal, end
        self.due = min(ordinal + self._together, end)

    def over(self, ordinal: int, deadline: Micros | None) -> bool:
        """All below `ordinal`, which was due, have been run: reads the clock, and says whether the deadline is past."""
        now = self._clock()
        took, ran = now - self._before, ordinal - self._from
        if took >= self._slow_after:
            self._watched = _WATCHED
            self._on_slow(self._from, ordinal, took)
        if self._watched:
            self._watched -= 1
            self._together = 1
        else:
            self._together = max(1, min(_TOGETHER, 2 * self._together, _STRETCH * ran // max(took, 1)))
        self._before, self._from = now, ordinal
        self.due = min(ordinal + self._together, self._to)
        return deadline is not None and now >= deadline
