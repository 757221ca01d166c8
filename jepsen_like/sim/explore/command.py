"""`python -m jepsen_like explore`: every order of events in a few small clusters, and what it shows."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from jepsen_like.sim.commands.options import asides, json_option, print_json, words, workers_option
from jepsen_like.sim.explore.replay import NoSuchAction, replay
from jepsen_like.sim.explore.scope import SCOPES, Scope
from jepsen_like.sim.explore.search import Finding, Progress, Report, Search
from jepsen_like.sim.explore.story import story
from jepsen_like.sim.judge import Exit

_TELL_EACH: Final = 2.0
"""Seconds between two lines of progress."""


class Outcome(msgspec.Struct, frozen=True):
    """One explored scope."""

    report: Report
    seconds: float
    story: str
    """The golden script of what was found."""

    @property
    def rate(self) -> int:
        """States per second."""
        return round(self.report.states / max(self.seconds, 0.001))


@click.command()
@click.option(
    "--scope", "names", multiple=True, metavar="NAME", help="Which scope; may be repeated. All unless said."
)
@click.option(
    "--max-states",
    type=click.IntRange(1, 50_000_000),
    default=1_000_000,
    show_default=True,
    help="States of one scope, at most; a million takes about 200 MB.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=60.0, show_default=True, help="For one scope, at most."
)
@workers_option
@json_option
@click.option("--list", "listing", is_flag=True, help="Name the scopes and explore nothing.")
@click.option(
    "--replay",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Walk the actions of this file, one a line, in the scope that is named.",
)
def explore(
    names: tuple[str, ...],
    max_states: int,
    seconds: float,
    workers: int,
    as_json: bool,
    listing: bool,
    path: Path | None,
) -> int:
    """Try every order of events in a small cluster: messages, timeouts, crashes, clients.

    Breadth first, so what is found is found on a shortest path, which is printed as a golden script and as a list of
    actions. Exit code 0: no law is broken as far as was looked. 1: one is.
    """
    scopes = _chosen(names)
    if listing:
        words().print(_listing(scopes))
        return Exit.CLEAN
    if path is not None:
        return _replayed(scopes, path, as_json=as_json)
    outcomes = list(_explored(scopes, max_states, seconds, workers))
    outcomes.sort(key=lambda outcome: list(SCOPES).index(outcome.report.scope))
    if as_json:
        print_json([_document(outcome) for outcome in outcomes])
    else:
        _show(outcomes)
    return Exit.FAILED if any(outcome.report.finding for outcome in outcomes) else Exit.CLEAN


def _chosen(names: Sequence[str]) -> list[Scope]:
    if unknown := [name for name in names if name not in SCOPES]:
        raise click.UsageError(
            f"there is no scope {', '.join(unknown)}; there are {', '.join(SCOPES)} (--list tells of them)"
        )
    return [SCOPES[name] for name in dict.fromkeys(names)] or list(SCOPES.values())


# -- exploring


def one(
    name: str, max_states: int, seconds: float, tell: Callable[[Progress], None] | None = None
) -> Outcome:
    """Explore one scope, in whichever process."""
    began = time.monotonic()

    def go_on(progress: Progress) -> bool:
        if tell is not None:
            tell(progress)
        return time.monotonic() - began < seconds

    report = Search(SCOPES[name]).run(max_states=max_states, go_on=go_on)
    spent = time.monotonic() - began
    found = report.finding
    text = "" if found is None else story(SCOPES[name], found.path, _title(found))
    return Outcome(report, spent, text)


def _explored(scopes: Sequence[Scope], max_states: int, seconds: float, workers: int) -> Iterator[Outcome]:
    console = asides()
    if workers == 1 or len(scopes) == 1:
        for scope in scopes:
            outcome = one(scope.name, max_states, seconds, _teller(console, scope.name))
            console.print(_ended(outcome))
            yield outcome
        return
    with ProcessPoolExecutor(min(workers, len(scopes)), mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(one, scope.name, max_states, seconds) for scope in scopes]
        for job in as_completed(jobs):
            console.print(_ended(job.result()))
            yield job.result()


def _teller(console: Console, name: str) -> Callable[[Progress], None]:
    began = told = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _TELL_EACH:
            told = now
            console.print(
                f"{name}: {progress.states:,} states, depth {progress.depth}, frontier {progress.frontier:,}, "
                f"{progress.states / (now - began):,.0f} states/s"
            )

    return tell


# -- replaying


def _replayed(scopes: Sequence[Scope], path: Path, *, as_json: bool) -> int:
    if len(scopes) != 1:
        raise click.UsageError("--replay needs the one --scope NAME in which the actions were found")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    try:
        found = replay(scopes[0], [line for line in lines if line and not line.startswith("#")])
    except NoSuchAction as error:
        raise click.ClickException(f"{path}: {error}") from error
    if as_json:
        print_json({"scope": scopes[0].name, "finding": None if found is None else _found(found)})
    elif found is None:
        words().print(f"{path}: every action went well: no law of {scopes[0].name} is broken")
    else:
        words().print(_title(found))
    return Exit.CLEAN if found is None else Exit.FAILED


# -- telling


def _ended(outcome: Outcome) -> str:
    report = outcome.report
    return f"{report.scope}: {_result(report)}, {report.states:,} states in {outcome.seconds:.1f} s"


def _result(report: Report) -> str:
    if report.finding is not None:
        return f"{report.finding.oracle} broken after {len(report.finding.path)} actions"
    return f"exhausted at depth {report.depth}" if report.exhausted else f"exhaustive to depth {report.depth}"


def _title(found: Finding) -> str:
    return f"{found.oracle}: {found.problem}"


def _show(outcomes: Sequence[Outcome]) -> None:
    console = words()
    table = Table("scope", "result", "states", "states/s", "steps run", "recoveries", "beyond the bounds")
    for outcome in outcomes:
        report = outcome.report
        beyond = ", ".join(f"{bound} {count:,}" for bound, count in report.beyond.items() if count)
        table.add_row(
            report.scope,
            _result(report),
            f"{report.states:,}",
            f"{outcome.rate:,}",
            f"{report.steps:,}",
            f"{report.recoveries:,}",
            beyond or "nothing",
        )
    console.print(table)
    for outcome in outcomes:
        if (found := outcome.report.finding) is not None:
            console.print(f"\n{outcome.report.scope}: {_title(found)}\n\nActions, for --replay:")
            click.echo("\n".join(map(str, found.path)))
            console.print("\nAs a golden script:")
            click.echo(outcome.story)


def _listing(scopes: Sequence[Scope]) -> Table:
    table = Table("scope", "about", "terms", "log", "under way")
    for scope in scopes:
        table.add_row(scope.name, scope.about, str(scope.max_term), str(scope.max_log), str(scope.flights))
    return table


def _document(outcome: Outcome) -> dict[str, Any]:
    report = outcome.report
    document: dict[str, Any] = {
        field: getattr(report, field) for field in report.__struct_fields__ if field != "finding"
    }
    found = report.finding
    return document | {
        "seconds": round(outcome.seconds, 3),
        "states_per_second": outcome.rate,
        "finding": None if found is None else _found(found) | {"story": outcome.story},
    }


def _found(found: Finding) -> dict[str, Any]:
    return {
        "oracle": found.oracle,
        "problem": found.problem,
        "actions": [str(action) for action in found.path],
    }
