"""What must have happened in a campaign of either tier, for its silence to mean anything."""

from jepsen_like.sim.core.gates import expect_core
from jepsen_like.sim.coverage import Registry

REGISTRY = Registry()
"""All gates. Whoever brings a feature adds a line here."""

expect_core(REGISTRY)
