"""The node tier of the simulator: real nodes, real logs and the real client on a deterministic event loop."""

from jepsen_like.sim.node.callers import Caller, Story
from jepsen_like.sim.node.simulation import Simulation, run
from jepsen_like.sim.node.world import World

__all__ = ["Caller", "Simulation", "Story", "World", "run"]
