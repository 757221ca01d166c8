"""What a run on real processes is made of, and what came of it, as values that a file can hold."""

from typing import Literal, TypeAlias

import msgspec

from jepsen_like.sim.faults import AnyFault
from jepsen_like.workloads.workload import Judged

Outcome: TypeAlias = Literal["passed", "failed", "invalid"]
"""invalid: nothing can be said, for too little was done or the fault did not hit."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is decided before a run begins. What real processes make of it differs from run to run."""

    workload: str
    schedule: str
    seed: int
    nodes: int = 3
    seconds: int = 60
    clients: int = 8
    rate: float = 20.0
    """Operations per client and second, on average; a client waits for each answer."""
    disk: str = "local"
    broken: str = ""
    """The name of a build that is known to be wrong, to see whether it is caught."""


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """A fault and when it was there, in seconds since the clients began; `ended` None: it could not be done."""

    fault: AnyFault
    targets: tuple[str, ...]
    began: float
    ended: float | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What the run can be measured by."""

    ok: int
    failed: int
    unknown: int
    longest_gap: float
    """Seconds between two successes in a row, at most."""
    recovered_after: float | None
    """Seconds from the heal to the next success."""
    median_ms: float
    p99_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run, whole. `problems` say why it is invalid, or why it failed beyond what checkers say."""

    trial: Trial
    outcome: Outcome
    judged: tuple[Judged, ...]
    figures: Figures
    struck: tuple[Struck, ...]
    problems: tuple[str, ...] = ()
    began: int | None = None
    """The history's time, in nanoseconds, at which the seconds of the faults begin."""
    healed: float | None = None
    """Seconds after which all faults were undone."""
    command: str = ""
    """What does this run again, where it is another command than `python -m jepsen_like real`."""
    format: int = 1
