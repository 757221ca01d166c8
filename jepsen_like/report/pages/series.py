"""What a history says over time: calls, their rate, how long they took, and when none succeeded."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from jepsen_like.check.history import Event, EventType

Points = list[tuple[float, float]]
"""Places in a plot: seconds, and what was measured there."""

QUANTILES: Mapping[str, float] = {"median": 0.5, "p95": 0.95, "p99": 0.99, "slowest": 1.0}
SHORTEST_GAP = 0.2
"""Seconds without a success that are told as a gap; more where successes are rare anyway."""


class Call(msgspec.Struct, frozen=True):
    """One operation: when it was asked (seconds since the clients began), how long it took, what came of it."""

    at: float
    took: float
    outcome: EventType

    @property
    def ended(self) -> float:
        """When its client knew, or gave up."""
        return self.at + self.took


def calls(history: Iterable[Event], began: int | None = None) -> list[Call]:
    """In the order in which they ended; one that was never answered is in no list.

    Args:
        history: with times.
        began: the history's time (ns) that is zero; None: that of its first event.
    """
    asked: dict[Hashable, int] = {}
    found: list[Call] = []
    for event in history:
        if event.time is None:
            continue
        began = event.time if began is None else began
        if event.type is EventType.INVOKE:
            asked[event.process] = event.time
        elif event.process in asked:
            since = asked.pop(event.process)
            found.append(Call((since - began) / 1e9, (event.time - since) / 1e9, event.type))
    return found


def rates(found: Sequence[Call], end: float, width: float = 1.0) -> dict[EventType, Points]:
    """Calls that ended per second, by outcome, in windows of `width` seconds; a window stands at its middle."""
    count = max(1, int(end / width))
    counted = {kind: [0] * count for kind in (EventType.OK, EventType.FAIL, EventType.INFO)}
    for call in found:
        if 0 <= (window := int(call.ended / width)) < count:
            counted[call.outcome][window] += 1
    return {
        kind: [((number + 0.5) * width, each / width) for number, each in enumerate(numbers)]
        for kind, numbers in counted.items()
    }


def quantiles(found: Sequence[Call], width: float = 1.0) -> dict[str, Points]:
    """Seconds that the calls which were asked in a window and succeeded took, by the names of `QUANTILES`."""
    windows: dict[int, list[float]] = {}
    for call in found:
        if call.outcome is EventType.OK:
            windows.setdefault(int(call.at / width), []).append(call.took)
    lines: dict[str, Points] = {name: [] for name in QUANTILES}
    for number, took in sorted(windows.items()):
        took.sort()
        for name, share in QUANTILES.items():
            lines[name].append(((number + 0.5) * width, took[min(int(share * len(took)), len(took) - 1)]))
    return lines


def gaps(found: Sequence[Call], end: float) -> list[tuple[float, float]]:
    """From when to when nothing succeeded, for longer than is usual at this rate."""
    moments = sorted(call.ended for call in found if call.outcome is EventType.OK and call.ended <= end)
    least = max(SHORTEST_GAP, 20 * end / (len(moments) + 1))
    if not moments:
        return [(0.0, end)]
    return [(one, other) for one, other in pairwise([0.0, *moments, end]) if other - one > least]
