"""`python -m jepsen_like verify`: runs lines of a ledger again and compares their hashes."""

from collections.abc import Iterable
from pathlib import Path
from random import Random

import click
from rich.progress import track

from jepsen_like.sim import build
from jepsen_like.sim.commands.options import asides, json_option, print_json, words, workers_option
from jepsen_like.sim.crew import Crew, NoWorker
from jepsen_like.sim.judge import Exit
from jepsen_like.sim.ledger import BadLedger, Header, Line, digest, read
from jepsen_like.sim.swarm import draw
from jepsen_like.sim.tiers import NoSuchPlace, simulator
from jepsen_like.sim.worker import Finished

SHOWN = 20


@click.command()
@click.argument("ledger", type=click.Path(path_type=Path))
@click.option(
    "--sample", type=click.IntRange(1), help="Only so many lines, spread over the ledger.  [default: all]"
)
@click.option(
    "--choice", type=int, default=1, show_default=True, help="Another number chooses another sample."
)
@workers_option
@json_option
def verify(ledger: Path, sample: int | None, choice: int, workers: int, as_json: bool) -> int:
    """Run lines of a ledger again, on this build, and compare the hashes.

    Exit code 0: all are equal. 1: some differ.
    """
    try:
        header, lines = read(ledger)
        simulator(header.place)
    except (BadLedger, NoSuchPlace) as error:
        raise click.ClickException(str(error)) from error
    if sample is not None and sample < len(lines):
        lines = Random(choice).sample(lines, sample)
    if not lines:
        raise click.ClickException(f"{ledger} holds no runs")
    different = _differing(header, lines, workers)
    _remark(header)
    if as_json:
        print_json(
            {"compared": len(lines), "different": [{"line": was, "now": now} for was, now in different]}
        )
    else:
        _tell(header, lines, different)
    return Exit.FAILED if different else Exit.CLEAN


def _differing(header: Header, lines: list[Line], workers: int) -> list[tuple[Line, Finished]]:
    """The lines whose runs came out differently, with what they came to now."""
    by_seed = {line.run.seed: line for line in lines}
    plans = (draw(line.run.seed, header.tier, span=header.span) for line in lines)
    console, different = asides(), []
    try:
        with Crew(min(workers, len(lines)), header.place, hash_seed=100) as crew:
            runs: Iterable[Finished] = crew.run(plans)
            for done in track(
                runs,
                total=len(lines),
                description="verify",
                console=console,
                disable=not console.is_terminal,
                transient=True,
            ):
                line = by_seed[done.plan.seed]
                if (line.run, line.plan) != (done.run, digest(done.plan)):
                    different.append((line, done))
    except NoWorker as error:
        raise click.ClickException(str(error)) from error
    return different


def _remark(header: Header) -> None:
    here = build.this()
    if header.build.source != here.source:
        asides().print(
            f"this is another build: the ledger is of commit {header.build.commit[:12]}, here is {here.commit[:12]}; "
            "check that one out to compare like with like",
            style="yellow",
        )
    if header.build.python != here.python:
        asides().print(
            f"the ledger was written by {header.build.python}, this is {here.python}", style="yellow"
        )


def _tell(header: Header, lines: list[Line], different: list[tuple[Line, Finished]]) -> None:
    console = words()
    for line, done in sorted(different, key=lambda pair: pair[0].run.seed)[:SHOWN]:
        what = "its plan is another" if line.plan != digest(done.plan) else "the plan is the same"
        console.print(
            f"DIFFERENT: seed {line.run.seed}: {line.run.trace} {line.run.outcome} in the ledger, "
            f"{done.run.trace} {done.run.outcome} now; {what}",
            style="red",
        )
    if (more := len(different) - SHOWN) > 0:
        console.print(f"and {more} more", style="red")
    equal = len(lines) - len(different)
    console.print(
        f"{equal} of {len(lines)} runs of the {header.tier} tier are equal to the ledger's",
        style="red" if different else "green",
    )
