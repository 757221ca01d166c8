"""The oracles that watch a run, in words, and what each of them came to in a campaign."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from jepsen_like.sim.invariants.table import INVARIANTS
from jepsen_like.sim.tally import Tally

OTHERS: dict[str, str] = {
    "linearizable": "the history has a linear order",
    "client": "every answer means what it says",
    "liveness": "service returns when a quorum is healed",
    "assertion": "no assertion fails",
    "deadlock": "something is always about to happen",
    "harness": "the laboratory itself does not break",
    "worker": "the process of a run lives to its end",
    "hang": "a run ends",
}

State: TypeAlias = Literal["held", "broken", "absent"]


class Row(NamedTuple):
    """One oracle in one campaign."""

    name: str
    sentence: str
    state: State
    broken: int
    checks: int | None
    """How often it was asked, where runs count that."""
    absent: str


def rows(tally: Tally) -> list[Row]:
    """The invariants, absent ones too; then the other oracles that fired."""
    watched = [_row(each.name, each.says, each.absent, tally) for each in INVARIANTS]
    names = {row.name for row in watched}
    fired = sorted(name for name in tally.oracles if name not in names)
    return watched + [_row(name, OTHERS.get(name, "an oracle of the run's own"), "", tally) for name in fired]


def _row(name: str, sentence: str, absent: str, tally: Tally) -> Row:
    broken = tally.oracles.get(name, 0)
    state: State = "broken" if broken else "absent" if absent else "held"
    return Row(name, sentence, state, broken, _checks(tally.coverage, name), absent)


def _checks(coverage: Mapping[str, int], name: str) -> int | None:
    return coverage.get(f"oracle/{name}")
