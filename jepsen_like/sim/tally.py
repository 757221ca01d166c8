"""The sum of many runs: what a campaign did, in numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jepsen_like.sim.verdict import Outcome, Run
from raftlog.core.ids import Micros

SECOND: Micros = 1_000_000
HOUR: Micros = 3_600 * SECOND


@dataclass(slots=True)
class Tally:
    """Grows by one run at a time; the order does not matter.

    `planned` is the virtual time of each plan under faults: quiet time is counted within it.
    """

    planned: Micros
    outcomes: dict[Outcome, int] = field(default_factory=lambda: {"passed": 0, "failed": 0, "invalid": 0})
    span: Micros = 0
    under_faults: Micros = 0
    quiet: Micros = 0
    events: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    leader_changes: int = 0
    restarts: int = 0
    seconds: float = 0.0
    """Wall-clock seconds of all runs, added up over the workers."""
    faults: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    coverage: dict[str, int] = field(default_factory=dict)
    oracles: dict[str, int] = field(default_factory=dict)
    """Failed runs by the oracle that fired."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Invalid runs by what they say."""

    def add(self, run: Run, seconds: float) -> None:
        """Count one run in."""
        self.outcomes[run.outcome] += 1
        self.span += run.span
        self.under_faults += min(self.planned, run.span)
        self.quiet += run.quiet
        self.events += run.events
        self.acknowledged += run.acknowledged
        self.failed += run.failed
        self.unknown += run.unknown
        self.leader_changes += run.leader_changes
        self.restarts += run.restarts
        self.seconds += seconds
        for total, counts in (
            (self.faults, run.faults),
            (self.skipped, run.skipped),
            (self.coverage, run.coverage),
        ):
            _add(total, counts.items())
        if run.outcome == "failed":
            _add(self.oracles, [(run.oracle, 1)])
        if run.outcome == "invalid":
            _add(self.reasons, [(run.problem, 1)])

    @property
    def runs(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    @property
    def virtual_hours(self) -> float:
        """Recoveries included."""
        return self.span / HOUR

    @property
    def acknowledged_per_second(self) -> float:
        """Per virtual second."""
        return _ratio(self.acknowledged, self.span / SECOND)

    @property
    def leader_changes_per_hour(self) -> float:
        """Per virtual hour."""
        return _ratio(self.leader_changes, self.virtual_hours)

    @property
    def quiet_share(self) -> float:
        """Of the virtual time before the recoveries."""
        return _ratio(self.quiet, self.under_faults)

    @property
    def invalid_share(self) -> float:
        """Of all runs."""
        return _ratio(self.outcomes["invalid"], self.runs)


def _add(total: dict[str, int], counts: Iterable[tuple[str, int]]) -> None:
    for name, number in counts:
        total[name] = total.get(name, 0) + number


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
