"""`python -m bench.large`: a log of millions of entries, a state of a million keys; shows what they cost a node."""

import asyncio
import contextlib
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.client_load import ClientLoad
from bench.cluster import RaftlogNodes, free_ports
from bench.large_node import VALUE, disk_use, key
from bench.machine import Machine, look
from bench.processes import Child, ChildFailed, children_used, cpu_used, machine_used, python
from raftlog.admin import Operator, Unreachable
from raftlog.node.retention import Retention

WAYS = ("replay", "capture")
PARTS = ("log", *WAYS, "feeding")
_CALLERS = 64
_LEAD_IN = 0.3
"""Seconds of load before what is watched begins."""
_PATIENCE = 3600.0
_MIB = 1 << 20
_AIMED = ("measured", "aim")


class LongLog(msgspec.Struct, frozen=True):
    """What a log of many entries costs."""

    entries: int
    keys: int
    writing_seconds: float
    disk_at_most_mib: float
    """All files of the node, at any of a hundred moments while it was written."""
    disk_mib: float
    """The same after the restart."""
    restart_seconds: float
    """From the start of the process to the first moment it says that it serves, with everything applied."""
    restart_cpu_seconds: float
    """Processor time of all its threads until then: what others cannot disturb."""
    peak_rss_mib: float
    """Of the restarted process, until it served."""
    snapshot: int
    applied: int


class Pause(msgspec.Struct, frozen=True):
    """The time between the ends of two apply batches, in milliseconds, under one load."""

    what: str
    batches: int
    p50: float
    p99: float
    longest: float
    longest_collection: float
    """The longest turn of the garbage collector."""
    most_used: float
    """The most processor time that the loop's thread used in one of the gaps: what others cannot disturb."""
    longest_sync: float
    """The longest write and sync of the log, hop to the disk's thread and back included."""
    others: float
    """Share of the machine that others used."""


class Snapshots(msgspec.Struct, frozen=True):
    """What a snapshot of a large state costs those who go on."""

    by: str
    keys: int
    bytes: int
    seconds: tuple[float, ...]
    """From asking for one until it was durable."""
    pauses: tuple[Pause, ...]


class Feeding(msgspec.Struct, frozen=True):
    """How a node that was away for too long comes back, under load."""

    keys: int
    bytes: int
    seconds: float
    """From its start until it had applied what was committed."""
    put_per_second_before: float
    put_per_second_during: float
    longest_wait_before_ms: float
    longest_wait_during_ms: float
    """For an answer, seen by the clients."""


class Large(msgspec.Struct, frozen=True):
    """Everything that was measured."""

    machine: Machine
    log: LongLog | None = None
    snapshots: tuple[Snapshots, ...] = ()
    feeding: Feeding | None = None


class Told:
    """Progress on standard error."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "Told":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, what: str, total: float | None = None) -> None:
        """Something else has begun."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total)

    def reached(self, done: float) -> None:
        """So much of it is done."""
        assert self._task is not None, "nothing has begun"
        self._bar.update(self._task, completed=done)


# -- a long log


def long_log(directory: pathlib.Path, entries: int, keys: int, told: Told) -> LongLog:
    """Write a log with the default retention, then start the node anew."""
    (port,) = free_ports(1)
    home, address = directory / "long", f"127.0.0.1:{port}"
    home.mkdir()
    told.step(f"write {entries:,} entries", entries)
    began = time.monotonic()
    command = python("bench.large_node", "written", str(home), address, str(entries), str(keys))
    with Child("the writer", command, directory / "written.stderr") as writer:
        while "done" not in (said := json.loads(writer.word("says", _PATIENCE))):
            told.reached(said["entries"])
        if writer.wait():
            raise ChildFailed(f"the writer failed{writer.last_words()}")
    writing = time.monotonic() - began
    told.step("start the node anew")
    restarted = asyncio.run(_restart(directory, home, address))
    return LongLog(
        entries=entries, keys=keys, writing_seconds=writing, disk_at_most_mib=said["disk"] / _MIB, **restarted
    )


