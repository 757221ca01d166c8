"""A node whose apply batches are watched, and the writer of a long log: the processes that `bench.large` starts.

`python -m bench.large_node watched DIRECTORY ADDRESS WAY` is a cluster of one, served as `raftlog serve` serves, that
obeys lines: `fill KEYS`, `window` (the gaps between two apply batches since the last one), `snapshot`, each answered by
a line of JSON. `python -m bench.large_node written DIRECTORY ENTRIES KEYS` writes a log and ends.
"""

import asyncio
import gc
import json
import os
import pathlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from bench.processes import run_quickly
from raftlog.clock import SystemClock
from raftlog.core.entry import Command, Entry
from raftlog.core.ids import META_GROUP, Boot, ClusterId, Micros, NodeId
from raftlog.core.membership import Member, Membership
from raftlog.core.settings import Settings
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind, Result
from raftlog.node import Limits, Node
from raftlog.node.applying import Applying
from raftlog.node.collecting import Collector
from raftlog.node.retention import Retention
from raftlog.replay import Processes
from raftlog.server import Address, ServeOptions, Server
from raftlog.storage import LocalDisk, Wal, keep_machine, load_or_create
from raftlog.transport.port import Inbox, Lane
from statemachines.kv import KeyValue

VALUE: Final = bytes(range(64))
BATCH: Final = 512
"""Commands, or entries, that are submitted together."""
_UNDER_WAY: Final = 4
NEVER: Final = Retention(entries=1 << 40, bytes=1 << 50, age=1 << 50)


def key(number: int) -> str:
    """The keys of both measures."""
    return f"key-{number:07d}"


