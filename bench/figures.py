"""What was measured, and the medians, ranges and ratios made of it."""

import statistics
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bench.load import Observed, Spent
from bench.workload import Measure

SEQUENTIAL = "sequential"


class Taken(msgspec.Struct, frozen=True):
    """One measure of one system in one round."""

    system: str
    round: int
    observed: Observed


class Range(msgspec.Struct, frozen=True):
    """The middle and the ends of a few values."""

    median: float
    least: float
    most: float


class Row(msgspec.Struct, frozen=True):
    """All rounds of one system under one workload."""

    workload: str
    system: str
    rate: Range
    p50_ms: Range
    p99_ms: Range
    spent: dict[str, Spent]
    """Medians: of the client, the leading node and the others in turn."""
    others: Range
    """Share of the machine that other processes used meanwhile."""
    ratio: Range | None
    """Share of the yardstick's speed, made per round: of p50 for one caller, of the rate otherwise. None: no pair."""


def rows(taken: Sequence[Taken], yardstick: str) -> list[Row]:
    """One row per workload and system, workloads and systems in the order they were first measured."""
    workloads = dict.fromkeys(one.observed.measure.workload for one in taken)
    systems = dict.fromkeys(one.system for one in taken)
    return [
        _row(
            workload,
            system,
            mine,
            {one.round: one.observed.measure for one in _of(taken, workload, yardstick)},
        )
        for workload in workloads
        for system in systems
        if (mine := _of(taken, workload, system))
    ]


def range_of(values: Iterable[float]) -> Range:
    """Median, least and most of at least one value."""
    known = list(values)
    return Range(statistics.median(known), min(known), max(known))


def share(mine: Measure, other: Measure) -> float:
    """How fast `mine` is beside `other`: 1 is equal, 0.5 half as fast."""
    if mine.workload == SEQUENTIAL:
        return other.p50_ms / mine.p50_ms
    return mine.rate / other.rate


def _of(taken: Sequence[Taken], workload: str, system: str) -> list[Taken]:
    return [one for one in taken if one.system == system and one.observed.measure.workload == workload]


def _row(workload: str, system: str, mine: Sequence[Taken], pairs: dict[int, Measure]) -> Row:
    def over(value: Callable[[Measure], float]) -> Range:
        return range_of(value(one.observed.measure) for one in mine)

    paired = [share(one.observed.measure, pairs[one.round]) for one in mine if one.round in pairs]
    is_pair = bool(paired) and any(one.observed.measure is not pairs.get(one.round) for one in mine)
    return Row(
        workload=workload,
        system=system,
        rate=over(lambda measure: measure.rate),
        p50_ms=over(lambda measure: measure.p50_ms),
        p99_ms=over(lambda measure: measure.p99_ms),
        spent={name: _middle([one.observed.spent[name] for one in mine]) for name in mine[0].observed.spent},
        others=range_of(one.observed.others for one in mine),
        ratio=range_of(paired) if is_pair else None,
    )


def _middle(spent: Sequence[Spent]) -> Spent:
    return Spent(
        statistics.median(one.whole_us for one in spent), statistics.median(one.loop_us for one in spent)
    )
