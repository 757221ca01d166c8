"""How a run ended, in one value: what a ledger's line holds and what two processes must agree on."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from jepsen_like.sim.plan import Tier
from raftlog.core.ids import Micros

Outcome: TypeAlias = Literal["passed", "failed", "invalid"]
"""invalid: nothing broke, but the run did not show what it was made for (its faults did not happen, hardly anything was
acknowledged): it counts neither way."""


class Violation(AssertionError):
    """An oracle fired. The message begins with its name and says to whom it happened, with the values."""

    def __init__(self, oracle: str, problem: str) -> None:
        super().__init__(f"{oracle}: {problem}")
        self.oracle = oracle
        """`I1` to `I16`, `E22`, `linearizable`, `client`, `liveness`, `assertion`, `deadlock`, or a user's own."""
        self.problem = problem


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as it went. Equal plans on equal builds give equal values, `trace` included.

    No field holds a wall-clock time: how long it took is the campaign's business.
    """

    seed: int
    tier: Tier
    outcome: Outcome
    oracle: str = ""
    """Which oracle fired; empty unless failed."""
    problem: str = ""
    """What it said, or why the run is invalid."""
    trace: str
    """Hash of everything that happened, 16 hexadecimal digits."""
    span: Micros
    """Virtual time in all, recovery included."""
    events: int
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    leader_changes: int = 0
    restarts: int = 0
    quiet: Micros = 0
    """Virtual time before the recovery in which no fault was under way and the weather was calm."""
    faults: Mapping[str, int] = {}
    """How often each kind of fault was carried out."""
    skipped: Mapping[str, int] = {}
    """Faults that were not: the atlas forbade them (they would have destroyed more copies than the promise allows), or
    there was no leader to hit."""
    coverage: Mapping[str, int] = {}
    """How often each thing of the coverage registry happened."""
