"""A bug as a value: what it is, where it is planted, and which oracles must see it."""

import re
from typing import Literal, TypeAlias

import msgspec

from jepsen_like.sim.faults import name
from jepsen_like.sim.plan import Plan, Tier

Kind: TypeAlias = Literal["safety", "durability", "liveness", "harness"]
"""harness: the bug is in the laboratory, which must then refuse to call its runs green."""

ENDLESS = "endless"
"""The oracle of a run that used up its processor time. It speaks for `liveness` alone."""


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One change of one function."""

    where: str
    """The function: `package.module:Class.function`."""
    old: str
    new: str
    """Text that takes the place of `old`, which occurs exactly once in the function's source, `def` at the margin."""


class Focus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the ordinary plans could show the bug at all. Seeds of other plans are passed over, and counted."""

    faults: tuple[str, ...] = ()
    """One of these kinds at least is in the plan."""
    voters: tuple[int, ...] = ()
    learners: bool = False
    """The plan has learners."""
    swaps: bool = False
    """Clients compare before they write."""
    window: int | None = None
    """At most so many bytes of recent entries stay in memory."""

    def admits(self, plan: Plan) -> bool:
        """Whether the bug could show in this plan."""
        kinds = {name(fault) for fault in plan.faults}
        return (
            (not self.faults or not kinds.isdisjoint(self.faults))
            and (not self.voters or plan.voters in self.voters)
            and (not self.learners or plan.learners > 0)
            and (not self.swaps or plan.workload.swaps > 0)
            and (self.window is None or plan.settings.max_recent <= self.window)
        )


class Mutant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bug that somebody shipped or could have, and how to plant it here.

    Invariants: it has a `row` or is `near` one; it names what kills it.
    """

    name: str
    kind: Kind = msgspec.field(name="class")
    row: str = ""
    """Id of the trap in the list of traps."""
    near: str = ""
    """For a bug in no list: the trap whose neighbour it is."""
    what: str
    """The bug, in a sentence."""
    where: str
    old: str
    new: str
    also: tuple[Edit, ...] = ()
    """Further edits that belong to the same bug."""
    oracles: tuple[str, ...] = ()
    """Who must see it: names of oracles, or `name~text` where what it says must match too (a regular expression)."""
    tiers: tuple[Tier, ...] = ()
    """Where to look for it, in this order; one kill is enough."""
    focus: Focus = Focus()
    absent: str = ""
    """The feature without which no run can show it; its scripts and tests show it all the same."""
    why: str = ""
    """For one that its own scripts and tests alone kill: why no simulation shows it."""
    scripts: tuple[str, ...] = ()
    """Golden scripts that each kill it, by an `expect` or an invariant."""
    tests: tuple[str, ...] = ()
    """Tests that each kill it: `package.module:function`."""
    beside: str = ""
    """A bug of the harness that hides another one: that one's name. It is caught when it makes that one survive."""

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Everything to plant, in order."""
        return (Edit(self.where, self.old, self.new), *self.also)

    @property
    def trap(self) -> str:
        """The row as reports print it; `~` marks a neighbour."""
        return self.row or f"~{self.near}"

    def is_killed_by(self, oracle: str, problem: str) -> bool:
        """Whether this is the oracle that must see it, saying what it must say."""
        if oracle == ENDLESS:
            return any(wanted.partition("~")[0] == "liveness" for wanted in self.oracles)
        return any(_fits(wanted, oracle, problem) for wanted in self.oracles)


def _fits(wanted: str, oracle: str, problem: str) -> bool:
    name, _, text = wanted.partition("~")
    return name == oracle and re.search(text, problem) is not None
