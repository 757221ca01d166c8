"""A campaign on one screen: figures, oracles, faults, gates, failures; the same as one JSON document for scripts."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from jepsen_like.report import oracles
from jepsen_like.report.lines import replay_line, shrink_line
from jepsen_like.sim.campaign import Campaign, Report
from jepsen_like.sim.coverage import Registry
from jepsen_like.sim.judge import Judgement
from jepsen_like.sim.tally import SECOND, Tally, by_count

SHOWN = 10
"""So many failures and missed gates are listed; the ledger and `--json` have them all."""


def tell(
    console: Console,
    campaign: Campaign,
    report: Report,
    judgement: Judgement,
    registry: Registry,
    elapsed: float,
) -> None:
    """What people read when a campaign is over. `elapsed`: wall-clock seconds of this process's part."""
    console.print(Text(f"{campaign.tier} tier, seeds from {campaign.first_seed}", style="bold"))
    console.print(_figures(campaign, report, elapsed))
    console.print(_two_columns(_faults(report.tally), _oracles(report.tally)))
    console.print(_gates(campaign, judgement, registry))
    for text in (*_failures(campaign, report), *_verdict(judgement, report.tally)):
        console.print(text, soft_wrap=True)  # a command must stay one line for whoever copies it


def _figures(campaign: Campaign, report: Report, elapsed: float) -> RenderableType:
    tally, made = report.tally, report.tally.runs - report.resumed
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column()
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in tally.outcomes.items())
    rows = [
        ("runs", f"{tally.runs}: {outcomes}", "virtual time", f"{tally.virtual_hours:.2f} h"),
        (
            "wall time",
            f"{elapsed:.1f} s for {made} runs, {campaign.workers} at work",
            "events",
            f"{tally.events:,}; {_per_core(tally):,.0f}/s per core, {_speed(tally):.0f}x real time",
        ),
        (
            "acknowledged",
            f"{tally.acknowledged:,}; {tally.acknowledged_per_second:.1f} per virtual second",
            "failed, unknown",
            f"{tally.failed:,}, {tally.unknown:,}",
        ),
        (
            "leader changes",
            f"{tally.leader_changes:,}; {tally.leader_changes_per_hour:,.0f} per virtual hour",
            "restarts, quiet",
            f"{tally.restarts:,}, {tally.quiet_share:.1%}",
        ),
    ]
    for row in rows:
        table.add_row(*row)
    return Padding(table, (1, 0, 1, 0))


def _per_core(tally: Tally) -> float:
    return tally.events / max(tally.seconds, 0.001)


def _speed(tally: Tally) -> float:
    return tally.span / SECOND / max(tally.seconds, 0.001)


def _two_columns(left: RenderableType, right: RenderableType) -> RenderableType:
    grid = Table.grid(padding=(0, 4))
    grid.add_row(left, right)
    return grid


def _faults(tally: Tally) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("fault")
    table.add_column("done", justify="right")
    table.add_column("skipped", justify="right")
    for name in sorted({*tally.faults, *tally.skipped}):
        table.add_row(name, f"{tally.faults.get(name, 0):,}", f"{tally.skipped.get(name, 0):,}")
    return table


def _oracles(tally: Tally) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("oracle", "", "verdict"):
        table.add_column(name)
    counted = any(row.checks is not None for row in oracles.rows(tally))
    if counted:
        table.add_column("checks", justify="right")
    styles = {"held": "green", "broken": "bold red", "absent": "dim"}
    for row in oracles.rows(tally):
        verdict = {"held": "held", "broken": f"broken in {row.broken}", "absent": f"absent: {row.absent}"}
        cells: list[RenderableType] = [
            row.name,
            row.sentence,
            Text(verdict[row.state], style=styles[row.state]),
        ]
        if counted:
            cells.append("" if row.checks is None else f"{row.checks:,}")
        table.add_row(*cells)
    return table


def _gates(campaign: Campaign, judgement: Judgement, registry: Registry) -> RenderableType:
    gates = registry.gates(campaign.tier)
    absent = sum(1 for gate in gates if gate.absent)
    line = f"coverage gates: {len(gates) - absent - len(judgement.missed)} of {len(gates) - absent} passed"
    line += f", {absent} absent" if absent else ""
    lines: list[RenderableType] = [Text(line, style="" if not judgement.missed else "yellow")]
    lines += [
        Text(f"    missed: {gate.name}" + (f" (at least {gate.least})" if gate.least > 1 else ""))
        for gate in judgement.missed[: 3 * SHOWN]
    ]
    if (more := len(judgement.missed) - 3 * SHOWN) > 0:
        lines.append(Text(f"    and {more} more"))
    return Padding(Group(*lines), (1, 0, 0, 0))


