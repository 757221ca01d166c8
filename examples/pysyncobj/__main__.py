"""`python -m examples.pysyncobj`: one run on PySyncObj, with the page and the exit codes of `jepsen_like real`."""

import asyncio
import sys
from pathlib import Path

import click

from examples.pysyncobj.system import OnSyncObj, PySyncObj
from jepsen_like.cluster.run import run
from jepsen_like.cluster.trial import Trial
from jepsen_like.report.pages.written import write_index
from jepsen_like.sim.judge import Exit
from jepsen_like.workloads.names import WORKLOADS

RATE = 8.0
"""Operations per client and second: an answer takes a tenth of a second in a calm run, two of the library's ticks."""


@click.command()
@click.option("--workload", type=click.Choice(["register", "counter"]), default="register", show_default=True)
@click.option(
    "--schedule",
    type=click.Choice(
        ["none", "kill", "power", "pause", "partition", "ring", "bridge", "one-way", "slow-link"]
    ),
    default="kill",
    show_default=True,
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--seconds", type=click.IntRange(20), default=25, show_default=True)
@click.option("--nodes", type=click.IntRange(1, 9), default=3, show_default=True)
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), default=Path("runs-pysyncobj"), show_default=True
)
def main(workload: str, schedule: str, seed: int, seconds: int, nodes: int, directory: Path) -> None:
    """Clients, faults and checkers of this project on PySyncObj nodes. Exit codes: 0 passed, 1 failed, 2 neither."""
    trial = Trial(
        workload=workload,
        schedule=schedule,
        seed=seed,
        seconds=seconds,
        nodes=nodes,
        rate=RATE,
        disk="volatile" if schedule == "power" else "local",
    )
    folder = directory / f"{workload}-{schedule}-{seed}"
    if folder.exists():
        raise click.ClickException(f"{folder} is there already: remove it, or give another --dir")
    again = (
        f"python -m examples.pysyncobj --workload {workload} --schedule {schedule} --seed {seed} --seconds {seconds}"
        f" --nodes {nodes} --dir runs-again"
    )
    asked = OnSyncObj(WORKLOADS[workload]())
    done = asyncio.run(run(trial, asked, folder, click.echo, system=PySyncObj(), command=again))
    click.echo(
        f"{done.outcome}: {done.figures.ok} succeeded, {done.figures.failed} failed, {done.figures.unknown} unknown"
    )
    for line in (*done.problems, *(each for found in done.judged for each in found.sentences)):
        click.echo(f"  {line}")
    click.echo(write_index(directory))
    sys.exit({"passed": Exit.CLEAN, "failed": Exit.FAILED, "invalid": Exit.INVALID}[done.outcome])


main()
