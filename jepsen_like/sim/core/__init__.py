"""The core tier: cores on modelled disks and wires under virtual time, as fast as Python can."""

from jepsen_like.sim.core.simulation import Simulation
from jepsen_like.sim.happening import Watch
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Run


def run(plan: Plan, *, watch: Watch | None = None) -> Run:
    """Carry out a plan of the core tier.

    Equal plans on equal builds give equal runs in any process, watched or not. Never raises for what the cluster does
    wrong: that is the run's outcome. Takes no time but processor time: a second under faults costs about a fiftieth.
    """
    return Simulation(plan, watch).run()
