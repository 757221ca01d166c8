"""A campaign: the runs of many seeds, made by several processes, noted in a ledger as they end."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from jepsen_like.sim import build
from jepsen_like.sim.crew import PATIENCE, Crew
from jepsen_like.sim.ledger import Header, Ledger, Line, digest
from jepsen_like.sim.plan import Plan, Tier
from jepsen_like.sim.swarm import SPAN, draw
from jepsen_like.sim.tally import Tally
from jepsen_like.sim.tiers import PLACES
from jepsen_like.sim.verdict import Run
from jepsen_like.sim.worker import Finished
from raftlog.core.ids import Micros

Seen = Callable[[Finished], None]
"""Told of each run when it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What to run and how."""

    tier: Tier
    seeds: Iterable[int]
    first_seed: int = 1
    span: Micros = SPAN
    workers: int = 1
    place: str = ""
    """What runs the plans; empty: the tier's own."""
    ledger: Path | None = None
    resume: bool = False
    fail_fast: bool = False
    patience: float = PATIENCE

    @property
    def header(self) -> Header:
        """The first line of its ledger."""
        return Header(
            build=build.this(),
            tier=self.tier,
            span=self.span,
            place=self.place or PLACES[self.tier],
            first_seed=self.first_seed,
        )

    def plans(self, made: frozenset[int]) -> Iterator[Plan]:
        """The plans of the seeds that have not been run."""
        return (draw(seed, self.tier, span=self.span) for seed in self.seeds if seed not in made)


@dataclass(slots=True)
class Report:
    """What a campaign has come to; it grows while it runs, and is whole at any moment."""

    tally: Tally
    failures: list[Run]
    resumed: int = 0
    """Runs that were in the ledger already."""


def run(campaign: Campaign, report: Report, *, seen: Seen = lambda _: None) -> None:
    """Make the runs, and count them into `report` as they end.

    It may be interrupted at any moment: the ledger is whole, and so is the report.

    Raises:
        BadLedger: the ledger is there already, or is of another campaign.
    """
    place = campaign.place or PLACES[campaign.tier]
    with _ledger(campaign) as ledger, Crew(campaign.workers, place, patience=campaign.patience) as crew:
        earlier = [] if ledger is None else ledger.lines
        for line in earlier:
            _count(report, line.run, line.seconds)
        report.resumed = len(earlier)
        made = frozenset(line.run.seed for line in earlier)
        for done in crew.run(campaign.plans(made)):
            if ledger is not None:
                ledger.note(as_line(done))
            _count(report, done.run, done.seconds)
            seen(done)
            if campaign.fail_fast and done.run.outcome == "failed":
                return


def as_line(done: Finished) -> Line:
    """A run as the ledger of this build notes it."""
    return Line(
        commit=build.this().commit,
        plan=digest(done.plan),
        seconds=round(done.seconds, 3),
        run=done.run,
    )


def _ledger(campaign: Campaign) -> Ledger | nullcontext[None]:
    if campaign.ledger is None:
        return nullcontext()
    return Ledger(campaign.ledger, campaign.header, resume=campaign.resume)


def _count(report: Report, run: Run, seconds: float) -> None:
    report.tally.add(run, seconds)
    if run.outcome == "failed":
        report.failures.append(run)
