"""`python -m jepsen_like real`: workloads on real processes while faults are done to them; one run, or a matrix."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from jepsen_like.cluster.broken import BUILDS
from jepsen_like.cluster.host import HostFailed
from jepsen_like.cluster.run import run
from jepsen_like.cluster.schedules import SCHEDULES
from jepsen_like.cluster.trial import Report, Trial
from jepsen_like.report.pages.written import PAGE, NoRun, report_of, write_index, write_run
from jepsen_like.sim.commands.options import asides, json_option
from jepsen_like.sim.judge import Exit
from jepsen_like.workloads.names import WORKLOADS

ALL = "all"


@click.command()
@click.option(
    "--workload",
    "workloads",
    type=click.Choice([*WORKLOADS, ALL]),
    multiple=True,
    default=("register",),
    show_default=True,
    help="May be repeated.",
)
@click.option(
    "--schedule",
    "schedules",
    type=click.Choice([*SCHEDULES, ALL]),
    multiple=True,
    default=("kill",),
    show_default=True,
    help="Which faults; may be repeated.",
)
@click.option("--broken", type=click.Choice(BUILDS), default=None, help="A build that must be caught.")
@click.option("--runs", type=click.IntRange(1), default=1, show_default=True, help="Of each combination.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--seconds", type=click.IntRange(20), default=60, show_default=True, help="Under load, per run."
)
@click.option("--nodes", type=click.IntRange(1, 9), default=3, show_default=True)
@click.option("--clients", type=click.IntRange(1), default=8, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(0.1), default=20.0, show_default=True, help="Of each client, a second."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where each run gets a folder; one that has its report is not done again.",
)
@json_option
def real(
    workloads: tuple[str, ...],
    schedules: tuple[str, ...],
    broken: str | None,
    runs: int,
    first_seed: int,
    seconds: int,
    nodes: int,
    clients: int,
    rate: float,
    directory: Path,
    as_json: bool,
) -> int:
    """Run real nodes as processes of this machine, and see whether they keep their promises under faults.

    Every combination of the workloads and schedules named is run, `--runs` times. The folder of a run holds its
    history, its report, and each node's log and directory. Exit code 0: all runs passed; 1: one failed; 2: none
    failed, and one says nothing, because too little was done or no fault could be.
    """
    trials = [
        Trial(
            workload=workload,
            schedule=schedule,
            seed=seed,
            nodes=nodes,
            seconds=seconds,
            clients=clients,
            rate=rate,
            disk="volatile" if schedule == "power" else "local",
            broken=broken or "",
        )
        for workload in _named(workloads, list(WORKLOADS))
        for schedule in _named(schedules, list(SCHEDULES))
        for seed in range(first_seed, first_seed + runs)
    ]
    reports = list(_done(trials, directory))
    if as_json:
        click.echo(msgspec.json.encode(reports))
    else:
        Console().print(_table(reports))
    return _exit(reports)


def _named(chosen: Sequence[str], every: Sequence[str]) -> Sequence[str]:
    return every if ALL in chosen else list(dict.fromkeys(chosen))


def _done(trials: Sequence[Trial], directory: Path) -> Iterator[Report]:
    console = asides()
    for number, trial in enumerate(trials, 1):
        folder = directory / f"{trial.workload}-{trial.schedule}-{trial.seed}"
        console.print(f"[{number}/{len(trials)}] {folder}", markup=False)
        report = _known(folder, trial) or _run(trial, folder, console)
        for line in (*report.problems, *(each for found in report.judged for each in found.sentences)):
            console.print(f"  {line}", style="red", markup=False, soft_wrap=True)
        write_index(directory)
        yield report
    console.print(f"a page over all runs: {directory / PAGE}", markup=False, soft_wrap=True)


def _known(folder: Path, trial: Trial) -> Report | None:
    """The report of a run that was done before, if it is that of this trial."""
    try:
        report = report_of(folder)
    except NoRun:
        return None
    if report.trial != trial:
        return None
    if not (folder / PAGE).exists():
        write_run(folder)
    return report


def _run(trial: Trial, folder: Path, console: Console) -> Report:
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(
            f"{folder} holds another run, or a part of one: remove it, or give another --dir"
        )
    try:
        return asyncio.run(
            run(
                trial,
                WORKLOADS[trial.workload](),
                folder,
                lambda text: console.print(f"  {text}", markup=False),
            )
        )
    except HostFailed as failed:
        raise click.ClickException(f"{folder}: {failed}") from None


def _table(reports: Sequence[Report]) -> Table:
    table = Table(title="Runs on real processes", box=None, title_justify="left")
    for name in ("workload", "schedule", "seed", "outcome"):
        table.add_column(name)
    for name in ("ok", "failed", "unknown", "faults", "longest gap s", "healed s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for report in reports:
        trial, of = report.trial, report.figures
        table.add_row(
            trial.workload,
            trial.schedule,
            str(trial.seed),
            report.outcome,
            f"{of.ok:,}",
            str(of.failed),
            str(of.unknown),
            str(sum(struck.ended is not None for struck in report.struck)),
            f"{of.longest_gap:.2f}",
            "-" if of.recovered_after is None else f"{of.recovered_after:.2f}",
            f"{of.median_ms:.1f}",
            f"{of.p99_ms:.1f}",
            style="red" if report.outcome == "failed" else "",
        )
    return table


def _exit(reports: Sequence[Report]) -> Exit:
    outcomes = {report.outcome for report in reports}
    if "failed" in outcomes:
        return Exit.FAILED
    return Exit.INVALID if "invalid" in outcomes else Exit.CLEAN