class Gaps:
    """The time from the end of one apply batch to the end of the next, for as long as there is load."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._gaps: list[float] = []
        self._collections: list[float] = []
        self._began = 0.0
        self._used = self._most_used = 0.0
        step = Applying.step

        def watched(applying: Applying, deadline: Micros, commands_of: Callable[[Entry], Any]) -> Any:
            done = step(applying, deadline, commands_of)
            if done is not None:
                self._ended(time.perf_counter())
            return done

        Applying.step = watched  # type: ignore[assignment] # where else could it be seen from outside
        gc.callbacks.append(self._collects)
        self._syncs: list[float] = []
        sync = LocalDisk.write_and_sync

        async def timed(disk: LocalDisk, name: str, offset: int, pieces: Sequence[bytes]) -> None:
            began = time.perf_counter()
            await sync(disk, name, offset, pieces)
            self._syncs.append(time.perf_counter() - began)

        LocalDisk.write_and_sync = timed  # type: ignore[assignment] # as above

    def window(self) -> dict[str, float]:
        """What the gaps were since the last time, in milliseconds."""
        gaps, self._gaps = sorted(self._gaps) or [0.0], []
        collections, self._collections = self._collections or [0.0], []
        most_used, self._most_used = self._most_used, 0.0
        syncs, self._syncs = self._syncs or [0.0], []
        self._last = None
        return {
            "batches": len(gaps),
            "p50": gaps[len(gaps) // 2] * 1e3,
            "p99": gaps[len(gaps) * 99 // 100] * 1e3,
            "longest": gaps[-1] * 1e3,
            "longest_collection": max(collections) * 1e3,
            "longest_sync": max(syncs) * 1e3,
            "most_used": most_used * 1e3,
        }

    def _ended(self, now: float) -> None:
        used = time.thread_time()
        if self._last is not None:
            self._gaps.append(now - self._last)
            self._most_used = max(self._most_used, used - self._used)
        self._last, self._used = now, used

    def _collects(self, phase: str, what: Mapping[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
        else:
            self._collections.append(now - self._began)


def closure() -> type[KeyValue]:
    """The same machine, such as no other process can import."""

    class Local(KeyValue):
        name = KeyValue.name

    return Local


async def watched(directory: pathlib.Path, address: str, by: str) -> None:
    """Serve until standard input ends, and do what its lines say; snapshots by `replay` or by `capture`."""
    gaps = Gaps()
    machine = KeyValue if by == "replay" else closure()
    options = ServeOptions(
        data_dir=directory, listen=Address.parse(address), machine=machine, retention=NEVER
    )
    async with Server(options) as server, Collector():
        member = Member(server.node_id, "n1", address, address)
        await server.initialise(ClusterId(1), Membership(voters=(server.node_id,), members=(member,)))
        node = server.node
        assert node is not None, "it was just initialised"
        await _leads(node)
        say({"pid": os.getpid()})
        async for words in _lines():
            match words:
                case ["fill", count]:
                    await fill(node, int(count))
                    say({})
                case ["window"]:
                    say(gaps.window())
                case ["snapshot"]:
                    say(await snapshot(node))
                case _:
                    raise ValueError(f"what is {words}?")


async def _leads(node: Node) -> None:
    while node.status().role != "leader" or node.applied(META_GROUP) == 0:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)


def say(answer: object) -> None:
    """One line of JSON."""
    print("says", json.dumps(answer), flush=True)


async def _lines() -> AsyncIterator[list[str]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode().split()


async def snapshot(node: Node) -> dict[str, float]:
    """Take one and wait until it is durable."""
    began, covers = time.perf_counter(), node.applied(META_GROUP)
    node.snapshot_soon(META_GROUP, covers)
    while (newest := node.newest_snapshot(META_GROUP)) is None or newest.meta.last.index < covers:
        await asyncio.sleep(0.02)
        making = node.snapshot_soon(META_GROUP, covers)
        assert making.failures == 0, making.trouble
    return {"seconds": time.perf_counter() - began, "bytes": newest.size}


async def fill(node: Node, keys: int) -> None:
    """Write each key once, many commands to an entry."""
    await submit_all(node, (_put(number) for number in range(keys)))


def _put(number: int) -> Command:
    return Command(0, 0, 0, 1, 1, encode_call(KeyValue.put, key(number), VALUE))


async def submit_all(
    node: Node, commands: Iterator[Command], told: Callable[[int], None] = lambda done: None
) -> None:
    """Submit in batches, a few of them under way."""
    free = asyncio.Semaphore(_UNDER_WAY)
    done = 0
    while batch := [command for command, _ in zip(commands, range(BATCH), strict=False)]:
        await free.acquire()
        node.submit(META_GROUP, batch, partial(_answered, free))
        done += len(batch)
        told(done)
    for _ in range(_UNDER_WAY):
        await free.acquire()


def _answered(free: asyncio.Semaphore, results: Sequence[Result]) -> None:
    assert all(result.kind is Kind.OK for result in results), results[0]
    free.release()


class Nobody:
    """The transport of a node that is alone."""

    def bind(self, inbox: Inbox) -> None:
        """See `Transport.bind`."""

    def connect(self, peers: Mapping[NodeId, str]) -> None:
        """See `Transport.connect`."""

    def send(self, peer: NodeId, lane: Lane, frame: bytes) -> bool:
        """See `Transport.send`."""
        return False

    async def close(self) -> None:
        """See `Transport.close`."""


@asynccontextmanager
async def _alone(directory: pathlib.Path, address: str) -> AsyncIterator[Node]:
    """A real node on a real disk, whose entries hold one command each."""
    clock, disk = SystemClock(), LocalDisk(directory)
    identity = await load_or_create(disk, clock)
    member = Member(identity.node, "n1", address, address)
    identity = await Wal.bootstrap(
        disk,
        identity=identity,
        cluster_id=ClusterId(1),
        groups={META_GROUP: Membership(voters=(identity.node,), members=(member,))},
    )
    identity = await keep_machine(disk, identity, KeyValue.name)
    node = Node(
        identity=identity,
        boot=Boot(clock.entropy()),
        wal=await Wal.open(disk, identity=identity),
        transport=Nobody(),
        clock=clock,
        machines={META_GROUP: KeyValue},
        settings=Settings(
            election_timeout=30_000_000
        ),  # whatever else the machine does, this one goes on leading
        limits=Limits(entry_target=1),
        replays=Processes(directory, entropy=clock.entropy),
        on_event=lambda text, fields: print(f"{time.monotonic():.1f} {text} {fields}", file=sys.stderr),
    )
    async with node, Collector():
        await _leads(node)
        yield node
    await disk.close()


async def written(directory: pathlib.Path, address: str, entries: int, keys: int) -> None:
    """Write so many entries of one small command each, with the retention that a node comes with."""
    async with _alone(directory, address) as node:
        commands = (
            Command(0, 0, 0, 1, 1, encode_call(KeyValue.put, key(number * 7919 % keys), VALUE[:16]))
            for number in range(entries)
        )
        largest, step = 0, max(BATCH, entries // 100)

        def told(done: int) -> None:
            nonlocal largest
            if done % step < BATCH:
                largest = max(largest, disk_use(directory))
                say({"entries": done, "disk": largest, "log": node.wal.size})

        await submit_all(node, commands, told)
        say({"done": True, "disk": largest})


def disk_use(directory: pathlib.Path) -> int:
    """Bytes of all files of a node."""
    return sum(size_of(file) for file in directory.iterdir())


def size_of(file: pathlib.Path) -> int:
    """Bytes; 0 for a file that has just gone."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["watched", home, where, by]:
            run_quickly(watched(pathlib.Path(home), where, by))
        case ["written", home, where, entries, keys]:
            run_quickly(written(pathlib.Path(home), where, int(entries), int(keys)))
        case other:
            sys.exit(f"what is {other}?")
