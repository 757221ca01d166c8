"""The arithmetic of the report, and that it can be shown."""

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.figures import Range, Taken, rows
from bench.floor import Cost
from bench.load import Observed, Spent
from bench.machine import Machine
from bench.report import Report, as_json, tables
from bench.workload import Measure, NothingAnswered, Window, percentile


def taken(system: str, round_: int, workload: str, *, rate: float, p50_ms: float = 1.0) -> Taken:
    measure = Measure(
        workload, commands=int(rate * 2), seconds=2.0, p50_ms=p50_ms, p99_ms=3 * p50_ms, worst_ms=9 * p50_ms
    )
    return Taken(
        system, round_, Observed(measure, {"client": Spent(4.0, 3.0), "n1": Spent(6.0, 5.0)}, others=0.04)
    )


PAIRED = [
    taken("yardstick", 0, "64 callers", rate=1000),
    taken("raftlog", 0, "64 callers", rate=500),
    taken("yardstick", 1, "64 callers", rate=2000),
    taken("raftlog", 1, "64 callers", rate=1400),
    taken("yardstick", 2, "64 callers", rate=3000),
    taken("raftlog", 2, "64 callers", rate=1800),
]


def test_ratios_are_made_per_round() -> None:
    yardstick, raftlog = rows(PAIRED, "yardstick")
    assert yardstick.ratio is None
    assert yardstick.rate == Range(2000, 1000, 3000)
    assert raftlog.ratio == Range(0.6, 0.5, 0.7)


def test_one_caller_is_compared_by_its_median_latency() -> None:
    both = [
        taken("yardstick", 0, "sequential", rate=500, p50_ms=2.0),
        taken("raftlog", 0, "sequential", rate=499, p50_ms=5.0),
    ]
    assert rows(both, "yardstick")[1].ratio == Range(0.4, 0.4, 0.4)


def test_a_round_without_its_pair_has_no_ratio() -> None:
    assert [row.ratio for row in rows([taken("raftlog", 0, "64 callers", rate=9)], "yardstick")] == [None]


def test_the_report_shows_every_row_and_what_is_missing() -> None:
    report = Report(
        machine=Machine("a processor", 2, 8.0, "Linux", "3.11", {"grpcio": "1"}, "/d", "tmpfs", 90.0),
        rounds=3,
        seconds=2.0,
        floor=(Cost("a sync", 90.0, 250.0),),
        rows=tuple(rows(PAIRED, "yardstick")),
        missing=("the third could not be measured",),
    )
    shown = io.StringIO()
    Console(file=shown, width=160).print(tables(report))
    for text in ("64 callers", "0.60 (0.50..0.70)", "a sync", "tmpfs keeps nothing", "the third could not"):
        assert text in shown.getvalue()
    assert msgspec.json.decode(as_json(report), type=Report) == report


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_enough_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(sorted(values), percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_answers_count_inside_the_window_only() -> None:
    window = Window()
    window.answered(0.0)
    window.open()
    window.answered(0.0)
    window.close()
    window.answered(0.0)
    assert window.measure("sequential", 512).commands == 512


def test_a_window_without_answers_measures_nothing() -> None:
    window = Window()
    window.open()
    window.close()
    with pytest.raises(NothingAnswered):
        window.measure("sequential", 1)
