"""The page of one run: verdicts in words, figures, the command that repeats it, plots over time, links to files."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from jepsen_like.check import History, Verdict
from jepsen_like.check.history import EventType
from jepsen_like.cluster.trial import Report
from jepsen_like.report.pages import scale, series, words
from jepsen_like.report.pages.page import chip, figures, legend, link, listed, page, section, table
from jepsen_like.report.pages.plot import Plot
from jepsen_like.report.pages.scale import duration
from jepsen_like.report.pages.series import Call
from jepsen_like.report.pages.strikes import clocks, strikes
from jepsen_like.workloads.workload import Judged

OUTCOMES = (
    (EventType.OK, "ok", "succeeded"),
    (EventType.FAIL, "fail", "failed"),
    (EventType.INFO, "info", "unknown"),
)
SENTENCES = 6
"""Of a verdict that are seen at once; the others unfold."""
COLOURS = ("one", "two", "three", "four", "five", "ok", "fail", "info", "one")
_CLASSES = {Verdict.VALID: "valid", Verdict.INVALID: "invalid-verdict", Verdict.UNKNOWN: "unknown"}


def run_page(report: Report, history: History, files: Sequence[Path]) -> str:
    """The page.

    Args:
        report: of the run.
        history: with times.
        files: what else lies in the folder of the page, by their names there.
    """
    return page(words.title(report.trial), _parts(report, history, files))


def _parts(report: Report, history: History, files: Sequence[Path]) -> Iterator[str]:
    trial = report.trial
    plots = _Plots(report, history)
    yield f'<div class="up">{link("../index.html", "← all runs")}</div>'
    caught = trial.broken and report.outcome == "failed"
    shown = chip("passed", "caught") if caught else chip(report.outcome)
    yield f"<h1>{escape(words.title(trial))}</h1>{shown}"
    yield f'<p class="lead">{escape(words.outcome(report))}</p><p class="soft">{escape(words.setting(trial))}</p>'
    yield listed(report.problems)
    yield table(("promise", "checked by", "verdict"), map(_verdict, report.judged))
    yield figures(_figures(report, plots))
    yield section("Do it again", "the same questions and faults; what processes make of them differs", "")
    yield f"<pre>{escape(report.command or words.again(trial))}</pre>"
    yield from plots.sections()
    yield section("Faults", "seconds since the clients began", _faults(report))
    yield section("Files", "", _files(files))


def _verdict(judged: Judged) -> Sequence[str]:
    lines = [f'<span class="sentence">{escape(each)}</span>' for each in judged.sentences]
    sentences = "".join(lines[:SENTENCES])
    if rest := lines[SENTENCES:]:
        sentences += f"<details><summary>{len(rest)} more</summary>{''.join(rest)}</details>"
    verdict = f'<span class="{_CLASSES[judged.verdict]}">{words.VERDICTS[judged.verdict]}</span>'
    return escape(words.promise(judged)) + sentences, escape(judged.checker), verdict


def _figures(report: Report, plots: "_Plots") -> Iterator[tuple[str, str]]:
    of = report.figures
    yield f"{of.ok:,}", "succeeded"
    yield f"{of.failed:,}", "failed, for certain"
    yield f"{of.unknown:,}", "unknown"
    yield duration(of.median_ms / 1e3), "median"
    yield duration(of.p99_ms / 1e3), "99th percentile"
    yield duration(of.longest_gap), "longest gap"
    yield f"{plots.available:.1%}", "of the time available"
    yield "-" if of.recovered_after is None else duration(of.recovered_after), "from heal to success"


def _faults(report: Report) -> str:
    if not report.struck:
        return '<p class="soft">None.</p>'
    done = [
        (
            f"{each.began:.1f}",
            f"{each.ended:.1f}",
            f'<span class="{each.kind}" style="color: var(--c)">{each.kind}</span>',
            escape(each.text),
        )
        for each in strikes(report.struck)
    ]
    skipped = sum(each.ended is None for each in report.struck)
    more = f'<p class="soft">{skipped} more could not be done: nobody led.</p>' if skipped else ""
    return table(("from", "to", "of", "what"), done) + more


def _files(files: Sequence[Path]) -> str:
    known = {
        "history.jsonl": "all that clients asked and were told",
        "report.json": "this report, for programs",
    }
    kinds = [
        (
            each,
            known.get(each.name)
            or ("what the node wrote" if each.suffix == ".log" else "the node's directory"),
        )
        for each in files
    ]
    return table(("file", "what it is"), ((link(each.name, each.name), kind) for each, kind in kinds))


class _Plots:
    """All plots of a run; they share their time axis and the faults behind them."""

    def __init__(self, report: Report, history: History) -> None:
        self._report = report
        self._calls: list[Call] = series.calls(history, report.began)
        self._end = max([report.trial.seconds, *(call.ended for call in self._calls)])
        self._strikes = strikes(report.struck)
        self._healed = report.healed or self._end
        self._gaps = series.gaps(self._calls, self._healed)

    @property
    def available(self) -> float:
        """The share of the time up to the heal in which nothing waited for long."""
        return 1.0 - sum(end - began for began, end in self._gaps) / self._healed

    def sections(self) -> Iterator[str]:
        """Each plot under its heading."""
        yield section("Latency", "each call a dot where it was asked", self._raw(), _outcome_keys())
        keys = legend(zip(COLOURS, series.QUANTILES, strict=False))
        yield section(
            "Latency, quantiles",
            "of the calls asked within each second that succeeded",
            self._quantiles(),
            keys,
        )
        yield section("Rate", "calls that ended, per second", self._rate(), _outcome_keys())
        keys = legend((("ok", "something succeeded"), ("fail", "nothing did")))
        yield section(
            "Availability", f"{self.available:.1%}; gaps without a success", self._availability(), keys
        )
        if ahead := clocks(self._report.struck, self._end):
            keys = legend(zip(COLOURS, ahead, strict=False))
            yield section("Clocks", "how far each wall clock was set ahead", self._clocks(ahead), keys)

    def _plot(self, axis: scale.Scale | None, height: int = 200) -> Plot:
        return Plot(end=self._end, scale=axis, strikes=self._strikes, height=height)

    def _durations(self) -> scale.Scale:
        took = [call.took for call in self._calls] or [1e-3]
        return scale.durations(min(took), max(took))

    def _raw(self) -> str:
        plot = self._plot(self._durations(), 260)
        for kind, css, _ in OUTCOMES:
            plot.dots([(call.at, call.took) for call in self._calls if call.outcome is kind], css)
        return self._drawn(plot, "latency of each call over time")

    def _quantiles(self) -> str:
        plot = self._plot(self._durations())
        for css, points in zip(COLOURS, series.quantiles(self._calls).values(), strict=False):
            plot.line(points, css, apart=1.5)
        return self._drawn(plot, "quantiles of latency over time")

    def _rate(self) -> str:
        found = series.rates(self._calls, self._end)
        plot = self._plot(scale.linear(max(value for points in found.values() for _, value in points)), 150)
        plot.area(found[EventType.OK], "ok")
        for kind, css, _ in OUTCOMES:
            if any(value for _, value in found[kind]):
                plot.line(found[kind], css)
        return self._drawn(plot, "calls per second over time")

    def _availability(self) -> str:
        plot = self._plot(None, 34)
        plot.bar(0.0, self._healed, "up")
        for began, end in self._gaps:
            plot.bar(began, end, "gap", duration(end - began))
        return self._drawn(plot, "when something succeeded")

    def _clocks(self, ahead: dict[str, series.Points]) -> str:
        plot = self._plot(
            scale.signed(max(abs(value) for points in ahead.values() for _, value in points)), 170
        )
        for css, points in zip(COLOURS, ahead.values(), strict=False):
            plot.line(points, css)
        return self._drawn(plot, "wall clocks over time")

    def _drawn(self, plot: Plot, title: str) -> str:
        if self._report.healed:
            plot.mark(self._report.healed, "healed")
        return f"<figure>{plot.svg(title)}</figure>"


def _outcome_keys() -> str:
    return legend((css, text) for _, css, text in OUTCOMES)
