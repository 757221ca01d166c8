"""A timer wheel: any number of deadlines on one timer of the loop."""

import asyncio
import heapq
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

TICK = 0.02
"""Seconds. An outcome by deadline comes at most this late, never early."""


class Expiring(Protocol):
    """What has a deadline on the loop's clock, and remembers which tick it was put under."""

    deadline: float
    tick: int


T = TypeVar("T", bound=Expiring)


class Deadlines(Generic[T]):
    """Sorts by tick; entries of one tick expire in the order they came in.

    Invariants: a tick with entries is in the heap; the timer is set for the earliest tick of the heap or before.
    Adding and removing take constant time, and what was removed leaves nothing behind but its tick.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[T], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._entries: dict[int, dict[T, None]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entry: T) -> None:
        """Start waiting for a deadline."""
        tick = entry.tick = int(entry.deadline / TICK) + 1
        entries = self._entries.get(tick)
        if entries is None:
            self._entries[tick] = {entry: None}
            heapq.heappush(self._ticks, tick)
            if self._ticks[0] == tick:
                self._arm()
        else:
            entries[entry] = None

    def remove(self, entry: T) -> None:
        """It no longer matters; one that expired already may be removed too."""
        entries = self._entries.get(entry.tick)
        if entries is not None:
            entries.pop(entry, None)
            if not entries:
                del self._entries[entry.tick]

    def stop(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._ticks.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ticks and self._ticks[0] not in self._entries:
            heapq.heappop(self._ticks)
        if self._ticks:
            self._timer = self._loop.call_at(self._ticks[0] * TICK, self._fire)

    def _fire(self) -> None:
        due = int(self._loop.time() / TICK + 1e-6)
        while self._ticks and self._ticks[0] <= due:
            for entry in self._entries.pop(heapq.heappop(self._ticks), {}):
                self._expire(entry)
        self._arm()
