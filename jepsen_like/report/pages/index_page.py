"""The page over all runs of a folder: a matrix of workloads and schedules, and every run in a line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from jepsen_like.cluster.schedules import SCHEDULES
from jepsen_like.cluster.trial import Report
from jepsen_like.report.pages import words
from jepsen_like.report.pages.page import chip, figures, link, listed, page, section, table
from jepsen_like.report.pages.scale import duration
from jepsen_like.workloads.names import WORKLOADS


def index_page(title: str, reports: Mapping[str, Report], problems: Sequence[str] = ()) -> str:
    """`reports`: by the folder of each, beside the page; `problems`: of folders that are not among them."""
    return page(title, _parts(title, reports, problems))


def _parts(title: str, reports: Mapping[str, Report], problems: Sequence[str]) -> Iterator[str]:
    whole = {folder: each for folder, each in reports.items() if not each.trial.broken}
    broken = {folder: each for folder, each in reports.items() if each.trial.broken}
    yield f"<h1>{escape(title)}</h1>{chip(_outcome(list(whole.values())))}"
    yield f'<p class="lead">{_told(list(whole.values()))}</p>'
    yield listed(problems)
    yield figures(_figures(list(whole.values())))
    yield section(
        "Workloads and faults", "each run a field: its seed, and its longest gap without a success", ""
    )
    yield _matrix(whole)
    if broken:
        yield section(
            "Builds that are wrong on purpose", "a run that fails has caught its build", _lines(broken)
        )
    yield section("All runs", "", _lines(whole))


def _outcome(reports: Sequence[Report]) -> str:
    found = {each.outcome for each in reports}
    return "failed" if "failed" in found else "invalid" if "invalid" in found or not found else "passed"


def _told(reports: Sequence[Report]) -> str:
    counts = [
        f"{count} {text}"
        for name, text in (("passed", "passed"), ("failed", "failed"), ("invalid", "say nothing"))
        if (count := sum(each.outcome == name for each in reports))
    ]
    return f"{len(reports)} runs: {', '.join(counts) or 'none yet'}."


def _figures(reports: Sequence[Report]) -> Iterator[tuple[str, str]]:
    of = [each.figures for each in reports]
    healed = [each.recovered_after for each in of if each.recovered_after is not None]
    yield f"{sum(each.ok for each in of):,}", "succeeded"
    yield f"{sum(each.failed for each in of):,}", "failed, for certain"
    yield f"{sum(each.unknown for each in of):,}", "unknown"
    yield f"{sum(each.ended is not None for report in reports for each in report.struck):,}", "faults done"
    yield f"{sum(each.trial.seconds for each in reports) / 60:,.0f} min", "under load"
    yield duration(max((each.longest_gap for each in of), default=0.0)), "longest gap"
    yield duration(max(healed, default=0.0)), "slowest from heal to success"


def _matrix(reports: Mapping[str, Report]) -> str:
    rows = _named([each.trial.workload for each in reports.values()], list(WORKLOADS))
    columns = _named([each.trial.schedule for each in reports.values()], list(SCHEDULES))
    cells: dict[tuple[str, str], list[str]] = {}
    for folder, report in sorted(reports.items(), key=lambda item: (item[1].trial.seed, item[0])):
        cells.setdefault((report.trial.workload, report.trial.schedule), []).append(_cell(folder, report))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr><th>{escape(row)}</th>{_tds(cells.get((row, each), ()) for each in columns)}</tr>"
        for row in rows
    )
    whole = f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="matrix">{whole}</table></div>'


def _tds(cells: Iterable[Iterable[str]]) -> str:
    return "".join(f"<td>{''.join(cell)}</td>" for cell in cells)


def _named(found: Sequence[str], order: Sequence[str]) -> list[str]:
    """Each name once: those that are known in their order, others behind them."""
    return sorted(set(found), key=lambda name: (order.index(name) if name in order else len(order), name))


def _cell(folder: str, report: Report) -> str:
    gap = duration(report.figures.longest_gap)
    title = f"{words.outcome(report)} {report.figures.ok:,} succeeded, longest gap {gap}"
    return (
        f'<a class="cell {report.outcome}" href="{escape(folder)}/index.html" title="{escape(title)}">'
        f"<b>{report.trial.seed}</b>{escape(gap)}</a>"
    )


def _lines(reports: Mapping[str, Report]) -> str:
    head = (
        "run",
        "outcome",
        "nodes",
        "succeeded",
        "failed",
        "unknown",
        "faults",
        "longest gap",
        "healed",
        "p50",
        "p99",
    )
    return table(head, (_line(folder, reports[folder]) for folder in sorted(reports)), numbers=9)


def _line(folder: str, report: Report) -> Sequence[str]:
    of = report.figures
    broken = f" ({report.trial.broken})" if report.trial.broken else ""
    caught = report.trial.broken and report.outcome == "failed"
    return (
        link(f"{folder}/index.html", f"{folder}{broken}"),
        chip("passed", "caught") if caught else chip(report.outcome),
        str(report.trial.nodes),
        f"{of.ok:,}",
        f"{of.failed:,}",
        f"{of.unknown:,}",
        str(sum(each.ended is not None for each in report.struck)),
        escape(duration(of.longest_gap)),
        "-" if of.recovered_after is None else escape(duration(of.recovered_after)),
        escape(duration(of.median_ms / 1e3)),
        escape(duration(of.p99_ms / 1e3)),
    )
