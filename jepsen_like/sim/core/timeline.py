"""Virtual time: what will happen, and when, in one heap."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, TypeAlias

from raftlog.core.ids import Micros

Act: TypeAlias = Callable[..., None]


class Timeline:
    """Acts of one instant happen in the order in which they were put down. Nothing is ever taken back: an act that has
    become pointless finds that out by itself.

    Invariants: `now` never falls; nothing is put down for the past.
    """

    __slots__ = ("_heap", "_serial", "now", "serial")

    def __init__(self) -> None:
        self.now: Micros = 0
        self._heap: list[tuple[Micros, int, Act, Any, Any, Any]] = []
        self._serial = 0
        self.serial = 0
        """The serial number of the act that is happening."""

    def at(self, due: Micros, act: Act, a: Any = None, b: Any = None, c: Any = None) -> int:
        """Have `act(a, b, c)` called at `due`; its serial number, unique in the run."""
        assert due >= self.now, f"{act} is due at {due}, but it is {self.now} already"
        self._serial = serial = self._serial + 1
        heappush(self._heap, (due, serial, act, a, b, c))
        return serial

    def run_until(self, end: Micros) -> None:
        """Let everything happen that is due by `end`."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, self.serial, act, a, b, c = heappop(heap)
            act(a, b, c)
        self.now = end
