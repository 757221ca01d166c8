"""The gate of determinism: a plan gives the same run in two processes, under two hash seeds, watched or not."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from jepsen_like.report.lines import replay_line
from jepsen_like.sim.crew import Crew
from jepsen_like.sim.plan import Plan, Tier
from jepsen_like.sim.swarm import draw
from jepsen_like.sim.tiers import PLACES
from jepsen_like.sim.worker import Finished
from tests.sim.campaign import fake

SECOND = 1_000_000
PLANS: dict[Tier, list[Plan]] = {
    "core": [draw(seed, "core", span=12 * SECOND) for seed in (101, 102, 103, 104)],
    "node": [draw(seed, "node", span=8 * SECOND) for seed in (201, 202)],
}


def made(place: str, plans: list[Plan], hash_seed: int, *, watched: bool) -> list[Finished]:
    with Crew(1, place, hash_seed=hash_seed) as crew:
        return list(crew.run(plans, watched=watched))


@pytest.mark.parametrize("tier", ["core", "node"])
def test_a_run_is_the_same_in_another_process_under_another_hash_seed_and_watched(tier: Tier) -> None:
    with ThreadPoolExecutor() as both:
        first = both.submit(made, PLACES[tier], PLANS[tier], 1, watched=False)
        second = both.submit(made, PLACES[tier], PLANS[tier], 2, watched=True)
        once, again = first.result(), second.result()
    for one, other in zip(once, again, strict=True):
        assert one.run == other.run, (
            f"seed {one.plan.seed} is not one run: {replay_line(one.plan.seed, tier, one.plan.span)} --again"
        )
        assert one.run.oracle != "harness", one.run.problem
        assert (one.heard, other.heard > 100) == (0, True), (
            "the second one was not watched, or the first one was"
        )
    assert sum(done.run.restarts for done in once) > 0, "no node was ever started again"
    traces = {done.run.trace for done in once}
    assert len(traces) == len(once), "different seeds give one trace: it does not say what happened"


def test_what_is_not_deterministic_is_seen_to_differ() -> None:
    plans = PLANS["core"][:1]
    runs = [made(f"{fake.HERE}:other_every_time", plans, seed, watched=False) for seed in (1, 2)]
    assert runs[0][0].run != runs[1][0].run


def test_the_two_processes_really_run_under_two_hash_seeds() -> None:
    plans = PLANS["core"][:1]
    seen = [made(f"{fake.HERE}:hash_of_a_text", plans, seed, watched=False)[0].run.trace for seed in (1, 2)]
    assert seen[0] != seen[1]
    assert os.environ.get("PYTHONHASHSEED") not in ("1", "2")
