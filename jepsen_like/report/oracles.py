"""The oracles that watch a run, in words, and what each of them came to in a campaign."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from jepsen_like.sim.plan import Tier
from jepsen_like.sim.tally import Tally

INVARIANTS: dict[str, str] = {
    "I1": "at most one leader per term",
    "I2": "term and vote never go back",
    "I3": "same index and term: same entry, same prefix",
    "I4": "a new leader holds everything decided",
    "I5": "nobody applies another entry at an index",
    "I6": "what is decided never changes",
    "I7": "decided is durable on a quorum",
    "I8": "purged, snapshot, applied, committed, last: in order",
    "I9": "the leader counts only what a follower has",
    "I10": "an entry is made once, by its term's leader",
    "I11": "no promise leaves before its sync",
    "I12": "the newest membership is in force",
    "I13": "a snapshot is the state at its index",
    "I14": "a read reflects every write before it",
    "I15": "one client's command takes effect once",
    "I16": "nobody else leads while a lease is valid",
}

ABSENT: dict[Tier, dict[str, str]] = {
    "core": {"I13": "snapshots", "I15": "sessions are of whole nodes", "I16": "leases"},
    "node": {"I13": "snapshots", "I16": "leases"},
}
"""What is not watched, and what it waits for."""

OTHERS: dict[str, str] = {
    "E22": "a message carries its sender's term",
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


def rows(tier: Tier, tally: Tally) -> list[Row]:
    """The invariants, absent ones too; then the other oracles that fired."""
    fired = [name for name in tally.oracles if name not in INVARIANTS]
    named = {**INVARIANTS, **{name: OTHERS.get(name, "an oracle of the run's own") for name in sorted(fired)}}
    return [_row(name, sentence, tier, tally) for name, sentence in named.items()]


def _row(name: str, sentence: str, tier: Tier, tally: Tally) -> Row:
    broken, absent = tally.oracles.get(name, 0), ABSENT[tier].get(name, "")
    state: State = "broken" if broken else "absent" if absent else "held"
    return Row(name, sentence, state, broken, _checks(tally.coverage, name), absent)


def _checks(coverage: Mapping[str, int], name: str) -> int | None:
    return coverage.get(f"oracle/{name}")
