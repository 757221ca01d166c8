"""Cuts a failing plan down to what matters: the same oracle must fire at every step.

Faults go by delta debugging (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002): chunks
first, then one by one. Whatever is dropped changes all that comes after it, so the bold cuts are also tried under a few
other seeds. The result is a plan: smaller, with a seed of its own, and as repeatable as any.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jepsen_like.sim import smaller
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.smaller import MILLISECOND, Reduction, fitted, reseeded, without_faults
from jepsen_like.sim.verdict import Run

TRIES = 600
RESEEDS = 3
"""How many other seeds a bold cut is tried under."""

BOLD: tuple[Reduction, ...] = (smaller.spans, smaller.nodes, smaller.clients, smaller.gaps)
FINE: tuple[Reduction, ...] = (smaller.weather, smaller.snapshots, smaller.knobs, smaller.faults)


@dataclass(slots=True)
class Shrunk:
    """The smallest plan so far, and its run. It grows smaller while the work goes on, and is whole at any moment."""

    plan: Plan
    run: Run
    tries: int = 0


class NothingToShrink(Exception):
    """The plan does not fail."""


class Shrinker:
    """Tries smaller plans until none fails any more or `limit` runs were made.

    Invariants: `best.run` is the run of `best.plan`; it failed, by the oracle that fired first. Equal plans and
    simulators give equal results.
    """

    def __init__(
        self, plan: Plan, simulate: Callable[[Plan], Run], *, limit: int = TRIES, reseeds: int = RESEEDS
    ) -> None:
        """Make the first run.

        Raises:
            NothingToShrink: it does not fail.
        """
        self._simulate = simulate
        self._limit = limit
        self._reseeds = reseeds
        self._tried: set[Plan] = {plan}
        run = simulate(plan)
        if run.outcome != "failed":
            raise NothingToShrink(f"seed {plan.seed} {run.outcome}: there is nothing to shrink")
        self.best = Shrunk(plan, run, tries=1)

    def shrink(self, seen: Callable[[Shrunk], None] = lambda _: None) -> Shrunk:
        """Work until nothing helps; `seen` is told after every run. May be broken off: `best` stays good."""
        self._seen = seen
        before = None
        while before != self.best.plan and self.best.tries < self._limit:
            before = self.best.plan
            self._cut_after_the_violation()
            self._drop_faults()
            for reduction in BOLD:
                self._exhaust(reduction, self._reseeds)
            self._cut_after_the_violation()
            self._drop_faults()
            for reduction in FINE:
                self._exhaust(reduction, 0)
        return self.best

    def _cut_after_the_violation(self) -> None:
        """What was planned for later did not matter; a violation in the recovery leaves the span as it is."""
        span = self.best.run.span + MILLISECOND
        if span < self.best.plan.span:
            self._try(fitted(self.best.plan, span=span))

    def _drop_faults(self) -> None:
        size = len(self.best.plan.faults)
        while size:
            start = 0
            while start < len(self.best.plan.faults):
                if not self._try(without_faults(self.best.plan, start, size)):
                    start += size
            size //= 2

    def _exhaust(self, reduction: Reduction, reseeds: int) -> None:
        """Take the first candidate that still fails and start over, until none does."""
        while any(self._try_under_seeds(candidate, reseeds) for candidate in reduction(self.best.plan)):
            pass

    def _try_under_seeds(self, plan: Plan, reseeds: int) -> bool:
        return self._try(plan) or any(
            self._try(reseeded(plan, number)) for number in range(1, reseeds + 1) if plan != self.best.plan
        )

    def _try(self, plan: Plan) -> bool:
        """Whether this plan fails by the same oracle, and is now the best."""
        if plan in self._tried or self.best.tries >= self._limit:
            return False
        self._tried.add(plan)
        run = self._simulate(plan)
        self.best.tries += 1
        fails = run.outcome == "failed" and run.oracle == self.best.run.oracle
        if fails:
            self.best.plan, self.best.run = plan, run
        self._seen(self.best)
        return fails
