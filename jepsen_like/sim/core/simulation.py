"""Runs one plan on the core tier, from the first start to the verdict."""

from jepsen_like.check.linearizable import check_linearizable
from jepsen_like.check.models import KeyValue
from jepsen_like.check.verdict import Verdict
from jepsen_like.sim.core.clients import Clients
from jepsen_like.sim.core.fleet import Fleet, Leak
from jepsen_like.sim.core.nemesis import Nemesis
from jepsen_like.sim.core.oracle import Oracle
from jepsen_like.sim.core.recovery import Recovery
from jepsen_like.sim.core.timeline import Timeline
from jepsen_like.sim.core.trace import Trace
from jepsen_like.sim.core.wires import Wires
from jepsen_like.sim.happening import Watch
from jepsen_like.sim.invariants import Checker
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Outcome, Run, Violation

BUDGET = 2_000_000
"""Steps of the search for a linear order. Beyond it the order of the log, which was checked all along, has to do."""


class Simulation:
    """One run of a plan."""

    def __init__(self, plan: Plan, watch: Watch | None) -> None:
        assert plan.tier == "core", f"a plan of the {plan.tier} tier"
        self._plan = plan
        self._timeline = Timeline()
        self._trace = Trace(self._timeline, watch)
        count = plan.workload.clients + len(plan.names)
        names = [*plan.names, *(f"c{number}" for number in range(1, count + 1))]
        self._wires = Wires(self._timeline, plan.random("network"), plan.weather, names)
        self._checker = Checker()
        self._oracle = Oracle(self._checker)
        self._fleet = Fleet(plan, self._timeline, self._wires, self._trace, self._checker, self._oracle)
        self._clients = Clients(plan, self._timeline, self._wires, self._fleet, self._trace, self._oracle)
        self._nemesis = Nemesis(plan, self._timeline, self._wires, self._fleet, self._trace)
        self._under_faults = 0
        """Operations acknowledged before the recovery."""

    def run(self) -> Run:
        """Carry the plan out. A failure is an outcome, not an exception."""
        try:
            self._live()
        except Leak as leak:
            return self._ended("invalid", problem=str(leak))
        except Violation as violation:
            return self._ended("failed", violation.oracle, violation.problem)
        except AssertionError as broken:
            return self._ended("failed", "assertion", str(broken) or "an assertion without words")
        except Exception as broken:  # noqa: BLE001  # whatever a broken core raises is this run's outcome
            return self._ended("failed", "assertion", f"{type(broken).__name__}: {broken}")
        if self._checker.leaderships == 0:
            return self._ended("invalid", problem="nobody ever led")
        if not self._under_faults and self._plan.workload.clients:
            return self._ended("invalid", problem="no operation was acknowledged before the recovery")
        return self._ended("passed")

    def _live(self) -> None:
        self._fleet.start_all()
        self._clients.start()
        self._nemesis.start()
        self._timeline.run_until(self._plan.span)
        self._under_faults = self._clients.acknowledged
        Recovery(
            self._plan,
            self._timeline,
            self._wires,
            self._fleet,
            self._nemesis,
            self._clients,
            self._oracle,
            self._trace,
        ).run()
        self._is_linearizable()

    def _is_linearizable(self) -> None:
        found = check_linearizable(self._clients.history, KeyValue(), budget=BUDGET)
        decided = "linearizable-undecided" if found.verdict is Verdict.UNKNOWN else "linearizable"
        self._fleet.counts[f"oracle/{decided}"] += 1
        if found.verdict is Verdict.INVALID:
            assert found.impossible is not None, "an invalid history without a reason"
            raise Violation(
                "linearizable",
                f"{found.impossible.operation} of {found.impossible.partition} has no place in any order",
            )

    def _ended(self, outcome: Outcome, oracle: str = "", problem: str = "") -> Run:
        if outcome == "failed":
            self._trace.tell("net", "violation", f"{oracle}: {problem}")
        clients, fleet, nemesis = self._clients, self._fleet, self._nemesis
        changes = max(0, self._checker.leaderships - 1)
        coverage = fleet.coverage() | {f"fault/{kind}": number for kind, number in nemesis.done.items()}
        coverage |= {
            f"oracle/{oracle}": number for oracle, number in self._checker.checks().items() if number
        }
        if changes:
            coverage["event/leader-change"] = changes
        return Run(
            seed=self._plan.seed,
            tier="core",
            outcome=outcome,
            oracle=oracle,
            problem=problem,
            trace=self._trace.digest,
            span=self._timeline.now,
            events=fleet.events,
            acknowledged=clients.acknowledged,
            failed=clients.failed,
            unknown=clients.unknown,
            leader_changes=changes,
            restarts=fleet.counts["event/restart"],
            quiet=nemesis.quiet,
            faults=dict(sorted(nemesis.done.items())),
            skipped=dict(sorted(nemesis.skipped.items())),
            coverage=dict(sorted(coverage.items())),
        )
