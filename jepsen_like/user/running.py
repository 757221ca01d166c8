"""One run of a user's machine: the simulation itself, and afterwards its log, here and in another process."""

import msgspec

from jepsen_like.sim.happening import Watch
from jepsen_like.sim.node import Simulation
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Run, Violation
from jepsen_like.user.audit import Audit
from jepsen_like.user.elsewhere import Elsewhere
from jepsen_like.user.story import UserStory
from raftlog.core.ids import Micros


class Ran:
    """A run that has ended, and what was found."""

    def __init__(
        self, run: Run, story: UserStory, cause: BaseException | None = None, *, theirs: bool = False
    ) -> None:
        self.run = run
        self.judged = story.judged
        """False: the model's search was given up, or the check could not tell."""
        self.cause = cause
        """The exception that showed it, where there is one."""
        self.theirs = theirs
        """It came out of the test itself, or out of a node, and no oracle has anything to add."""
        self.timeline = ""


def carry_out(
    simulation: Simulation, story: UserStory, elsewhere: Elsewhere | None, slow: Micros | None
) -> Ran:
    """Run it, then its log. What the log shows is the cause of what the run showed, so it is told first."""
    run = simulation.run()
    problem = simulation.world.problem
    run = msgspec.structs.replace(run, acknowledged=story.acknowledged)
    found = _look_at_log(simulation, story, elsewhere, slow if run.outcome == "passed" else None)
    if found is not None:
        more = run.outcome == "failed" and run.oracle != found.oracle
        text = f"{found.problem} (the run itself: {run.oracle}: {run.problem})" if more else found.problem
        failed = msgspec.structs.replace(run, outcome="failed", oracle=found.oracle, problem=text)
        return Ran(failed, story, found.__cause__)
    if run.outcome == "passed" and not story.acknowledged:
        idle = msgspec.structs.replace(run, outcome="invalid", problem="no call was acknowledged")
        return Ran(idle, story)
    if isinstance(problem, Violation):
        return Ran(run, story, problem.__cause__)
    return Ran(run, story, problem, theirs=problem is not None)


def _look_at_log(
    simulation: Simulation, story: UserStory, elsewhere: Elsewhere | None, slow: Micros | None
) -> Violation | None:
    world, cast = simulation.world, story.cast
    log = world.committed_log()
    audit = Audit(
        cast.machine,
        invariant=cast.invariant,
        faults=cast.machine_faults,
        live=world.checker._digests,
    )
    found = audit.run(log)
    if found is None and elsewhere is not None:
        found = elsewhere.compare(log, audit.steps, slow)
    return found


def simulation_of(plan: Plan, story: UserStory, watch: Watch | None = None) -> Simulation:
    """The run of a plan with a user's story."""
    return Simulation(plan, watch=watch, story=story)
