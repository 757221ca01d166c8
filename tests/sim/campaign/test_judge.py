"""A campaign that could not have found anything is invalid, and says what it lacked."""

from typing import Any

import pytest

from jepsen_like.sim.coverage import Registry, merge
from jepsen_like.sim.judge import Exit, judge
from jepsen_like.sim.swarm import draw
from jepsen_like.sim.tally import Tally
from tests.sim.campaign.fake import GATES, passed

SPAN = 30_000_000


def tally(runs: int = 20, **changed: Any) -> Tally:
    made = Tally(SPAN)
    for seed in range(1, runs + 1):
        plan = draw(seed, "core")
        made.add(passed(plan, **{"coverage": {"fault/crash": 1, "fault/partition": 1}, **changed}), 0.5)
    return made


def test_a_lively_campaign_is_clean() -> None:
    assert judge(tally(), "core", GATES).exit == Exit.CLEAN


@pytest.mark.parametrize(
    "changed, word",
    [
        ({"acknowledged": 100}, "acknowledged"),
        ({"leader_changes": 0}, "leader"),
        ({"quiet": 10_000_000}, "quiet"),
        ({"outcome": "invalid", "problem": "no fault was carried out"}, "invalid"),
    ],
)
def test_each_figure_alone_makes_it_invalid(changed: dict[str, Any], word: str) -> None:
    judgement = judge(tally(**changed), "core", GATES)
    assert judgement.exit == Exit.INVALID
    assert len(judgement.problems) == 1
    assert word in judgement.problems[0]


def test_the_thresholds_lie_where_they_are_promised() -> None:
    # 40 virtual seconds a run, 30 of them under faults, 20 runs.
    for changed, exit_code in (
        ({"acknowledged": 200}, Exit.CLEAN),
        ({"acknowledged": 199}, Exit.INVALID),
        ({"quiet": 9_000_000}, Exit.CLEAN),
        ({"quiet": 9_000_001}, Exit.INVALID),
    ):
        assert judge(tally(**changed), "core", GATES).exit == exit_code, changed
    assert judge(tally(9, leader_changes=0), "core", GATES).exit == Exit.INVALID
    lively = tally(9, leader_changes=0)
    lively.leader_changes = 2  # in 360 virtual seconds: 20 an hour
    assert judge(lively, "core", GATES).exit == Exit.CLEAN


def test_a_missed_gate_makes_it_invalid_unless_nobody_asks() -> None:
    quiet = tally(coverage={"fault/partition": 1})
    judgement = judge(quiet, "core", GATES)
    assert ([gate.name for gate in judgement.missed], judgement.exit) == (["fault/crash"], Exit.INVALID)
    assert judge(quiet, "core", GATES, gates=False).exit == Exit.CLEAN


def test_gates_are_for_their_tiers_and_absent_ones_count_neither_way() -> None:
    crashes = tally(coverage={"fault/crash": 1})
    assert judge(crashes, "core", GATES).exit == Exit.CLEAN
    assert [gate.name for gate in judge(crashes, "node", GATES).missed] == ["fault/partition"]


def test_a_gate_may_ask_for_more_than_once() -> None:
    registry = Registry()
    registry.expect("event/leader-change", least=3)
    assert registry.missed("core", {"event/leader-change": 2})
    assert not registry.missed("core", {"event/leader-change": 3})


def test_a_gate_is_registered_once_for_each_tier() -> None:
    registry = Registry()
    registry.expect("fault/crash", tiers=("node",), least=2)
    registry.expect("fault/crash", tiers=("core",))
    with pytest.raises(ValueError, match="fault/crash"):
        registry.expect("fault/crash")
    assert [gate.least for gate in (*registry.gates("core"), *registry.gates("node"))] == [1, 2]


def test_a_failure_is_a_failure_even_in_an_invalid_campaign() -> None:
    broken = tally(outcome="failed", oracle="I1", coverage={}, acknowledged=0)
    assert judge(broken, "core", GATES).exit == Exit.FAILED


def test_an_empty_campaign_is_invalid() -> None:
    assert judge(Tally(SPAN), "core", Registry()).exit == Exit.INVALID


def test_counts_add_up_in_the_order_of_names() -> None:
    assert list(merge([{"b": 1, "a": 2}, {"c": 4, "b": 3}]).items()) == [("a", 2), ("b", 4), ("c", 4)]
