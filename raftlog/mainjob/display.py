"""Showing a run: a live picture on a terminal, plain lines anywhere else; always on standard error."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raftlog.mainjob.scene import Scene
from raftlog.mainjob.summary import Summary

_PLAIN_EVERY = 2.0
"""Seconds between two lines about progress where nothing can be redrawn."""


@contextmanager
def shown(console: Console) -> Iterator[Scene]:
    """A scene that is shown until the block ends, in the form the console can take."""
    with _live(console) if console.is_terminal else _plain(console) as scene:
        yield scene


def stderr_console() -> Console:
    """Where runs are shown: standard output belongs to `--json`."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 120)


@contextmanager
def _live(console: Console) -> Iterator[Scene]:
    started = time.monotonic()
    scene = Scene(lambda sentence: console.print(_stamped(started, sentence)))
    with Live(console=console, refresh_per_second=8, transient=True, get_renderable=lambda: _picture(scene)):
        yield scene


@contextmanager
def _plain(console: Console) -> Iterator[Scene]:
    started = time.monotonic()
    scene = Scene(lambda sentence: console.print(_stamped(started, sentence)))
    over = threading.Event()
    reporter = threading.Thread(target=_report, args=(scene, over), name="progress", daemon=True)
    reporter.start()
    try:
        yield scene
    finally:
        over.set()
        reporter.join()


def _report(scene: Scene, over: threading.Event) -> None:
    shown_last = ("", 0)
    while not over.wait(_PLAIN_EVERY):
        now = (scene.stage, scene.done)
        if scene.total and now != shown_last:
            scene.say(_progress_line(scene))
        shown_last = now


def _stamped(started: float, sentence: str) -> Text:
    return Text.assemble((f"{time.monotonic() - started:6.2f} s  ", "dim"), sentence)


def _progress_line(scene: Scene) -> str:
    rate = f", {scene.rate:,.0f}/s" if scene.rate else ""
    return f"{scene.stage}: {scene.done:,} of {scene.total:,}{rate}; {_who_leads(scene)}"


def _who_leads(scene: Scene) -> str:
    return f"{scene.leader} leads term {scene.term}" if scene.leader else "nobody leads"


def _picture(scene: Scene) -> RenderableType:
    row = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(scene.total, 1), completed=scene.done, width=30, pulse=not scene.total)
    count = f"{scene.done:,}/{scene.total:,}" if scene.total else ""
    rate = f"{scene.rate:,.0f}/s" if scene.rate else ""
    who = Text(_who_leads(scene), style="green" if scene.leader else "bold red") if scene.term else Text("")
    row.add_row(Text(scene.stage, style="bold"), bar, count, rate, who)
    return row


def summary_table(summary: Summary) -> RenderableType:
    """The figures of a run and its verdict, for people."""
    table = Table(title="The main job", title_justify="left", show_header=False, min_width=60)
    table.add_column(style="bold")
    table.add_column()
    for name, value in _figures(summary):
        table.add_row(name, value)
    table.add_section()
    for check in summary.checks:
        mark = Text("ok", style="green") if check.holds else Text("FAILED", style="bold red")
        table.add_row(check.what, Text.assemble(mark, f"  {check.detail}"))
    return table


def _figures(summary: Summary) -> Iterator[tuple[str, str]]:
    sources = ", ".join(f"{count:,} {source}" for source, count in summary.sources.items())
    yield "keys", f"{summary.keys:,} ({sources}; {summary.corpus_bytes / 1e6:,.0f} MB indexed)"
    yield "acknowledged", f"{summary.acknowledged:,}"
    happened = sum(doubt.happened is True for doubt in summary.doubts)
    yield (
        "unknown",
        f"{len(summary.doubts)}, of which {happened} had happened, {summary.unresolved} unresolved",
    )
    yield "lost", str(summary.lost)
    rate = f"{summary.throughput:,.0f} writes/s with {summary.callers} callers, fail-over included"
    yield "throughput", f"{rate}; {summary.throughput_without_failover:,.0f} without it"
    latency = summary.latency
    figures = f"p50 {_ms(latency.p50)}, p99 {_ms(latency.p99)}, max {_ms(latency.max)}"
    yield "latency", f"{figures}, calls caught in the fail-over included"
    if summary.failover is not None:
        yield "fail-over", f"{_ms(summary.failover.silence)} from the last write before to the first after"


def _ms(micros: int) -> str:
    return f"{micros / 1000:,.1f} ms"
