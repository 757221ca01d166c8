"""`python -m jepsen_like replay`: one run again; its hash is compared, its trace told, its timeline drawn."""

from pathlib import Path

import click
from rich.console import Console

from jepsen_like.report import timeline
from jepsen_like.report.lines import command
from jepsen_like.report.trace import as_text
from jepsen_like.sim.commands.options import (
    SPAN,
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
from jepsen_like.sim.ledger import BadLedger, Header, Line, digest, read
from jepsen_like.sim.plan import Plan, Tier
from jepsen_like.sim.tiers import PLACES, NoSuchPlace, simulator
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros


@click.command()
@click.argument("seed", type=click.IntRange(0), required=False)
@tier_option
@span_option
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    help="Run the plan in this file instead of a seed's.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    help="Compare with the seed's line in this ledger; tier and span are its.",
)
@click.option(
    "--again", is_flag=True, help="Run it in another process as well, under another hash seed, and compare."
)
@click.option("--trace", is_flag=True, help="Print what happened.")
@click.option("--last", type=SPAN, help="Only the last so much of the trace or timeline, such as 2s.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Draw the timeline into this file."
)
@json_option
@reserved_option
@place_option
def replay(
    seed: int | None,
    tier: Tier,
    span: Micros,
    plan_file: Path | None,
    ledger: Path | None,
    again: bool,
    trace: bool,
    last: Micros | None,
    html: Path | None,
    as_json: bool,
    allow_reserved: bool,
    place: str,
) -> int:
    """Run one seed, or the plan in a file, once more.

    Exit code 0: it passed, and every comparison found equal hashes. 1: it failed, or a hash differs. 2: it is invalid.
    """
    expected: Line | None = None
    if ledger is not None:
        header, expected = _line_of(ledger, seed)
        tier, span, place = header.tier, header.span, place or header.place
    plan = the_plan(seed, plan_file, tier, span, allow_reserved=allow_reserved)
    happenings: list[Happening] = []
    told = trace or html is not None
    try:
        simulate = simulator(place or PLACES[plan.tier])
    except NoSuchPlace as error:
        raise click.ClickException(str(error)) from error
    run = simulate(plan, watch=happenings.append if told else None)
    line = f"{command()} replay {f'--plan {plan_file}' if plan_file else f'{seed} --tier {tier}'}"
    if trace:
        click.echo(as_text(plan, run, happenings, replay=line, last=last))
    if html is not None:
        html.write_text(timeline.as_html(plan, run, happenings, replay=line, last=last))
        asides().print(f"timeline: {html}", style="dim")
    others = _others(expected, plan, again, place)
    if as_json:
        print_json({"plan": digest(plan), "run": run, "compared": dict(others)})
    else:
        _tell(words(), plan, run, others)
    if run.outcome == "failed" or any(hash_ != run.trace for _, hash_ in others):
        return Exit.FAILED
    return Exit.INVALID if run.outcome == "invalid" else Exit.CLEAN


def _line_of(ledger: Path, seed: int | None) -> tuple[Header, Line]:
    if seed is None:
        raise click.UsageError("--ledger needs the seed of the line to compare with")
    try:
        header, lines = read(ledger)
    except BadLedger as error:
        raise click.ClickException(str(error)) from error
    for line in lines:
        if line.run.seed == seed:
            return header, line
    raise click.ClickException(f"{ledger} has no run of seed {seed}")


def _others(expected: Line | None, plan: Plan, again: bool, place: str) -> list[tuple[str, str]]:
    """What to compare with: where from, and the hash."""
    others = []
    if expected is not None:
        if expected.plan != digest(plan):
            asides().print(
                f"seed {plan.seed} stood for another plan when the ledger was written, by commit {expected.commit}",
                style="yellow",
            )
        others.append((f"the ledger, commit {expected.commit[:12]}", expected.run.trace))
    if again:
        try:
            with Crew(1, place or PLACES[plan.tier], hash_seed=4_711) as crew:
                others += [("another process", done.run.trace) for done in crew.run([plan])]
        except NoWorker as error:
            raise click.ClickException(str(error)) from error
    return others


def _tell(console: Console, plan: Plan, run: Run, others: list[tuple[str, str]]) -> None:
    styles = {"passed": "green", "failed": "bold red", "invalid": "yellow"}
    oracle = f"{run.oracle}: " if run.oracle else ""
    console.print(
        f"seed {plan.seed}, {plan.tier} tier: {run.outcome}{': ' if run.problem else ''}{oracle}{run.problem}",
        style=styles[run.outcome],
        markup=False,
        soft_wrap=True,
    )
    console.print(
        f"{run.events:,} events in {run.span / 1e6:.3f} virtual seconds; {run.acknowledged:,} operations acknowledged, "
        f"{run.failed} failed, {run.unknown} unknown; {run.leader_changes} leader changes, {run.restarts} restarts",
        soft_wrap=True,
    )
    console.print(f"trace {run.trace}")
    for name, hash_ in others:
        same = hash_ == run.trace
        console.print(
            f"{'equal' if same else 'DIFFERENT'}: {name} says {hash_}", style="green" if same else "bold red"
        )
