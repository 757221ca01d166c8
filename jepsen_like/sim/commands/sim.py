"""`python -m jepsen_like sim`: a campaign over many seeds, with progress, a ledger and a verdict."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from jepsen_like.report import summary
from jepsen_like.report.lines import failure
from jepsen_like.sim import campaign as campaigns
from jepsen_like.sim.campaign import Campaign, Report, Seen
from jepsen_like.sim.commands.options import (
    asides,
    json_option,
    place_option,
    print_json,
    refuse_reserved,
    reserved_option,
    span_option,
    tier_option,
    words,
    workers_option,
)
from jepsen_like.sim.crew import NoWorker
from jepsen_like.sim.judge import Exit, judge
from jepsen_like.sim.ledger import BadLedger
from jepsen_like.sim.plan import Tier
from jepsen_like.sim.tally import Tally
from jepsen_like.sim.tiers import NoSuchPlace, gates, simulator
from jepsen_like.sim.worker import Finished
from raftlog.core.ids import Micros


@click.command()
@click.option("--first-seed", type=click.IntRange(0), default=1, show_default=True, help="Where to begin.")
@click.option("--seeds", type=click.IntRange(1), default=200, show_default=True, help="How many.")
@tier_option
@span_option
@workers_option
@json_option
@click.option(
    "--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Note every run in this file."
)
@click.option(
    "--resume", is_flag=True, help="Go on with the ledger's campaign: what it has is not run again."
)
@click.option(
    "--no-gates", is_flag=True, help="Do not ask what must have happened: the silence means little then."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failed run.")
@reserved_option
@place_option
def sim(
    first_seed: int,
    seeds: int,
    tier: Tier,
    span: Micros,
    workers: int,
    as_json: bool,
    ledger: Path | None,
    resume: bool,
    no_gates: bool,
    fail_fast: bool,
    allow_reserved: bool,
    place: str,
) -> int:
    """Run whole clusters under many seeds: faults, invariants, client histories, recovery.

    Exit code 0: every run passed and the campaign means something. 1: a run failed. 2: nothing failed, but the
    campaign would not have found much: a gate never happened, hardly anything was acknowledged, the leader hardly
    changed, or too much of the time was quiet.
    """
    refuse_reserved(first_seed + seeds - 1, allow_reserved)
    if resume and ledger is None:
        raise click.UsageError("--resume needs the --ledger FILE to go on with")
    campaign = Campaign(
        tier=tier,
        seeds=range(first_seed, first_seed + seeds),
        first_seed=first_seed,
        span=span,
        workers=min(workers, seeds),
        place=place,
        ledger=ledger,
        resume=resume,
        fail_fast=fail_fast,
    )
    return carry_out(campaign, total=seeds, with_gates=not no_gates, as_json_wanted=as_json)


def carry_out(campaign: Campaign, *, total: int | None, with_gates: bool, as_json_wanted: bool) -> int:
    """Run a campaign, show it, judge it; the exit code.

    Raises:
        click.ClickException: what should run it cannot be imported, or the ledger is another's.
    """
    report = Report(Tally(campaign.span), [])
    began = time.perf_counter()
    try:
        registry = gates(campaign.header.place)
        simulator(campaign.header.place)
        interrupted = _watched(campaign, report, total)
    except (BadLedger, NoSuchPlace, NoWorker) as error:
        raise click.ClickException(str(error)) from error
    judgement = judge(report.tally, campaign.tier, registry, gates=with_gates)
    elapsed = time.perf_counter() - began
    if as_json_wanted:
        print_json(summary.as_json(campaign, report, judgement, registry, elapsed))
    else:
        summary.tell(words(), campaign, report, judgement, registry, elapsed)
    return Exit.INTERRUPTED if interrupted else judgement.exit


def _watched(campaign: Campaign, report: Report, total: int | None) -> bool:
    """Run it with progress; whether somebody broke it off."""
    console = asides()
    try:
        with _shown(console, campaign, report, total) as seen:
            campaigns.run(campaign, report, seen=seen)
    except KeyboardInterrupt:
        rest = "" if campaign.ledger is None else f"; {campaign.ledger} is whole, --resume goes on with it"
        console.print(f"interrupted{rest}", style="yellow")
        return True
    return False


@contextmanager
def _shown(console: Console, campaign: Campaign, report: Report, total: int | None) -> Iterator[Seen]:
    """Progress on a terminal; failures anywhere, as they happen."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(campaign.tier, total=total, figures="")
        began, before = time.perf_counter(), itertools.count()

        def seen(done: Finished) -> None:
            if next(before) == 0:
                progress.advance(task, report.resumed)
            progress.update(task, advance=1, figures=_figures(report, time.perf_counter() - began))
            if done.run.outcome == "failed":
                told = failure(done.run, campaign.span, campaign.place)
                console.print(told, style="red", markup=False, soft_wrap=True)

        yield seen


def _figures(report: Report, elapsed: float) -> str:
    tally = report.tally
    broken = f"[red]{tally.outcomes['failed']} failed[/] " if tally.outcomes["failed"] else ""
    return f"{broken}{tally.virtual_hours:.2f} virtual h, {tally.events / max(elapsed, 0.001):,.0f} events/s"