def _failures(campaign: Campaign, report: Report) -> list[Text]:
    told: list[Text] = []
    for run in sorted(report.failures, key=lambda run: run.seed)[:SHOWN]:
        told.append(Text(f"seed {run.seed} failed: {run.oracle}: {run.problem}", style="red"))
        lines = [
            line(run.seed, run.tier, campaign.span, campaign.place) for line in (replay_line, shrink_line)
        ]
        told.extend(Text(f"    {line}") for line in lines)
    if (more := len(report.failures) - SHOWN) > 0:
        told.append(Text(f"and {more} more failed", style="red"))
    for reason, number in by_count(report.tally.reasons)[:SHOWN]:
        told.append(Text(f"{number} invalid: {reason}", style="yellow"))
    return told


def _verdict(judgement: Judgement, tally: Tally) -> list[Text]:
    told = [Text(f"invalid: {problem}", style="bold yellow") for problem in judgement.problems]
    if judgement.missed and judgement.gates_applied:
        told.append(
            Text(
                f"invalid: {len(judgement.missed)} of the things that must happen never did; run more seeds "
                "(or say --no-gates, and know that silence means little)",
                style="bold yellow",
            )
        )
    if not judgement.gates_applied:
        told.append(
            Text(
                f"THE COVERAGE GATES WERE SWITCHED OFF: {len(judgement.missed)} of them were missed, and nobody asked",
                style="bold yellow",
            )
        )
    if judgement.failures:
        told.append(Text(f"FAILED: {judgement.failures} of {tally.runs} runs", style="bold red"))
    elif judgement.valid:
        told.append(Text(f"clean: {tally.runs} runs, nothing broke", style="bold green"))
    else:
        told.append(
            Text(f"INVALID: nothing broke in {tally.runs} runs, and that means nothing", style="bold yellow")
        )
    return told


def as_json(
    campaign: Campaign, report: Report, judgement: Judgement, registry: Registry, elapsed: float
) -> dict[str, Any]:
    """The same for scripts, with all counts."""
    tally = report.tally
    return {
        "tier": campaign.tier,
        "build": campaign.header.build,
        "first_seed": campaign.first_seed,
        "verdict": judgement.exit.name.lower(),
        "runs": tally.runs,
        "resumed": report.resumed,
        "outcomes": tally.outcomes,
        "virtual_hours": round(tally.virtual_hours, 4),
        "wall_seconds": round(elapsed, 3),
        "run_seconds": round(tally.seconds, 3),
        "events": tally.events,
        "events_per_second": round(_per_core(tally)),
        "acknowledged": tally.acknowledged,
        "acknowledged_per_virtual_second": round(tally.acknowledged_per_second, 2),
        "failed": tally.failed,
        "unknown": tally.unknown,
        "leader_changes": tally.leader_changes,
        "leader_changes_per_virtual_hour": round(tally.leader_changes_per_hour, 1),
        "restarts": tally.restarts,
        "quiet_share": round(tally.quiet_share, 4),
        "faults": dict(sorted(tally.faults.items())),
        "skipped": dict(sorted(tally.skipped.items())),
        "oracles": {
            row.name: {"state": row.state, "broken": row.broken, "checks": row.checks, "absent": row.absent}
            for row in oracles.rows(tally)
        },
        "gates": {
            "applied": judgement.gates_applied,
            "missed": [gate.name for gate in judgement.missed],
            "absent": {gate.name: gate.absent for gate in registry.gates(campaign.tier) if gate.absent},
        },
        "problems": list(judgement.problems),
        "coverage": dict(sorted(tally.coverage.items())),
        "failures": [
            {
                "seed": run.seed,
                "oracle": run.oracle,
                "problem": run.problem,
                "replay": replay_line(run.seed, run.tier, campaign.span, campaign.place),
            }
            for run in sorted(report.failures, key=lambda run: run.seed)
        ],
        "invalid": tally.reasons,
    }
