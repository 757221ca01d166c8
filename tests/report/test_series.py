"""What plots show is what the history says: calls, rates, quantiles, gaps, clocks."""

import pytest

from jepsen_like.check.history import EventType
from jepsen_like.cluster.trial import Struck
from jepsen_like.report.pages import series
from jepsen_like.report.pages.scale import duration, durations, linear, signed
from jepsen_like.report.pages.strikes import clocks, kind, strikes
from jepsen_like.sim.faults import Drift, Kill, OneWay, Partition, WallJump
from tests.report import runs


def test_calls_are_placed_where_they_were_asked_and_take_until_they_were_answered() -> None:
    found = series.calls(runs.history(), runs.BEGAN)
    assert [call.at for call in found] == [number / 2 for number in range(20) if number != 7]
    assert {call.took for call in found if call.outcome is EventType.OK} == {0.01}
    (unknown,) = [call for call in found if call.outcome is EventType.INFO]
    assert (unknown.at, unknown.ended) == (3.0, 4.0)
    assert series.calls(runs.history()) == found


def test_a_window_counts_the_calls_that_ended_in_it() -> None:
    found = series.rates(series.calls(runs.history(), runs.BEGAN), 10.0)
    assert [value for _, value in found[EventType.OK]] == [2, 2, 2, 0, 0, 2, 2, 2, 2, 2]
    assert [value for _, value in found[EventType.FAIL]] == [0, 0, 0, 0, 2, 0, 0, 0, 0, 0]
    assert found[EventType.INFO][4] == (4.5, 1)


def test_quantiles_are_those_of_the_calls_asked_in_the_window() -> None:
    calls = [series.Call(0.5, number / 100, EventType.OK) for number in range(1, 101)]
    calls += [series.Call(0.5, 9.0, EventType.INFO), series.Call(2.2, 0.5, EventType.OK)]
    found = series.quantiles(calls)
    assert found["median"] == [(0.5, 0.51), (2.5, 0.5)]
    assert found["p99"][0] == (0.5, 1.0)
    assert found["slowest"][1] == (2.5, 0.5)


def test_a_gap_lasts_from_one_success_to_the_next() -> None:
    found = series.calls(runs.history(), runs.BEGAN)
    usual = [call for call in found for _ in range(12)]
    assert series.gaps(usual, 9.51) == [(2.51, 5.01)]
    assert series.gaps([], 9.5) == [(0.0, 9.5)]


def test_a_fault_has_the_names_it_hit_and_one_that_could_not_be_done_is_left_out() -> None:
    found = strikes(runs.STRUCK)
    assert [(each.text, each.kind) for each in found] == [
        ("kill n2", "process"),
        ("wall clock of n1 -3600 s", "clock"),
        ("clock of n3 runs +20%", "clock"),
    ]
    sides = Partition(at=0, sides=(("leader",), ("n1", "n2", "n3")), span=1)
    ways = OneWay(at=0, origins=("leader",), targets=("n1", "n3"), span=1)
    struck = [
        Struck(fault=sides, targets=("n2", "n1", "n2", "n3"), began=0, ended=1),
        Struck(fault=ways, targets=("n2", "n1", "n3"), began=0, ended=1),
    ]
    assert [each.text for each in strikes(struck)] == ["partition n2 | n1 n3", "one way: not n2 to n1 n3"]
    assert kind(sides) == "network"


def test_clocks_jump_run_and_are_right_again_after_a_restart() -> None:
    struck = (
        *runs.STRUCK,
        Struck(fault=Kill(at=0, nodes=("n1",), down=1), targets=("n1",), began=7.0, ended=8.0),
    )
    found = clocks(struck, 10.0)
    assert found["n1"] == [(0, 0), (6.0, 0.0), (6.0, -3600.0), (8.0, -3600.0), (8.0, 0.0), (10.0, 0.0)]
    assert found["n3"] == [(0, 0), (7.0, 0.0), (9.0, pytest.approx(0.4)), (10.0, pytest.approx(0.4))]
    assert "n2" not in found
    assert clocks(runs.STRUCK[:1], 10.0) == {}


def test_a_clock_that_is_set_while_it_runs_fast_does_both() -> None:
    struck = (
        Struck(fault=Drift(at=0, node="n1", ppm=100_000, span=4), targets=("n1",), began=2.0, ended=6.0),
        Struck(fault=WallJump(at=0, node="n1", by=2_000_000), targets=("n1",), began=4.0, ended=4.0),
    )
    found = clocks(struck, 8.0)["n1"]
    assert [at for at, _ in found] == [0, 2, 4, 4, 6, 8]
    assert [ahead for _, ahead in found] == pytest.approx([0, 0, 0.2, 2.2, 2.4, 2.4])


def test_scales_reach_round_values_and_keep_to_their_edges() -> None:
    assert [text for _, text in linear(170).ticks()] == ["0", "50", "100", "150", "200"]
    assert linear(0).place(0) == 0.0
    times = durations(0.0015, 2.9)
    assert [text for _, text in times.ticks()] == ["1 ms", "10 ms", "100 ms", "1 s", "10 s"]
    assert times.place(0.1) == pytest.approx(0.5)
    assert (times.place(0.0), times.place(99.0)) == (0.0, 1.0)
    both = signed(3600)
    assert (both.place(0), both.place(-20_000), both.place(10_000)) == (0.5, 0.0, 1.0)
    assert both.place(3) - 0.5 == pytest.approx(0.5 - both.place(-3))


@pytest.mark.parametrize(
    "seconds, text", [(0, "0 µs"), (0.00025, "250 µs"), (0.0061, "6.1 ms"), (1.64, "1.64 s"), (75, "75 s")]
)
def test_durations_are_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
