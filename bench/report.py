"""The tables people read, and the same figures for scripts."""

from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from bench.figures import Range, Row
from bench.floor import Cost
from bench.machine import VOLATILE, Machine

MEANING = (
    "sequential: one caller that awaits each write before the next. N callers: as many such tasks at once, in "
    "one client. bulk T x B: T tasks, each awaiting calls of B writes. A write is 128 bytes, durable on a majority "
    "of three nodes (one fdatasync per batch) and applied before it is answered. Nodes and load share this machine. "
    "Figures are medians of the rounds. Share (least..most): the part of the yardstick's speed that is reached, "
    "paired by round; of p50 for the sequential row, of commands/s elsewhere. Others: the most that other "
    "processes took of the machine in one of the rounds. The yardstick is a bare pipeline "
    "without Raft."
)


class Report(msgspec.Struct, frozen=True):
    """Everything one run of the benchmarks found."""

    machine: Machine
    rounds: int
    seconds: float
    """Counted time of each measure."""
    floor: tuple[Cost, ...]
    rows: tuple[Row, ...]
    missing: tuple[str, ...]
    """Why a system that was asked for has no rows, in sentences."""


def as_json(report: Report) -> str:
    """One JSON document."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def tables(report: Report) -> RenderableType:
    """The report for a terminal."""
    parts: list[RenderableType] = [Text(machine_line(report.machine))]
    if report.machine.filesystem in VOLATILE:
        parts.append(
            Text(f"{report.machine.filesystem} keeps nothing: name a directory on a disk with --dir", "red")
        )
    if report.floor:
        parts.append(floor_table(report.floor))
    if report.rows:
        parts += [speed_table(report.rows), cpu_table(report.rows), Text(MEANING, "dim")]
    parts += [Text(sentence, "yellow") for sentence in report.missing]
    return Group(*parts)


def machine_line(machine: Machine) -> str:
    """The machine in a sentence."""
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"{machine.cores} cores ({machine.processor}), {machine.memory_gib:.0f} GiB, {machine.system}, "
        f"Python {machine.python}, {packages}; {machine.directory} on {machine.filesystem}, "
        f"fdatasync p50 {machine.fdatasync_p50_us / 1e3:.2f} ms"
    )


def floor_table(costs: Iterable[Cost]) -> Table:
    """What single things cost."""
    table = Table(
        "alone on the machine", _right("p50"), _right("p99"), title="The floor", title_justify="left"
    )
    for cost in costs:
        table.add_row(cost.what, _micros(cost.p50_us), _micros(cost.p99_us))
    return table


def speed_table(rows: Sequence[Row]) -> Table:
    """Rates, latencies and shares."""
    columns = ("commands/s", "least..most", "p50 ms", "p99 ms", "share", "others")
    table = Table("load", "system", *map(_right, columns), title="Speed", title_justify="left")
    for row in rows:
        table.add_row(
            row.workload,
            row.system,
            f"{row.rate.median:,.0f}",
            f"{row.rate.least:,.0f}..{row.rate.most:,.0f}",
            f"{row.p50_ms.median:.2f}",
            f"{row.p99_ms.median:.2f}",
            _share(row.ratio),
            f"{row.others.most:.0%}",
            end_section=row is _last_of(rows, row.workload),
        )
    return table


def cpu_table(rows: Sequence[Row]) -> Table:
    """Where processor time goes: what bounds the rate when nodes and load share few cores."""
    title = "Processor time per command in microseconds: all threads (the event loop's alone)"
    table = Table("load", "system", _right("sum"), title=title, title_justify="left")
    for process in ("client", "leader", "follower", "follower"):
        table.add_column(process, justify="right", no_wrap=True)
    for row in rows:
        spent = row.spent.values()
        cells = [f"{one.whole_us:,.1f} ({one.loop_us:,.1f})" for one in spent]
        table.add_row(row.workload, row.system, f"{sum(one.whole_us for one in spent):,.1f}", *cells)
    return table


def _right(name: str) -> Column:
    return Column(name, justify="right", no_wrap=True)


def _share(ratio: Range | None) -> str:
    return f"{ratio.median:.2f} ({ratio.least:.2f}..{ratio.most:.2f})" if ratio else ""


def _micros(micros: float) -> str:
    return f"{micros / 1e3:.2f} ms" if micros >= 100 else f"{micros:.2f} us"


def _last_of(rows: Sequence[Row], workload: str) -> Row:
    return [row for row in rows if row.workload == workload][-1]
