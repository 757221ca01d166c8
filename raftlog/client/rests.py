"""Calls that were refused for now and go back to the queue by and by."""

import asyncio
import heapq
from collections.abc import Callable

from raftlog.client.pending import Pending, Place

_TOGETHER = 0.001


class Rests:
    """A heap of calls by the time of their return, on one timer of the loop.

    Invariants: `back` gets each resting call once, at its time or up to a millisecond before; those that have got their
    outcome meanwhile are passed over. Rests are short, so what is over does not pile up.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, back: Callable[[list[Pending]], None]) -> None:
        self._loop = loop
        self._back = back
        self._heap: list[tuple[float, int, Pending]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, call: Pending, span: float) -> None:
        """Rest for `span` seconds."""
        call.place = Place.RESTING
        self._count += 1
        heapq.heappush(self._heap, (self._loop.time() + span, self._count, call))
        if self._heap[0][2] is call:
            self._arm()

    def stop(self) -> list[Pending]:
        """Forget everything; returns what was resting, in the order of return."""
        left = [call for _, _, call in sorted(self._heap, key=lambda row: row[:2])]
        self._heap.clear()
        self._arm()
        return [call for call in left if call.place is Place.RESTING]

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = self._loop.call_at(self._heap[0][0], self._wake)

    def _wake(self) -> None:
        due = self._loop.time() + _TOGETHER
        back: list[Pending] = []
        while self._heap and self._heap[0][0] <= due:
            call = heapq.heappop(self._heap)[2]
            if call.place is Place.RESTING:
                back.append(call)
        self._arm()
        self._back(back)
