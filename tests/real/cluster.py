"""Three real processes under a test's hands: started, killed, paused, asked; never left behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from raftlog.admin import Operator
from raftlog.bootstrap import ask_all, carry_out, plan
from raftlog.clock import SystemClock
from raftlog.core.ids import ClusterId

ROOT: Final = Path(__file__).resolve().parents[2]
NAMES: Final = ("n1", "n2", "n3")
PATIENCE: Final = 30.0
"""Seconds within which anything that a healthy cluster does is done, on a slow machine under load."""


class NodeEnded(AssertionError):
    """A process that should run has ended by itself; the text has its last words."""


@dataclass
class Process:
    """One node: where it lives, and its process while there is one."""

    name: str
    directory: Path
    address: str
    running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.running is not None, f"{self.name} does not run"
        return self.running.pid

    def bury(self) -> None:
        """Wait for the end of a process that was killed."""
        assert self.running is not None, f"{self.name} does not run"
        with self.running:  # closes the pipe and waits
            self.running = None

    def rss(self) -> int:
        """Resident memory, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"{self.name} has no memory: it is dead")


class Cluster:
    """Three nodes on loopback, made into one cluster once."""

    def __init__(self, directory: Path, disk: str, failpoints: str) -> None:
        self._disk = disk
        self._failpoints = failpoints
        self.nodes = {
            name: Process(name, directory / name, f"127.0.0.1:{port}")
            for name, port in zip(NAMES, free_ports(len(NAMES)), strict=True)
        }
        self.operator = Operator()
        self._ids: dict[str, int] = {}

    @property
    def addresses(self) -> list[str]:
        """Of all nodes, running or not."""
        return [node.address for node in self.nodes.values()]

    def start(self, *names: str) -> None:
        """Start these processes, or all that do not run."""
        for name in names or [name for name, node in self.nodes.items() if node.running is None]:
            node = self.nodes[name]
            assert node.running is None, f"{name} runs already"
            command = [
                sys.executable,
                "-m",
                "tests.real.serve",
                str(node.directory),
                node.address,
                self._disk,
                self._failpoints,
            ]
            with (node.directory.parent / f"{name}.log").open("ab") as log:
                node.running = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=log)

    def kill(self, *names: str) -> None:
        """SIGKILL these, or all that run, at one moment; returns when they are gone."""
        doomed = [self.nodes[name] for name in names or self.nodes if self.nodes[name].running is not None]
        for node in doomed:
            os.kill(node.pid, signal.SIGKILL)
        for node in doomed:
            node.bury()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one process."""
        os.kill(self.nodes[name].pid, number)

    @contextmanager
    def paused(self, *names: str) -> Iterator[None]:
        """SIGSTOP for the length of the block."""
        for name in names:
            self.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                self.signal(name, signal.SIGCONT)

    def log_of(self, name: str) -> str:
        """What the node has written to standard error, its last lines."""
        return self.whole_log_of(name)[-3000:]

    def whole_log_of(self, name: str) -> str:
        """All that it has written there."""
        path = self.nodes[name].directory.parent / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def initialise(self) -> None:
        """Wait for three waiting nodes and make them a cluster."""
        await self.until("three nodes that answer", self._all_answer)
        answers = await ask_all(self.operator, self.addresses)
        await carry_out(plan(answers, ClusterId(SystemClock().entropy())), self.operator)

    async def leader(self, *, above: int = -1, among: tuple[str, ...] = NAMES) -> tuple[str, int]:
        """Who leads, and in which term, once a majority of the asked agrees on a leader above a term."""
        found: list[tuple[str, int]] = []

        async def agreed() -> bool:
            statuses = await self.groups(*among)
            for name, group in statuses.items():
                node_id = self._ids.get(name)
                followers = [g for g in statuses.values() if g.leader == node_id and g.term == group.term]
                if group.role == "leader" and group.term > above and len(followers) >= 2:
                    found.append((name, group.term))
                    return True
            return False

        await self.until("a leader that a majority follows", agreed)
        return found[0]

    async def groups(self, *names: str) -> dict[str, "Group"]:
        """What the nodes that answer say of group 0."""
        chosen = {self.nodes[name].address: name for name in names or NAMES}
        answers = await self.operator.statuses(chosen, timeout=1.0)
        found: dict[str, Group] = {}
        for address, answer in answers.items():
            if isinstance(answer, Exception) or not answer.groups:
                continue
            self._ids[chosen[address]] = answer.node_id
            of = answer.groups[0]
            found[chosen[address]] = Group(of.role, of.term, of.leader, of.committed, of.applied, of.digest)
        return found

    async def impairments(self, name: str) -> tuple[str, ...]:
        """What a node says is wrong with it; nothing where it does not answer."""
        address = self.nodes[name].address
        answer = (await self.operator.statuses([address], timeout=1.0))[address]
        return () if isinstance(answer, Exception) else tuple(answer.impairments)

    async def says(self, name: str, text: str) -> None:
        """Wait until a node says that this is wrong with it."""

        async def said() -> bool:
            return any(text in each for each in await self.impairments(name))

        await self.until(f"{name} to say {text!r}", said)

    async def says_nothing(self, *names: str) -> None:
        """Wait until nothing is wrong with these nodes, as far as they know."""

        async def silent() -> bool:
            return not any([await self.impairments(name) for name in names])

        await self.until(f"nothing to be wrong with {', '.join(names)}", silent)

    async def ends(self, name: str) -> int:
        """Wait until a process ends by itself; its exit code."""
        running = self.nodes[name].running
        assert running is not None, f"{name} does not run"
        code = await asyncio.to_thread(running.wait, PATIENCE)
        self.nodes[name].bury()
        return code

    async def caught_up(self) -> None:
        """Wait until all three have applied the same, and are in the same state."""

        async def equal() -> bool:
            groups = list((await self.groups()).values())
            return len(groups) == 3 and len({(g.applied, g.digest) for g in groups}) == 1

        await self.until("three nodes in the same state", equal)

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], within: float = PATIENCE) -> None:
        """Poll until a condition holds; says what did not, and what the nodes wrote."""
        try:
            async with asyncio.timeout(within):
                while not await holds():
                    self._check_alive()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            logs = "\n".join(f"--- {name}\n{self.log_of(name)}" for name in self.nodes)
            raise AssertionError(f"waited {within} s in vain for {what}\n{logs}") from None

    def _check_alive(self) -> None:
        for name, node in self.nodes.items():
            if node.running is not None and node.running.poll() is not None:
                raise NodeEnded(f"{name} ended with {node.running.returncode}: {self.log_of(name)[-600:]}")

    async def _all_answer(self) -> bool:
        answers = await self.operator.statuses(self.addresses, timeout=1.0)
        return not any(isinstance(answer, Exception) for answer in answers.values())


@dataclass(frozen=True)
class Group:
    """What a node says of group 0."""

    role: str
    term: int
    leader: int
    committed: int
    applied: int
    digest: int


@asynccontextmanager
async def cluster(directory: Path, disk: str = "local", failpoints: str = "") -> AsyncIterator[Cluster]:
    """Three initialised nodes with a leader; killed at the end, whatever happens. SIGUSR1 arms failpoints."""
    made = Cluster(directory, disk, failpoints)
    async with made.operator:
        try:
            made.start()
            await made.initialise()
            await made.leader()
            yield made
        finally:
            made.kill()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def seeded(request_seed: int | None = None) -> Random:
    """The generator of a test; prints its seed, which RAFTLOG_SEED repeats."""
    seed = int(
        os.environ.get("RAFTLOG_SEED", request_seed if request_seed is not None else SystemClock().entropy())
    )
    sys.stdout.write(f"RAFTLOG_SEED={seed}\n")
    return Random(seed)
