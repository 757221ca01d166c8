"""Whole nodes and real clients under drawn plans: every fault, every oracle, and a peace to come back in.

Run one seed with: make test ARGS="tests/sim/node/test_seeds.py -k seed0007", or with the line that a failure prints.
"""

from collections.abc import Mapping

import pytest

from jepsen_like.report.lines import replay_line
from jepsen_like.sim.coverage import merge
from jepsen_like.sim.node import run
from jepsen_like.sim.swarm import draw

SEEDS = range(18)


@pytest.fixture(scope="module")
def coverage() -> list[Mapping[str, int]]:
    """What the runs of this module have seen."""
    return []


@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"seed{seed:04d}") for seed in SEEDS])
def test_every_promise_is_kept(seed: int, coverage: list[Mapping[str, int]]) -> None:
    plan = draw(seed, "node")
    made = run(plan)
    coverage.append(made.coverage)
    assert made.outcome == "passed", (
        f"seed {seed}: {made.oracle or made.outcome}: {made.problem}\n{replay_line(seed, 'node', plan.span)}"
    )


def test_the_runs_were_not_idle(coverage: list[Mapping[str, int]]) -> None:
    if len(coverage) < len(SEEDS):
        pytest.skip("only some of the seeds were run")
    seen = merge(coverage)
    for name in (
        "event/leader-change",
        "event/restart",
        "event/retry",
        "event/redirect",
        "event/session-resumed",
    ):
        assert seen.get(name, 0) > 10, f"hardly any {name}: {seen}"
    for name in ("effect/lost-at-a-cut", "effect/stood-still", "effect/waited"):
        assert seen.get(name, 0) > 0, f"no {name}: {seen}"
