"""A tier that takes no time: one run is one question, and an oracle compares the answer with the right one."""

import os

from jepsen_like.sim.coverage import Registry
from jepsen_like.sim.happening import Watch
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Outcome, Run, Violation

GATES = Registry()
GATES.expect("fault/storm")
HOUR = 3_600_000_000


class Service:
    """What the bugs are planted in."""

    def answer(self, seed: int) -> int:
        """The seed, doubled."""
        doubled = seed * 2
        assert doubled >= 0, "seeds are not negative"
        return doubled

    @property
    def limit(self) -> int:
        """A property can be wrong too."""
        return 100

    @staticmethod
    async def later(seed: int) -> int:
        """So can a coroutine."""
        return seed


def storms(seed: int) -> int:
    """How often the weather was bad: the nemesis of this tier."""
    return 1 + seed % 2


def check(seed: int, answer: int) -> None:
    """The oracle."""
    if answer != seed * 2:
        raise Violation("I5", f"{seed} doubled is not {answer}")


def run(plan: Plan, *, watch: Watch | None = None) -> Run:
    """Ask once. Seed 4 is red on every build, seed 3 says nothing."""
    seed, outcome, oracle, problem = plan.seed, "passed", "", ""
    try:
        check(seed, Service().answer(seed))
        if seed == 4:
            raise Violation("I1", "the build itself is broken here")
    except Violation as violation:
        outcome, oracle, problem = "failed", violation.oracle, violation.problem
    if seed == 3:
        outcome, oracle, problem = "invalid", "", "nothing happened"
    return made(seed, outcome, oracle, problem, storms(seed))  # type: ignore[arg-type]


def made(seed: int, outcome: Outcome, oracle: str, problem: str, storms: int) -> Run:
    """A run whose figures are those of a healthy one."""
    return Run(
        seed=seed,
        tier="core",
        outcome=outcome,
        oracle=oracle,
        problem=problem,
        trace="0" * 16,
        span=HOUR,
        events=1,
        acknowledged=100_000,
        leader_changes=100,
        coverage={"fault/storm": storms} if storms else {},
    )


def stop() -> None:
    """End the process, as a bug may."""
    os._exit(9)
