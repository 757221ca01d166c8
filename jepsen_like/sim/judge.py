"""Whether a campaign means anything: what must have happened in it before its silence counts."""

from dataclasses import dataclass
from enum import IntEnum

from jepsen_like.sim.coverage import Gate, Registry
from jepsen_like.sim.plan import Tier
from jepsen_like.sim.tally import Tally

FEWEST_ACKNOWLEDGED = 5.0
"""Operations per virtual second: a cluster that answers nobody breaks no promise."""
FEWEST_LEADER_CHANGES = 20.0
"""Per virtual hour."""
MOST_QUIET = 0.30
"""Share of the time before the recoveries."""
MOST_INVALID = 0.05
"""Share of the runs; a few are bad luck, many are a fault that does nothing."""


class Exit(IntEnum):
    """Exit codes of the laboratory's commands."""

    CLEAN = 0
    FAILED = 1
    """A run failed, or did not repeat."""
    INVALID = 2
    """Nothing failed, and that means nothing."""
    USAGE = 3
    DEFECT = 4
    """The laboratory itself broke."""
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a campaign's silence is worth."""

    missed: tuple[Gate, ...]
    problems: tuple[str, ...]
    """Why the campaign is invalid besides the gates, a sentence each."""
    failures: int
    gates_applied: bool

    @property
    def valid(self) -> bool:
        """Whether it would have found something."""
        return not (self.gates_applied and self.missed) and not self.problems

    @property
    def exit(self) -> Exit:
        """A failure is a failure even in an invalid campaign."""
        if self.failures:
            return Exit.FAILED
        return Exit.CLEAN if self.valid else Exit.INVALID


def judge(tally: Tally, tier: Tier, registry: Registry, *, gates: bool = True) -> Judgement:
    """The judgement on a campaign. Without `gates` only its figures count: for a handful of seeds."""
    return Judgement(
        missed=tuple(registry.missed(tier, tally.coverage)),
        problems=tuple(_problems(tally)),
        failures=tally.outcomes["failed"],
        gates_applied=gates,
    )


def _problems(tally: Tally) -> list[str]:
    problems = []
    if not tally.runs:
        return ["no run was made"]
    if (rate := tally.acknowledged_per_second) < FEWEST_ACKNOWLEDGED:
        problems.append(
            f"{rate:.1f} operations were acknowledged per virtual second; it takes {FEWEST_ACKNOWLEDGED:g}"
        )
    if (changes := tally.leader_changes_per_hour) < FEWEST_LEADER_CHANGES:
        problems.append(
            f"the leader changed {changes:.1f} times per virtual hour; it takes {FEWEST_LEADER_CHANGES:g}"
        )
    if (quiet := tally.quiet_share) > MOST_QUIET:
        problems.append(f"{quiet:.0%} of the time was quiet; at most {MOST_QUIET:.0%} may be")
    if (invalid := tally.invalid_share) > MOST_INVALID:
        problems.append(f"{invalid:.0%} of the runs were invalid; at most {MOST_INVALID:.0%} may be")
    return problems