async def _restart(directory: pathlib.Path, home: pathlib.Path, address: str) -> dict[str, Any]:
    began = time.monotonic()
    with Child("the node", serve(home, address), directory / "restart.stderr") as node:
        async with Operator() as operator:
            status = await _until_serving(operator, address)
        took = time.monotonic() - began
        peak, used = _peak_rss(node.pid), cpu_used(node.pid).whole
        group = status.groups[0]
        node.wait()
    return {
        "restart_seconds": took,
        "restart_cpu_seconds": used,
        "peak_rss_mib": peak / _MIB,
        "disk_mib": disk_use(home) / _MIB,
        "snapshot": group.snapshot,
        "applied": group.applied,
    }


def serve(home: pathlib.Path, address: str) -> list[str]:
    """The command of a node of its own."""
    machine = ("--machine", "statemachines.kv:KeyValue")
    return python(
        "raftlog", "serve", "--data-dir", str(home), "--listen", address, *machine, "--parent-fd", "0"
    )


async def _until_serving(operator: Operator, address: str) -> Any:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(Unreachable):
            status = await operator.status(address)
            if status.serving and status.groups[0].applied == status.groups[0].last:
                return status
        await asyncio.sleep(0.02)
    raise ChildFailed(f"the node at {address} does not serve")


def _peak_rss(pid: int) -> int:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


# -- snapshots of a large state


