"""Shrinking keeps the bug and drops the rest, whatever the plan was like."""

from collections.abc import Iterator

import msgspec
import pytest

from jepsen_like.sim import smaller
from jepsen_like.sim.faults import Crash, Partition, Squall
from jepsen_like.sim.plan import Plan, Tier, decode, encode
from jepsen_like.sim.shrink import NothingToShrink, Shrinker
from jepsen_like.sim.smaller import Reduction
from jepsen_like.sim.swarm import draw
from jepsen_like.sim.verdict import Run
from tests.sim.campaign.fake import needs_two_faults, passed

REDUCTIONS: tuple[Reduction, ...] = (
    smaller.spans,
    smaller.gaps,
    smaller.nodes,
    smaller.clients,
    smaller.weather,
    smaller.knobs,
    smaller.faults,
)

FAILING = [seed for seed in range(1, 400) if needs_two_faults(draw(seed, "core")).outcome == "failed"][:5]
PASSING = next(seed for seed in range(1, 400) if seed not in FAILING)


@pytest.mark.parametrize("seed", FAILING)
def test_what_is_left_is_what_the_bug_needs(seed: int) -> None:
    best = Shrinker(draw(seed, "core"), needs_two_faults).shrink()
    assert (best.run.outcome, best.run.oracle) == ("failed", "I1")
    cut, crash = best.plan.faults
    assert isinstance(cut, Partition)
    assert isinstance(crash, Crash)
    assert 10_000 <= cut.span < 30_000
    assert crash.down < 10_000
    assert len(crash.nodes) == 1
    assert best.plan.voters == 3
    assert best.plan.learners == 0
    assert best.plan.workload.clients == 2
    assert best.plan.span < 2_000_000
    assert best.plan.weather == smaller.CALM
    assert needs_two_faults(best.plan) == best.run


def test_equal_plans_shrink_equally() -> None:
    once, again = (Shrinker(draw(FAILING[0], "core"), needs_two_faults).shrink() for _ in range(2))
    assert once == again


def test_another_oracle_does_not_count() -> None:
    def two_bugs(plan: Plan) -> Run:
        if len(plan.faults) < 5:
            return passed(plan, outcome="failed", oracle="I7", problem="another one")
        return passed(plan, outcome="failed", oracle="I1", problem="the one")

    best = Shrinker(draw(FAILING[0], "core"), two_bugs).shrink()
    assert best.run.oracle == "I1"
    assert len(best.plan.faults) == 5


def test_it_stops_at_its_limit_with_the_best_so_far() -> None:
    made = 0

    def counted(plan: Plan) -> Run:
        nonlocal made
        made += 1
        return needs_two_faults(plan)

    best = Shrinker(draw(FAILING[0], "core"), counted, limit=20).shrink()
    assert best.tries == made == 20
    assert best.run.outcome == "failed"
    assert len(best.plan.faults) < len(draw(FAILING[0], "core").faults)


def test_broken_off_it_keeps_the_best_so_far() -> None:
    made = 0

    def interrupted(plan: Plan) -> Run:
        nonlocal made
        made += 1
        if made == 15:
            raise KeyboardInterrupt
        return needs_two_faults(plan)

    shrinker = Shrinker(draw(FAILING[0], "core"), interrupted)
    with pytest.raises(KeyboardInterrupt):
        shrinker.shrink()
    assert shrinker.best.run.outcome == "failed"
    assert needs_two_faults(shrinker.best.plan) == shrinker.best.run


def test_a_plan_that_passes_is_refused() -> None:
    with pytest.raises(NothingToShrink, match=f"seed {PASSING} passed"):
        Shrinker(draw(PASSING, "core"), needs_two_faults)


def test_a_bold_cut_is_tried_under_other_seeds() -> None:
    def only_even_seeds(plan: Plan) -> Run:
        if plan.seed % 2 and plan.voters < 5:
            return passed(plan)
        return passed(plan, outcome="failed", oracle="I1", problem="even")

    plan = next(plan for seed in range(1, 100, 2) if (plan := draw(seed, "core")).voters == 5)
    best = Shrinker(plan, only_even_seeds).shrink()
    assert best.plan.voters == 1
    assert best.plan.seed % 2 == 0
    assert Shrinker(plan, only_even_seeds, reseeds=0).shrink().plan.voters == 5


def candidates(tier: Tier) -> Iterator[Plan]:
    for seed in range(1, 12):
        plan = draw(seed, tier)
        for reduction in REDUCTIONS:
            yield from reduction(plan)


@pytest.mark.parametrize("tier", ["core", "node"])
def test_every_candidate_is_a_plan_that_a_file_can_hold_and_names_only_who_is_there(tier: Tier) -> None:
    number = 0
    for plan in candidates(tier):
        number += 1
        assert decode(encode(plan)) == plan
        clients = {f"c{client}" for client in range(1, plan.workload.clients + 1)}
        there = {*plan.names, *clients, "leader"}
        for fault in plan.faults:
            named = {
                *getattr(fault, "nodes", ()),
                *getattr(fault, "origins", ()),
                *getattr(fault, "targets", ()),
                *(name for side in getattr(fault, "sides", ()) for name in side),
                *(getattr(fault, field) for field in ("node", "origin", "target") if hasattr(fault, field)),
            }
            assert named or isinstance(fault, Squall), f"{fault} is done to nobody"
            assert named <= there, f"{fault} of {plan.names}"
    assert number > 500


def test_a_drawn_plan_survives_its_journey_to_a_worker() -> None:
    for seed in range(1, 200):
        for tier in ("core", "node"):
            plan = draw(seed, tier)
            assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
