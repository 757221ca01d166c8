"""`python -m jepsen_like shrink`: cuts a failing run down, and leaves its plan, its trace and its timeline as files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jepsen_like.report import timeline
from jepsen_like.report.faulted import fault_text
from jepsen_like.report.lines import command
from jepsen_like.report.trace import as_text
from jepsen_like.sim import notation
from jepsen_like.sim.commands.options import (
    asides,
    json_option,
    place_option,
    print_json,
    reserved_option,
    span_option,
    the_plan,
    tier_option,
    words,
)
from jepsen_like.sim.crew import Crew, NoWorker
from jepsen_like.sim.happening import Happening
from jepsen_like.sim.judge import Exit
from jepsen_like.sim.plan import Plan, Tier, encode
from jepsen_like.sim.shrink import TRIES, NothingToShrink, Shrinker, Shrunk
from jepsen_like.sim.tiers import PLACES, NoSuchPlace, simulator
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros

PATIENCE = 60.0
"""Wall-clock seconds for one run: a smaller plan must not hang the search."""


@click.command()
@click.argument("seed", type=click.IntRange(0), required=False)
@tier_option
@span_option
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    help="Shrink the plan in this file instead of a seed's.",
)
@click.option(
    "--tries", type=click.IntRange(1), default=TRIES, show_default=True, help="At most so many runs."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("shrunk"),
    show_default=True,
    help="Where to put the files.",
)
@json_option
@reserved_option
@place_option
def shrink(
    seed: int | None,
    tier: Tier,
    span: Micros,
    plan_file: Path | None,
    tries: int,
    out: Path,
    as_json: bool,
    allow_reserved: bool,
    place: str,
) -> int:
    """Cut a failing run down until nothing can be left out: fewer faults, nodes, clients, calmer weather, less time.

    The same oracle must fire at every step. Ctrl-C stops at the best so far. Exit code 0: there is a smaller plan, or
    this one is as small as it gets. 1: the run does not fail.
    """
    plan = the_plan(seed, plan_file, tier, span, allow_reserved=allow_reserved)
    place = place or PLACES[plan.tier]
    try:
        simulator(place)
        with Crew(1, place, patience=PATIENCE) as crew:
            best = _search(plan, lambda smaller: next(crew.run([smaller])).run, tries)
    except (NoSuchPlace, NoWorker) as error:
        raise click.ClickException(str(error)) from error
    except NothingToShrink as error:
        words().print(str(error), style="yellow")
        return Exit.FAILED
    files = _leave(best, out, plan_file.stem if plan_file else f"{plan.tier}-{plan.seed}", place)
    if as_json:
        named = {kind: str(path) for kind, path in files.items()}
        print_json({"plan": best.plan, "run": best.run, "tries": best.tries, "files": named})
    else:
        _tell(plan, best, files)
    return Exit.CLEAN


def _search(plan: Plan, simulate: Callable[[Plan], Run], tries: int) -> Shrunk:
    shrinker = Shrinker(plan, simulate, limit=tries)
    with _shown(asides(), tries) as seen:
        try:
            shrinker.shrink(seen)
        except KeyboardInterrupt:
            asides().print("interrupted; this is the smallest so far", style="yellow")
    return shrinker.best


@contextmanager
def _shown(console: Console, tries: int) -> Iterator[Callable[[Shrunk], None]]:
    bar = (TextColumn("shrink"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    columns = (*bar, TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=tries)
        yield lambda best: progress.update(task, completed=best.tries, description=_size(best.plan, best.run))


def _size(plan: Plan, run: Run) -> str:
    clients = plan.workload.clients
    return (
        f"{len(plan.faults)} faults, {len(plan.names)} nodes, {clients} client{'s' * (clients != 1)}, "
        f"{notation.span_text(run.span)}, {run.events:,} events"
    )


def _leave(best: Shrunk, out: Path, name: str, place: str) -> dict[str, Path]:
    """Write plan, trace and timeline, from one more run that is watched."""
    files = {"plan": out / f"{name}.json", "trace": out / f"{name}.txt", "timeline": out / f"{name}.html"}
    out.mkdir(parents=True, exist_ok=True)
    files["plan"].write_bytes(encode(best.plan) + b"\n")
    happenings: list[Happening] = []
    run = simulator(place)(best.plan, watch=happenings.append)
    assert run.trace == best.run.trace, (
        f"watched, the run has the trace {run.trace}; unwatched {best.run.trace}"
    )
    line = f"{command()} replay --plan {files['plan']}"
    files["trace"].write_text(as_text(best.plan, run, happenings, replay=line))
    files["timeline"].write_text(timeline.as_html(best.plan, run, happenings, replay=line))
    return files


def _tell(before: Plan, best: Shrunk, files: dict[str, Path]) -> None:
    console = words()
    console.print(f"{best.run.oracle}: {best.run.problem}", style="bold red", markup=False, soft_wrap=True)
    console.print(
        f"{len(before.faults)} faults on {len(before.names)} nodes before; now {_size(best.plan, best.run)}, "
        f"found in {best.tries} runs",
        soft_wrap=True,
    )
    for fault in best.plan.faults:
        at = notation.span_text(fault.at)
        console.print(f"    at {at}: {fault_text(fault)}", markup=False, soft_wrap=True)
    for kind, path in files.items():
        console.print(f"{kind:9} {path}", soft_wrap=True)
    console.print(f"{command()} replay --plan {files['plan']} --trace", soft_wrap=True)
