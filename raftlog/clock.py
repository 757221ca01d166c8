"""The Clock port: what time it is and what nobody can guess, so that both can be simulated."""

import os
import time
from typing import Protocol

from raftlog.core.ids import Micros


class Clock(Protocol):
    """Time and entropy of one process."""

    def monotonic(self) -> Micros:
        """Microseconds of a clock that never goes back and counts suspended time."""
        ...

    def wall(self) -> Micros:
        """Microseconds since the Unix epoch, as the machine believes; may jump either way."""
        ...

    def entropy(self) -> int:
        """An unpredictable u64, never 0: for node ids, cluster ids, boots and seeds."""
        ...


class SystemClock:
    """The machine's own clocks. Monotonic time is CLOCK_BOOTTIME where there is one (Linux)."""

    _source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def monotonic(self) -> Micros:
        """See `Clock.monotonic`."""
        return time.clock_gettime_ns(self._source) // 1000

    def wall(self) -> Micros:
        """See `Clock.wall`."""
        return time.time_ns() // 1000

    def entropy(self) -> int:
        """See `Clock.entropy`."""
        return int.from_bytes(os.urandom(8), "big") or 1
