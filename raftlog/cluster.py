"""A cluster on this machine: a process per node on loopback, started, initialised once, watched, killed on purpose."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import msgspec

from raftlog.admin import Operator, StatusReply
from raftlog.bootstrap import ask_all, carry_out, plan
from raftlog.clock import SystemClock
from raftlog.core.ids import ClusterId

FILE = "cluster.json"
FORMAT = 1
LOCALHOST = "127.0.0.1"

_PORTS = range(21_000, 32_000)
"""Below Linux's ephemeral ports: a connection going out cannot take the port of a node that is down."""
_SENTENCE = "raftlog: "
"""How the command begins what it says to people."""
_POLL = 0.05
_LOOK_SECONDS = 1.0
_STARTED_SECONDS = 60.0
_STEADY_SECONDS = 10.0
_BACKOFFS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_STOP_SECONDS = 10.0


class ClusterFailed(Exception):
    """A node did not start, or the cluster did not come to serve; the sentence says which and where to look."""


class NodeEntry(msgspec.Struct, frozen=True):
    """One node in the cluster file."""

    name: str
    """Also its data directory, below the cluster's."""
    address: str


class ClusterFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cluster.json`: what later commands need to find the nodes."""

    version: int
    nodes: tuple[NodeEntry, ...]
    machine: str | None = None

    @classmethod
    def read(cls, directory: Path) -> "ClusterFile | None":
        """The file of a cluster's directory; None when there is none.

        Raises:
            ClusterFailed: it cannot be read.
        """
        path = directory / FILE
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ClusterFailed(f"{path} is no cluster file: {error}") from None
        if found.version != FORMAT:
            raise ClusterFailed(f"{path} is of version {found.version}, which this release does not know")
        return found

    @classmethod
    def make(cls, directory: Path, nodes: int | None, machine: str | None) -> "ClusterFile":
        """That of a new cluster, three nodes unless told otherwise, at free ports; not written yet.

        Raises:
            ClusterFailed: the directory, which is made when it is missing, is not empty or cannot be used.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if any(directory.iterdir()):
                raise ClusterFailed(f"{directory} is not empty and holds no {FILE}: take another directory")
        except OSError as error:
            raise ClusterFailed(f"{directory} cannot be used: {error.strerror}") from None
        ports = free_ports(3 if nodes is None else nodes)
        entries = (NodeEntry(f"n{n}", f"{LOCALHOST}:{port}") for n, port in enumerate(ports, 1))
        return cls(FORMAT, tuple(entries), machine)

    def write(self, directory: Path) -> None:
        """Put it in place, in one step. Raises ClusterFailed."""
        aside = directory / (FILE + ".new")
        try:
            aside.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
            aside.replace(directory / FILE)
        except OSError as error:
            raise ClusterFailed(f"{directory} cannot be used: {error.strerror}") from None


@dataclass(slots=True)
class _Child:
    """One node's process, and what is wanted of it."""

    entry: NodeEntry
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = False
    """Whether it should be running: false after `kill` and `stop`, so that nobody revives it."""
    started_at: float = 0.0
    failures: int = 0
    """Ends by itself in a row, each soon after its start."""

    @property
    def running(self) -> bool:
        """Whether there is a process, stopped ones included."""
        return self.process is not None and self.process.poll() is None


class LocalCluster:
    """Nodes as children of this process, entered with `async with`: started and initialised, and gone afterwards.

        async with LocalCluster(Path("demo")) as cluster:
            await cluster.until_serving()
            leader = await cluster.leader()
            cluster.kill(leader)

    The directory keeps everything: the data of each node (`n1`, ...), what it logged (`n1.log`), and `cluster.json`.
    The same directory starts the same cluster again. Children end when this process does, however it ends, stopped
    ones too: each holds a pipe from it (see `server.process`). A Ctrl-C on the terminal is for this process alone.

    Nodes are numbered from 0. Invariant: a child is revived only if `supervised`, after all have started once, and if
    it was not killed or stopped here. One that ends before is a reason to give up: its port or directory is not free.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int | None = None,
        machine: str | None = None,
        flags: Sequence[str] = (),
        supervised: bool = False,
        on_event: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Nothing is touched before the `async with`.

        Args:
            directory: made when it is missing.
            nodes: how many; None: as many as the directory has, or three. An existing directory keeps its number.
            machine: `module:Class`; None: what the directory was made with, or the key-value store.
            flags: more flags for every `raftlog serve`, such as `("--election-timeout", "300")`, or in tests
                `("--disk-factory", "module:callable")`, which opens the data directory in place of `LocalDisk`.
            supervised: start a node again when it ends by itself.
            on_event: told in words what happens to the processes.
        """
        self.directory = directory
        self._nodes = nodes
        self._machine = machine
        self._flags = tuple(flags)
        self._supervised = supervised
        self._on_event = on_event
        self._children: list[_Child] = []
        self._reviving = False
        self._operator = Operator()
        self._stack = AsyncExitStack()

    # -- life

    async def __aenter__(self) -> Self:
        described = self._describe()
        self._machine = described.machine
        self._children = [_Child(entry) for entry in described.nodes]
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end)
            await stack.enter_async_context(self._operator)
            for child in self._children:
                self._spawn(child)
            await self._initialise()
            if self._supervised:
                tasks = await stack.enter_async_context(asyncio.TaskGroup())
                stack.callback(tasks.create_task(self._supervise(), name="supervisor").cancel)
                self._reviving = True
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def _end(self) -> None:
        """Stop every child; a child that does not stop is killed."""
        for child in self._children:
            child.wanted = False
            self._send(child, signal.SIGCONT)
            self._send(child, signal.SIGTERM)
        ends = time.monotonic() + _STOP_SECONDS
        # Polled: no event tells that a process ended, short of a thread for each
        while any(child.running for child in self._children) and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
        for child in self._children:
            self._send(child, signal.SIGKILL)
            if child.process is not None:
                child.process.wait()
                self._close_pipe(child)

    # -- what there is

    def __len__(self) -> int:
        return len(self._children)

    @property
    def names(self) -> tuple[str, ...]:
        """`n1`, `n2`, ..."""
        return tuple(child.entry.name for child in self._children)

    @property
    def addresses(self) -> tuple[str, ...]:
        """`host:port` of every node, running or not."""
        return tuple(child.entry.address for child in self._children)

    @property
    def pids(self) -> tuple[int | None, ...]:
        """Process ids; None for a node that is not running."""
        return tuple(
            child.process.pid if child.process is not None and child.running else None
            for child in self._children
        )

    def log_of(self, node: int) -> Path:
        """What the node's processes wrote to standard error."""
        return self.directory / f"{self._children[node].entry.name}.log"

    async def statuses(self) -> tuple[StatusReply | None, ...]:
        """Every node's view of itself; None for one that does not answer within a second."""
        answers = await self._operator.statuses(self.addresses, timeout=_LOOK_SECONDS)
        return tuple(
            answer if isinstance(answer, StatusReply) else None
            for answer in (answers[address] for address in self.addresses)
        )

    async def leader(self) -> int | None:
        """The node that leads group 0 in the highest term anyone knows of; None while there is none."""
        leading = [
            (group.term, node)
            for node, status in enumerate(await self.statuses())
            if status is not None
            for group in status.groups
            if group.group == 0 and group.role == "leader"
        ]
        return max(leading)[1] if leading else None

    async def until_serving(
        self, nodes: Iterable[int] | None = None, *, seconds: float = _STARTED_SECONDS
    ) -> None:
        """Wait until the nodes (None: all that run) have replayed their logs and know a leader.

        Raises:
            ClusterFailed: one of them ended, or the time was over.
        """
        awaited = (
            [n for n, child in enumerate(self._children) if child.wanted] if nodes is None else list(nodes)
        )
        ends = time.monotonic() + seconds
        while True:
            statuses = await self.statuses()
            missing = [n for n in awaited if not (status := statuses[n]) or not status.serving]
            if not missing:
                return
            self._check_alive(missing)
            if time.monotonic() > ends:
                listed = ", ".join(self._children[node].entry.name for node in missing)
                raise ClusterFailed(
                    f"{listed} did not come to serve within {seconds:g} s; see {self.log_of(missing[0])}"
                )
            await asyncio.sleep(_POLL)

    # -- what is done to it

    def kill(self, node: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal. After any but SIGSTOP and SIGCONT the node stays down until `restart`."""
        child = self._children[node]
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            child.wanted = False
        self._send(child, number)

    async def gone(self, node: int) -> int:
        """Wait until the process has ended; its exit code, negative for a signal."""
        child = self._children[node]
        assert child.process is not None, f"{child.entry.name} was never started"
        while (code := child.process.poll()) is None:  # noqa: ASYNC110 - as in `_end`
            await asyncio.sleep(_POLL)
        return code

    async def restart(self, node: int) -> None:
        """Start a node that has ended, or is ending, and wait until it answers.

        Raises:
            ClusterFailed: it does not start.
        """
        await self.gone(node)
        self._spawn(self._children[node])
        await self._until_answering([node])

    async def _initialise(self) -> None:
        """Make the nodes a cluster unless they are one; a start that stopped half-way is completed."""
        await self._until_answering(range(len(self._children)))
        statuses = await ask_all(self._operator, self.addresses)
        todo = plan(statuses, ClusterId(SystemClock().entropy()))
        await carry_out(todo, self._operator)
        if todo.waiting:
            self._on_event(f"initialised cluster {todo.cluster:016x} of {len(todo.voters)} nodes")

    async def _until_answering(self, nodes: Iterable[int]) -> None:
        awaited = list(nodes)
        ends = time.monotonic() + _STARTED_SECONDS
        while True:
            statuses = await self.statuses()
            awaited = [
                node for node in awaited if not self._is_answer_of(statuses[node], self._children[node])
            ]
            if not awaited:
                return
            self._check_alive(awaited)
            if time.monotonic() > ends:
                raise ClusterFailed(
                    f"{self._children[awaited[0]].entry.name} does not answer; see {self.log_of(awaited[0])}"
                )
            await asyncio.sleep(_POLL)

    @staticmethod
    def _is_answer_of(status: StatusReply | None, child: _Child) -> bool:
        """A stranger's process may sit on the port."""
        return status is not None and child.process is not None and status.pid == child.process.pid

    def _check_alive(self, nodes: Iterable[int]) -> None:
        for node in nodes:
            child = self._children[node]
            if not child.running and not (self._reviving and child.wanted):
                raise ClusterFailed(f"{child.entry.name} ended: {self._last_words(node)}")

    def _last_words(self, node: int) -> str:
        with suppress(OSError):
            lines = self.log_of(node).read_text(errors="replace").splitlines()
            sentences = [line.removeprefix(_SENTENCE) for line in lines if line.startswith(_SENTENCE)]
            if sentences or lines:
                return (sentences or lines)[-1]
        return f"it left no word in {self.log_of(node)}"

    # -- processes

    def _describe(self) -> ClusterFile:
        """Read the cluster file, or write the first one."""
        known = ClusterFile.read(self.directory)
        if known is None:
            return self._found()
        if self._nodes not in (None, len(known.nodes)):
            raise ClusterFailed(
                f"{self.directory} holds a cluster of {len(known.nodes)} nodes, not {self._nodes}: "
                "take another directory"
            )
        if self._machine not in (None, known.machine):
            raise ClusterFailed(
                f"{self.directory} holds a cluster that runs {known.machine or 'the key-value store'}, not "
                f"{self._machine}: take another directory"
            )
        return known

    def _found(self) -> ClusterFile:
        new = ClusterFile.make(self.directory, self._nodes, self._machine)
        new.write(self.directory)
        return new

    def _spawn(self, child: _Child) -> None:
        entry = child.entry
        self._close_pipe(child)
        command = [sys.executable, "-m", "raftlog", "serve", "--name", entry.name, "--listen", entry.address]
        command += ["--data-dir", str(self.directory / entry.name), "--parent-fd", "0", *self._flags]
        if self._machine is not None:
            command += ["--machine", self._machine]
        with (self.directory / f"{entry.name}.log").open("ab") as log:
            child.process = subprocess.Popen(
                command, env=_environment(), stdin=subprocess.PIPE, stdout=log, stderr=log, process_group=0
            )
        child.wanted = True
        child.started_at = time.monotonic()

    @staticmethod
    def _send(child: _Child, number: signal.Signals) -> None:
        if child.process is not None:
            child.process.send_signal(number)  # does nothing once the process was waited for

    @staticmethod
    def _close_pipe(child: _Child) -> None:
        if child.process is not None and child.process.stdin is not None:
            child.process.stdin.close()

    async def _supervise(self) -> None:
        """Start what ended by itself again, later and later while it keeps ending."""
        due: dict[int, float] = {}
        while True:
            await asyncio.sleep(_POLL)
            now = time.monotonic()
            for node, child in enumerate(self._children):
                if child.running or not child.wanted:
                    due.pop(node, None)
                elif node not in due:
                    due[node] = now + self._note_end(node, now)
                elif now >= due[node]:
                    del due[node]
                    self._spawn(child)
                    self._on_event(f"{child.entry.name} runs again as process {self.pids[node]}")

    def _note_end(self, node: int, now: float) -> float:
        """Seconds to wait before the next start."""
        child = self._children[node]
        assert child.process is not None, "only what was started can end"
        child.failures = 0 if now - child.started_at > _STEADY_SECONDS else child.failures + 1
        wait = _BACKOFFS[min(child.failures, len(_BACKOFFS)) - 1 if child.failures else 0]
        code = child.process.returncode
        how = (
            f"was ended by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with {code}: {self._last_words(node)}"
        )
        self._on_event(f"{child.entry.name} {how}; starting it again in {wait:g} s")
        return wait


def _environment() -> dict[str, str]:
    """Ours; what we can import, such as the machine, the nodes can."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    random = Random(SystemClock().entropy())
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOCALHOST, port))
            if port not in found:
                found.append(port)
    return found
