"""What must hold after every step of a cluster, whatever was done to it."""

from jepsen_like.sim.invariants.checker import Checker
from jepsen_like.sim.invariants.table import INVARIANTS, Invariant
from jepsen_like.sim.verdict import Violation

__all__ = ["INVARIANTS", "Checker", "Invariant", "Violation"]
