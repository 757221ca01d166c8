"""`python -m jepsen_like mutants`: plants every bug of the table and says which oracle saw it, and how soon."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import get_args

import click

from jepsen_like.mutants import report as reports
from jepsen_like.mutants.campaign import Report, campaign
from jepsen_like.mutants.hunt import Ground, Hunted
from jepsen_like.mutants.mutant import Kind, Mutant
from jepsen_like.mutants.plant import Unplantable
from jepsen_like.mutants.record import BadRecord, Record, header_of
from jepsen_like.mutants.table import Table, TableMissing, find, read
from jepsen_like.sim import build
from jepsen_like.sim.commands.options import (
    asides,
    json_option,
    place_option,
    refuse_reserved,
    span_option,
    workers_option,
)
from jepsen_like.sim.judge import Exit
from jepsen_like.sim.plan import Tier
from jepsen_like.sim.tiers import PLACES, NoSuchPlace
from raftlog.core.ids import Micros

TIERS: tuple[Tier, ...] = get_args(Tier)


@click.command()
@click.option("--tier", type=click.Choice([*PLACES, "all"]), default="all", show_default=True)
@click.option(
    "--only", metavar="NAME", multiple=True, help="This mutant, or these of a row; may be repeated."
)
@click.option("--class", "kinds", type=click.Choice(get_args(Kind)), multiple=True, help="Only this class.")
@click.option("--seeds", type=click.IntRange(1), default=200, show_default=True, help="At most, per tier.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--harness-seeds", type=click.IntRange(1), default=24, show_default=True, help="For harness mutants."
)
@click.option(
    "--cpu", type=click.IntRange(1), default=120, show_default=True, help="Processor seconds of one run."
)
@click.option(
    "--table", type=click.Path(path_type=Path), help="The table of mutants; else the checkout's own."
)
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the tables of the documentation to this file.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep what is found in this file; started again, go on where it stops.",
)
@click.option("--list", "listed", is_flag=True, help="Print the table without running anything.")
@span_option
@workers_option
@json_option
@place_option
def mutants(
    tier: str,
    only: tuple[str, ...],
    kinds: tuple[Kind, ...],
    seeds: int,
    first_seed: int,
    harness_seeds: int,
    cpu: int,
    table: Path | None,
    markdown: Path | None,
    record: Path | None,
    listed: bool,
    span: Micros,
    workers: int,
    as_json: bool,
    place: str,
) -> int:
    """Plant bugs, one at a time, and see whether the oracles that should see them do.

    A mutant counts as killed when one of its own oracles fires on a seed on which the clean build is green. Exit
    code 0: all safety, durability and harness mutants are killed, the former two within 50 seeds in the median, and
    nine in ten of the liveness mutants. 1: not so, or the clean build fails on a seed. 3: there is no table, or the
    code does not fit it.
    """
    refuse_reserved(first_seed + max(seeds, harness_seeds) - 1, False)
    try:
        file = find(table).resolve()
        content = read(file)
    except (TableMissing, ValueError) as error:
        raise click.ClickException(str(error)) from error
    chosen = _chosen(content, only, kinds)
    if listed:
        for mutant in chosen:
            click.echo(f"{mutant.name:<44} {mutant.trap:<5} {mutant.kind:<11} {mutant.what}")
        return Exit.CLEAN
    ground = Ground(
        seeds=seeds,
        first_seed=first_seed,
        span=span,
        seconds=cpu,
        harness_seeds=harness_seeds,
        tiers=tuple(each for each in TIERS if tier in (each, "all")),
        stories=content.stories,
        root=file.parents[2],
        places={each: place or PLACES[each] for each in TIERS},
    )
    report = _hunted(content, chosen, ground, workers, record)
    _print(report, as_json=as_json, markdown=markdown)
    return Exit.FAILED if report.shortcomings else Exit.CLEAN


def _chosen(table: Table, only: Sequence[str], kinds: Sequence[Kind]) -> list[Mutant]:
    unknown = [name for name in only if all(name not in (m.name, m.row, m.near) for m in table.mutants)]
    if unknown:
        raise click.UsageError(f"no mutant and no row is called {', '.join(unknown)}: --list names them")
    return [
        mutant
        for mutant in table.mutants
        if (not only or {mutant.name, mutant.row, mutant.near} & set(only))
        and (not kinds or mutant.kind in kinds)
    ]


def _hunted(
    table: Table, chosen: Sequence[Mutant], ground: Ground, workers: int, record: Path | None
) -> Report:
    console, left = asides(), len(chosen)

    def seen(found: Hunted) -> None:
        nonlocal left
        left -= 1
        name, trap, kind, fate, tier, _, seeds = reports.row(found)
        line = f"{name} ({trap}, {kind}): {fate}, {tier}, {seeds} seeds; {left} to go"
        console.print(line, style="red" if found.fate == "survived" else "", markup=False, soft_wrap=True)

    try:
        with Record(record, header_of(ground, build.this())) if record else nullcontext() as kept:
            if kept is not None:
                left -= sum(kept.known(mutant) is not None for mutant in chosen)
            return campaign(table, chosen, ground, workers=workers, seen=seen, record=kept)
    except (Unplantable, NoSuchPlace, BadRecord) as error:
        raise click.ClickException(str(error)) from error


def _print(report: Report, *, as_json: bool, markdown: Path | None) -> None:
    if markdown is not None:
        markdown.write_text(reports.markdown(report), encoding="utf-8")
    click.echo(reports.json(report) if as_json else reports.text(report), nl=not as_json)