class Watched:
    """The parent's side of `bench.large_node watched`."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.pid = int(self._said()["pid"])

    def ask(self, *words: str) -> dict[str, Any]:
        """Have it do something, and wait for the answer."""
        self._child.say(" ".join(words))
        return self._said()

    def _said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._child.word("says", _PATIENCE))
        return said


def snapshots(
    directory: pathlib.Path, by: str, keys: int, seconds: float, rounds: int, told: Told
) -> Snapshots:
    """Load a node of that many keys, in turn without and with a snapshot being taken."""
    (port,) = free_ports(1)
    home, address = directory / f"state-{by}", f"127.0.0.1:{port}"
    command = python("bench.large_node", "watched", str(home), address, by)
    with Child("the node", command, directory / "watched.stderr") as child:
        told.step(f"fill {keys:,} keys")
        node = Watched(child)
        node.ask("fill", str(keys))
        told.step("the first snapshot, without load")
        taken = [node.ask("snapshot")]
        pauses = []
        with Child("the load", _load(address, keys), directory / "load.stderr") as load:
            load.word("loading")
            for number in range(rounds):
                told.step(f"round {number + 1} of {rounds}: no snapshot")
                pauses.append(_watch("no snapshot", node, load, lambda: time.sleep(seconds)))
                told.step(f"round {number + 1} of {rounds}: a snapshot")
                pauses.append(_watch("a snapshot", node, load, lambda: taken.append(node.ask("snapshot"))))
            load.wait()
        child.wait()
    took = tuple(each["seconds"] for each in taken)
    return Snapshots(by=by, keys=keys, bytes=int(taken[-1]["bytes"]), seconds=took, pauses=tuple(pauses))


def _watch(what: str, node: Watched, load: Child, during: Callable[[], object]) -> Pause:
    node.ask("window")
    time.sleep(_LEAD_IN)
    ours, (busy, whole) = _used(node, load), machine_used()
    during()
    window = node.ask("window")
    ours = _used(node, load) - ours
    busy_after, whole_after = machine_used()
    others = max(0.0, busy_after - busy - ours) / (whole_after - whole)
    return Pause(what=what, others=others, **window)


def _used(node: Watched, load: Child) -> float:
    return cpu_used(node.pid).whole + children_used(node.pid) + cpu_used(load.pid).whole


def _load(address: str, keys: int) -> list[str]:
    return python("bench.large", "--as-load", address, "--keys", str(keys))


async def load(address: str, keys: int) -> None:
    """Overwrite keys, 64 callers at once, until standard input ends."""
    target = ClientLoad([address])
    await target.open()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    print("loading", flush=True)
    callers = [asyncio.create_task(_put_on(target, keys, first, ended)) for first in range(_CALLERS)]
    await asyncio.gather(*callers)
    await target.close()


async def _put_on(target: ClientLoad, keys: int, number: int, ended: asyncio.Event) -> None:
    while not ended.is_set():
        await target.put(key(number * 7919 % keys), VALUE)
        number += _CALLERS


# -- feeding a node that was away


class Answers:
    """When answers came."""

    def __init__(self) -> None:
        self._waits: list[float] = []
        self._began = time.perf_counter()

    def answered(self, asked: float) -> None:
        """One that was asked for then."""
        self._waits.append(time.perf_counter() - asked)

    def window(self) -> tuple[float, float]:
        """Answers per second and the longest wait in milliseconds since the last time."""
        waits, self._waits = self._waits or [0.0], []
        span, self._began = time.perf_counter() - self._began, time.perf_counter()
        return len(waits) / span, max(waits) * 1e3


def feeding(directory: pathlib.Path, keys: int, seconds: float, told: Told) -> Feeding:
    """Three nodes of that many keys; one is away while the log goes on, and comes back under load."""
    home = directory / "fed"
    home.mkdir()
    with RaftlogNodes(home, None, eager(keys)) as nodes:
        measured = asyncio.run(_feed(nodes, keys, seconds, told))
        nodes.stop()
    return Feeding(keys=keys, bytes=sum(f.stat().st_size for f in _newest_parts(home)), **measured)


def eager(keys: int) -> tuple[str, ...]:
    """Flags: snapshots so often that a node which is away for some thousand entries, or hundred, needs one."""
    often = min(2000, max(50, keys // 50))
    return "--snapshot-entries", str(often), "--keep-entries", "0", "--keep-bytes", "0", "--keep-age", "0"


def _newest_parts(home: pathlib.Path) -> list[pathlib.Path]:
    newest = max(home.glob("*/*.snap"), key=lambda file: file.name)
    return list(newest.parent.glob(f"{newest.stem.rpartition('-')[2]}.*.part"))


async def _feed(nodes: RaftlogNodes, keys: int, seconds: float, told: Told) -> dict[str, Any]:
    *there, away = nodes.addresses
    target = ClientLoad(there)
    await target.open()
    told.step(f"fill {keys:,} keys on three nodes", keys)
    nodes.halt(away)
    for start in range(0, keys, 2048):
        await target.put_many([(key(n), VALUE) for n in range(start, min(start + 2048, keys))])
        told.reached(start)
    async with Operator() as operator:
        answers, ended = Answers(), asyncio.Event()
        callers = [asyncio.create_task(_ask_on(target, keys, n, answers, ended)) for n in range(_CALLERS)]
        told.step("write until the log begins later")
        while (await operator.status(there[0])).groups[0].first < 2:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)
        told.step("load without the node that is away")
        answers.window()
        await asyncio.sleep(seconds)
        before = answers.window()
        told.step("feed the node that was away")
        goal = (await operator.status(there[0])).groups[0].committed
        began = time.monotonic()
        nodes.restart(away)
        await _until_applied(operator, away, goal)
        took = time.monotonic() - began
        during = answers.window()
        ended.set()
        await asyncio.gather(*callers)
    await target.close()
    return {
        "seconds": took,
        "put_per_second_before": before[0],
        "put_per_second_during": during[0],
        "longest_wait_before_ms": before[1],
        "longest_wait_during_ms": during[1],
    }


async def _until_applied(operator: Operator, address: str, goal: int) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(Unreachable):
            groups = (await operator.status(address)).groups
            if groups and groups[0].applied >= goal:
                if groups[0].first <= 1:
                    raise ChildFailed(f"the node at {address} was given the whole log, not a snapshot")
                return
        await asyncio.sleep(0.05)
    raise ChildFailed(f"the node at {address} did not catch up")


async def _ask_on(target: ClientLoad, keys: int, number: int, answers: Answers, ended: asyncio.Event) -> None:
    while not ended.is_set():
        asked = time.perf_counter()
        await target.put(key(number * 7919 % keys), VALUE)
        answers.answered(asked)
        number += _CALLERS


# -- showing it


def tables(large: Large) -> Iterator[Table]:
    """For people."""
    if (log := large.log) is not None:
        table = _table(f"a log of {log.entries:,} small entries, {log.keys:,} keys", *_AIMED)
        keep = Retention()
        table.add_row("written in", f"{log.writing_seconds:,.0f} s", "")
        table.add_row("restart until it serves", f"{log.restart_seconds:.1f} s", "10 s")
        table.add_row("processor time of that", f"{log.restart_cpu_seconds:.1f} s", "")
        table.add_row("peak resident memory", f"{log.peak_rss_mib:,.0f} MiB", "286 MiB (300 MB)")
        table.add_row("disk, at most", f"{log.disk_at_most_mib:,.0f} MiB", "")
        table.add_row("disk, in the end", f"{log.disk_mib:,.0f} MiB", "")
        behind = log.applied - log.snapshot
        table.add_row("entries behind the snapshot", f"{behind:,}", f"{keep.entries:,} and those under way")
        yield table
    for taken in large.snapshots:
        table = _table(
            f"snapshots by {taken.by}, {taken.keys:,} keys: gaps between apply batches, ms",
            *_AIMED,
            "p50",
            "p99",
            "own",
            "gc",
            "sync",
            "others",
        )
        for pause in taken.pauses:
            cells = (
                f"{pause.p50:.1f}",
                f"{pause.p99:.1f}",
                f"{pause.most_used:.1f}",
                f"{pause.longest_collection:.1f}",
                f"{pause.longest_sync:.1f}",
            )
            table.add_row(pause.what, f"{pause.longest:.1f}", "50", *cells, f"{pause.others:.0%}")
        took = ", ".join(f"{each:.1f} s" for each in taken.seconds)
        table.caption = f"{taken.bytes / _MIB:,.0f} MiB each; they took {took}"
        yield table
    if (fed := large.feeding) is not None:
        title = f"feeding a node {fed.keys:,} keys ({fed.bytes / _MIB:,.0f} MiB) under load"
        table = _table(title, "before", "during")
        table.add_row("until it has caught up", "", f"{fed.seconds:.1f} s")
        rates = f"{fed.put_per_second_before:,.0f}", f"{fed.put_per_second_during:,.0f}"
        table.add_row("writes per second", *rates)
        waits = f"{fed.longest_wait_before_ms:,.0f} ms", f"{fed.longest_wait_during_ms:,.0f} ms"
        table.add_row("longest wait for an answer", *waits)
        yield table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", type=click.Choice(PARTS), multiple=True)
@click.option("--entries", type=click.IntRange(1000), default=10_000_000, show_default=True)
@click.option("--keys", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option("--log-keys", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.2), default=5.0, show_default=True)
@click.option(
    "--dir",
    "place",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=pathlib.Path),
    default="/var/tmp",
    show_default=True,
    help="A directory on the disk to measure; what is made in it is removed.",
)
@click.option("--json", "wants_json", is_flag=True, help="One JSON document instead of tables.")
@click.option("--as-load", hidden=True)
def main(
    *,
    only: tuple[str, ...],
    entries: int,
    keys: int,
    log_keys: int,
    rounds: int,
    seconds: float,
    place: pathlib.Path,
    wants_json: bool,
    as_load: str | None,
) -> None:
    """A log of ten million entries, snapshots of a million keys, and a node that is fed one; with their aims."""
    if as_load is not None:
        asyncio.run(load(as_load, keys))
        return
    chosen = only or PARTS
    with tempfile.TemporaryDirectory(prefix="raftlog-large-", dir=place) as made, Told() as told:
        home = pathlib.Path(made)
        told.step("the machine")
        try:
            large = Large(
                machine=look(home),
                log=long_log(home, entries, log_keys, told) if "log" in chosen else None,
                snapshots=tuple(
                    snapshots(home, by, keys, seconds, rounds, told) for by in chosen if by in WAYS
                ),
                feeding=feeding(home, keys, seconds, told) if "feeding" in chosen else None,
            )
        except ChildFailed as failure:
            raise click.ClickException(str(failure)) from failure
    if wants_json:
        click.echo(msgspec.json.format(msgspec.json.encode(large), indent=2).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else 110)
    for table in tables(large):
        console.print(table)


if __name__ == "__main__":
    main()
