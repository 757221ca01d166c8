"""`python -m bench`: measures, shows, and exits with 0 whatever the figures say, with 1 when there are none."""

import pathlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import floor, session
from bench.figures import Taken, rows
from bench.machine import look
from bench.processes import ChildFailed
from bench.profiling import profile_tables
from bench.report import Report, as_json, tables
from bench.workload import STANDARD, Span, Workload

T = TypeVar("T")

YARDSTICK = "yardstick"
_SYNCS = 500
_QUICK_SYNCS = 100
_WIDTH = 110


class Choice(msgspec.Struct, frozen=True):
    """What to measure, and for how long."""

    systems: tuple[str, ...]
    workloads: tuple[Workload, ...]
    rounds: int
    span: Span
    syncs: int
    """Samples per cost of the floor; 0 leaves the floor out."""


class Shown:
    """Progress on standard error, so that standard output holds only the result."""

    def __init__(self, steps: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description:<32}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("the machine", total=steps)

    def __enter__(self) -> "Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, done: str) -> None:
        """One step has been done: `done` says which."""
        self._bar.update(self._task, description=done, advance=1)


def measure(choice: Choice, directory: pathlib.Path) -> Report:
    """Run everything that was chosen; files go to `directory`."""
    taken: list[Taken] = []
    missing: dict[str, str] = {}
    steps = len(choice.systems) * len(choice.workloads) * choice.rounds + (8 if choice.syncs else 0)
    with Shown(steps) as shown:
        machine = look(directory)
        costs: list[floor.Cost] = []
        for cost in floor.costs(directory, choice.syncs) if choice.syncs else ():
            costs.append(cost)
            shown.step("the floor")
        for number in range(choice.rounds):
            for system in choice.systems:
                if system in missing:
                    continue
                try:
                    home = directory / f"{system}-{number}"
                    for observed in session.once(system, choice.workloads, choice.span, home):
                        taken.append(Taken(system, number, observed))
                        shown.step(f"round {number + 1}: {system}, {observed.measure.workload}")
                except ChildFailed as failure:
                    missing[system] = f"{system} could not be measured: {failure}"
    return Report(
        machine=machine,
        rounds=choice.rounds,
        seconds=choice.span.seconds,
        floor=tuple(costs),
        rows=tuple(rows(taken, YARDSTICK)),
        missing=tuple(missing.values()),
    )


def watch(choice: Choice, directory: pathlib.Path, profiles: pathlib.Path) -> Iterator[str]:
    """Run the workloads once under a profiler in every process; yields what has been done."""
    profiles.mkdir(parents=True, exist_ok=True)
    for system in choice.systems:
        for observed in session.once(system, choice.workloads, choice.span, directory / system, profiles):
            yield f"{system}, {observed.measure.workload}"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, metavar="SYSTEM", help="yardstick or raftlog; may be repeated.")
@click.option(
    "--load", multiple=True, metavar="LOAD", help='One load, such as "64 callers"; may be repeated.'
)
@click.option("--rounds", type=click.IntRange(1), help="Times each system is measured (5; quick: 2).")
@click.option("--seconds", type=click.FloatRange(0.2), help="Counted per measure (3; quick: 1).")
@click.option("--quick", is_flag=True, help="A first impression; no figures to quote.")
@click.option("--floor/--no-floor", "with_floor", default=True, help="What disk, gRPC and codec cost alone.")
@click.option(
    "--profile",
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    help="Instead of figures: run once with every process under cProfile; the profiles go here.",
)
@click.option(
    "--dir",
    "place",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=pathlib.Path),
    help="A directory on the disk to measure (/var/tmp); what is made in it is removed.",
)
@click.option("--json", "wants_json", is_flag=True, help="One JSON document instead of tables.")
def main(
    *,
    only: tuple[str, ...],
    load: tuple[str, ...],
    rounds: int | None,
    seconds: float | None,
    quick: bool,
    with_floor: bool,
    profile: pathlib.Path | None,
    place: pathlib.Path | None,
    wants_json: bool,
) -> None:
    """Three nodes on loopback with real syncs and 128-byte values, beside a bare pipeline without Raft."""
    choice = Choice(
        systems=_named(only, {name: name for name in session.SYSTEMS}, "--only"),
        workloads=_named(load, {workload.name: workload for workload in STANDARD}, "--load"),
        rounds=rounds or (2 if quick else 5),
        span=Span(warm=0.5, seconds=seconds or (1.0 if quick else 3.0)),
        syncs=(_QUICK_SYNCS if quick else _SYNCS) if with_floor else 0,
    )
    with tempfile.TemporaryDirectory(prefix="raftlog-bench-", dir=place or _default_place()) as made:
        if profile:
            try:
                _show_profiles(choice, pathlib.Path(made), profile)
            except ChildFailed as failure:
                raise click.ClickException(str(failure)) from failure
        else:
            report = measure(choice, pathlib.Path(made))
            if wants_json:
                click.echo(as_json(report))
            else:
                _console().print(tables(report))
            if not report.rows:
                sys.exit(1)


def _named(chosen: Sequence[str], known: Mapping[str, T], option: str) -> tuple[T, ...]:
    strange = sorted(set(chosen) - set(known))
    if strange:
        raise click.BadParameter(
            f"there is no '{strange[0]}': choose from {', '.join(known)}", param_hint=option
        )
    return tuple(known[name] for name in known if name in chosen or not chosen)


def _show_profiles(choice: Choice, directory: pathlib.Path, profiles: pathlib.Path) -> None:
    with Shown(len(choice.systems) * len(choice.workloads)) as shown:
        for done in watch(choice, directory, profiles):
            shown.step(done)
    console = _console()
    for table in profile_tables(profiles):
        console.print(table)
    console.print(f"The profiles are in {profiles}: python -m pstats FILE reads them.")


def _console() -> Console:
    # Into a file or a pipe the tables keep their columns, whatever the terminal's width is said to be.
    return Console() if sys.stdout.isatty() else Console(width=_WIDTH)


def _default_place() -> pathlib.Path | None:
    # Kept over reboots, so on a disk; /tmp is memory on many machines.
    place = pathlib.Path("/var/tmp")
    return place if place.is_dir() else None


if __name__ == "__main__":
    main()
