"""How a mutation campaign is told: a table for people, Markdown for the documentation, JSON for scripts."""

from collections.abc import Sequence
from typing import Any

import msgspec

from jepsen_like.mutants.campaign import Report
from jepsen_like.mutants.hunt import Hunted
from jepsen_like.mutants.mutant import Kind, Mutant

HEAD = ("mutant", "row", "class", "killed by", "tier", "seed", "seeds")
_KINDS: tuple[Kind, ...] = ("safety", "durability", "liveness", "harness")


def row(found: Hunted) -> tuple[str, ...]:
    """One line of the table."""
    mutant = found.mutant
    seed = "-" if found.seed is None else str(found.seed)
    seeds = str(found.seeds) if found.seeds else "-"
    return (mutant.name, mutant.trap, mutant.kind, _fate(found), found.tier or "-", seed, seeds)


def _fate(found: Hunted) -> str:
    match found.fate:
        case "killed":
            return found.oracle
        case "survived":
            others = ", ".join(f"{oracle} {times}x" for oracle, times in found.others.items())
            return f"SURVIVED ({others})" if others else "SURVIVED"
        case "absent":
            by = " (killed by its own test)" if found.oracle else ""
            return f"absent: {found.mutant.absent}{by}"
        case "elsewhere":
            return "not asked"


def summary(report: Report) -> list[str]:
    """The figures, a line each."""
    lines = []
    for kind in _KINDS:
        counted = report.of(kind)
        killed = sum(each.fate == "killed" for each in counted)
        lines.append(f"{kind}: {killed} of {len(counted)} killed")
    absent = [each.mutant.name for each in report.hunted if each.fate == "absent"]
    later = [id for id, its in report.without_mutant.items() if its.later]
    impossible = [id for id, its in report.without_mutant.items() if its.reason]
    lines += [
        f"seeds to a kill, safety and durability: {report.median:g} in the median",
        f"clean runs of the same seeds: {report.clean_runs}, red: {len(report.clean_failures)}",
        f"absent until their feature comes, counted neither way: {len(absent)} mutants, {len(later)} rows",
        f"impossible by design: {len(impossible)} rows",
    ]
    return lines


def text(report: Report) -> str:
    """For a terminal."""
    rows = [HEAD, *(row(found) for found in report.hunted)]
    widths = [max(len(line[at]) for line in rows) for at in range(len(HEAD))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in rows
    ]
    parts = ["\n".join(table), _rows_text(report), "\n".join(summary(report)), verdict(report)]
    return "\n\n".join(part for part in parts if part)


def _rows_text(report: Report) -> str:
    return "\n".join(f"{id:<4} {_why(its.later, its.reason)}" for id, its in report.without_mutant.items())


def _why(later: str, reason: str) -> str:
    if reason:
        return f"impossible: {reason}"
    return f"absent: {later}" if later else "OWED: no mutant"


def verdict(report: Report) -> str:
    """One sentence when all is well, else one for each shortcoming."""
    if not report.shortcomings:
        return "Every safety and durability mutant is killed, and enough of the others."
    return "\n".join(f"NOT GOOD ENOUGH: {each}" for each in report.shortcomings)


def markdown(report: Report) -> str:
    """The tables of the documentation."""
    parts = []
    for kind in _KINDS:
        chosen = [found for found in report.hunted if found.mutant.kind == kind]
        if chosen:
            parts += [f"### {kind.capitalize()}", _markdown_table(chosen)]
    if alone := [found.mutant for found in report.hunted if found.mutant.why]:
        parts += ["### Killed by their own tests alone", _markdown_alone(alone)]
    parts += ["### Rows without a mutant", _markdown_rows(report)]
    parts += ["### Figures", "\n".join(f"- {line}" for line in summary(report)), verdict(report)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(chosen: Sequence[Hunted]) -> str:
    lines = ["| Mutant | Row | The bug | Killed by | Tier | Seeds |", "| --- | --- | --- | --- | --- | --- |"]
    for found in chosen:
        name, trap, _, fate, tier, _, seeds = row(found)
        what = found.mutant.what.replace("|", "\\|")
        lines.append(f"| `{name}` | {trap} | {what} | {fate} | {tier} | {seeds} |")
    return "\n".join(lines)


def _markdown_alone(mutants: Sequence[Mutant]) -> str:
    lines = ["| Mutant | Why no simulation shows it | Killed by |", "| --- | --- | --- |"]
    for mutant in mutants:
        tests = [test.partition(":")[2] for test in mutant.tests]
        lines.append(
            f"| `{mutant.name}` | {mutant.why} | {', '.join(f'`{by}`' for by in (*mutant.scripts, *tests))} |"
        )
    return "\n".join(lines)


def _markdown_rows(report: Report) -> str:
    lines = ["| Row | The bug | Why |", "| --- | --- | --- |"]
    for id, its in report.without_mutant.items():
        lines.append(f"| {id} | {its.title} | {_why(its.later, its.reason)} |")
    return "\n".join(lines)


def json(report: Report) -> bytes:
    """For scripts: everything that is printed, and what the oracles said."""
    return msgspec.json.format(msgspec.json.encode(_plain(report)), indent=2) + b"\n"


def _plain(report: Report) -> dict[str, Any]:
    return {
        "good": not report.shortcomings,
        "shortcomings": report.shortcomings,
        "median_seeds": report.median,
        "clean_runs": report.clean_runs,
        "clean_failures": [msgspec.to_builtins(run) for run in report.clean_failures],
        "mutants": [_plain_mutant(found) for found in report.hunted],
        "rows_without_mutant": {
            id: {"title": its.title, "later": its.later, "reason": its.reason}
            for id, its in report.without_mutant.items()
        },
    }


def _plain_mutant(found: Hunted) -> dict[str, Any]:
    mutant = found.mutant
    return {
        "name": mutant.name,
        "row": mutant.trap,
        "class": mutant.kind,
        "what": mutant.what,
        "fate": found.fate,
        "tier": found.tier,
        "seed": found.seed,
        "seeds": found.seeds,
        "oracle": found.oracle,
        "problem": found.problem,
        "others": dict(found.others),
        "absent": mutant.absent,
    }
