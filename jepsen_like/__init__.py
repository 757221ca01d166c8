"""The fault laboratory: seeded simulation, real processes under faults, history checkers.

For your own machine: `simulate` (docs/simulate.md), and the pytest mark and fixture of the same name.
Models and checkers of histories: `jepsen_like.check`. Faults as values: `jepsen_like.faults`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jepsen_like.sim import faults
    from jepsen_like.user.campaign import simulate
    from jepsen_like.user.client import Operation, SimulatedClient
    from jepsen_like.user.cluster import SimulatedCluster
    from jepsen_like.user.outcome import Failure, Report, SimulationFailed, SimulationInvalid

__all__ = [
    "Failure",
    "Operation",
    "Report",
    "SimulatedClient",
    "SimulatedCluster",
    "SimulationFailed",
    "SimulationInvalid",
    "faults",
    "simulate",
]

_PLACES = {
    "Failure": "jepsen_like.user.outcome",
    "Operation": "jepsen_like.user.client",
    "Report": "jepsen_like.user.outcome",
    "SimulatedClient": "jepsen_like.user.client",
    "SimulatedCluster": "jepsen_like.user.cluster",
    "SimulationFailed": "jepsen_like.user.outcome",
    "SimulationInvalid": "jepsen_like.user.outcome",
    "simulate": "jepsen_like.user.campaign",
}


def __getattr__(name: str) -> object:
    """Imported when first used: whoever only runs pytest with the plugin installed shall not wait for a simulator."""
    if name == "faults":
        return importlib.import_module("jepsen_like.sim.faults")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
