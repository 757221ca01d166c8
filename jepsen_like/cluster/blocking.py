"""A cluster of real processes for a test that has no event loop: every method waits until it is done.

A thread has the loop in which processes are watched and ways between them are cut. So the cluster is the same to a
plain `def test_...`, to a thread, and to an `async def` test, whose own loop must not wait: there,
`await asyncio.to_thread(raft_cluster.kill, "leader")`.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeAlias, TypeVar

from jepsen_like.cluster.cluster import PATIENCE, Cluster
from jepsen_like.cluster.host import Host
from jepsen_like.cluster.truth import disagreements, log_of
from jepsen_like.sim.faults import LEADER
from jepsen_like.sim.links import between
from raftlog import BlockingClient, StateMachine
from raftlog.clock import SystemClock

T = TypeVar("T")
Side: TypeAlias = str | Sequence[str]
"""One node or several, by name; `leader` is whoever leads at that moment."""


class NotEqual(AssertionError):
    """The logs of two nodes differ in what was decided; the text says where, and what the nodes wrote."""


class RaftCluster:
    """Real nodes, `n1`, `n2` and so on, each a process of this machine with its own directory. Made by `raft_cluster`.

    Wherever a node is named, `leader` stands for whoever leads then. Node processes go with the one that made them.
    """

    def __init__(self, cluster: Cluster, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        """`cluster` was entered in `loop`, which runs in another thread."""
        self._cluster = cluster
        self._loop = loop
        self.directory = directory
        """Where each node has its directory (`n1`) and its log for people (`n1.log`)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all nodes."""
        return self._cluster.names

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients reach them, running or not: `async with raftlog.Client(raft_cluster.addresses)`."""
        return self._cluster.addresses

    def client(self, **options: Any) -> BlockingClient:
        """A client of all nodes, for a `with`; options as of `raftlog.BlockingClient`."""
        return BlockingClient(self.addresses, **options)

    def leader(self) -> str:
        """Who leads; waits until somebody does. A leader that was cut off counts until another is elected.

        Raises:
            HostFailed: nobody does within half a minute.
        """
        return self._done(self._leader())

    # -- faults

    def kill(self, *nodes: str) -> tuple[str, ...]:
        """SIGKILL these at one moment, or all: who they were. They stay down until `start` or `heal`.

        On volatile disks (`disk="volatile"`) what was not synced is lost, as in a loss of power.
        """
        return self._done(self._each(nodes, Host.kill))

    def stop(self, *nodes: str) -> tuple[str, ...]:
        """SIGTERM: these, or all, end in good order, one after the other."""
        return self._done(self._each(nodes, Host.stop, together=False))

    def start(self, *nodes: str) -> tuple[str, ...]:
        """Start the processes of these, or of all that are down; returns before they answer."""
        return self._done(self._each(nodes, Host.start))

    def pause(self, *nodes: str) -> tuple[str, ...]:
        """SIGSTOP: these, or all, stand still until `resume` or `heal`."""
        return self._done(self._each(nodes, _paused))

    def resume(self, *nodes: str) -> tuple[str, ...]:
        """SIGCONT."""
        return self._done(self._each(nodes, _resumed))

    def partition(self, *sides: Side) -> tuple[tuple[str, ...], ...]:
        """Nothing passes between different sides until `heal`, in either direction; who they were.

        `partition("leader")` cuts one off from all others, `partition(["n1"], ["n2", "n3"])` names the sides; a node
        that is on none of several reaches everyone. Clients reach every node all the time.
        """
        return self._done(self._partition(sides))

    def heal(self) -> None:
        """All ways are open, all nodes run, and all of them know one leader; strangers (wiped nodes) excepted.

        Raises:
            HostFailed: not within half a minute.
        """
        self._done(self._heal())

    # -- verdict

    def check(self) -> None:
        """Heal, wait until all nodes are in the same state, end them, and compare their logs on disk.

        A test's last line: nothing runs afterwards, and `heal` starts it again.

        Raises:
            HostFailed: they did not come to the same state within half a minute.
            NotEqual: two logs hold different entries at one place.
        """
        found = self._done(self._check())
        if found:
            raise NotEqual("\n".join((*found, f"the logs are in {self.directory}", self.last_words())))

    def last_words(self) -> str:
        """The end of what each node wrote to its log for people."""
        hosts = self._cluster.hosts.values()
        return "\n".join(f"--- {host.name} ({host.log})\n{host.last_words()}" for host in hosts)

    # -- in the loop

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _leader(self) -> str:
        await self._cluster.until("somebody leads", self._led)
        leader = await self._cluster.leader()
        return leader if leader is not None else await self._leader()

    async def _led(self) -> bool:
        return await self._cluster.leader() is not None

    async def _named(self, nodes: Iterable[str]) -> tuple[str, ...]:
        """Names for names and for `leader`, each once.

        Raises:
            ValueError: there is no such node.
        """
        found = [await self._leader() if node == LEADER else node for node in nodes]
        for node in found:
            if node not in self.names:
                raise ValueError(f"there is no node {node!r}, only {', '.join(self.names)} and {LEADER!r}")
        return tuple(dict.fromkeys(found))

    async def _each(self, nodes: Sequence[str], do: Any, *, together: bool = True) -> tuple[str, ...]:
        named = await self._named(nodes) or self.names
        hosts = [self._cluster.hosts[name] for name in named]
        if together:
            await asyncio.gather(*(do(host) for host in hosts))
        else:
            for host in hosts:
                await do(host)
        return named

    async def _partition(self, sides: Sequence[Side]) -> tuple[tuple[str, ...], ...]:
        found = [await self._named([side] if isinstance(side, str) else side) for side in sides]
        if len(found) == 1:
            found.append(tuple(name for name in self.names if name not in found[0]))
        twice = [name for name in self.names if sum(name in side for side in found) > 1]
        if twice or not all(found):
            raise ValueError(f"the sides {found} must have somebody each, and nobody in common")
        self._cluster.network.cut(list(between([list(side) for side in found])))
        return tuple(found)

    async def _heal(self) -> None:
        self._cluster.network.heal()
        await self._each((), _resumed)
        await self._each((), Host.start)
        await self._cluster.until("all nodes know one leader", self._well)

    async def _well(self) -> bool:
        members = [host.name for host in self._cluster.hosts.values() if not host.stranger]
        statuses = await self._cluster.statuses()
        leaders = {
            group.leader
            for name in members
            if name in statuses
            for group in statuses[name].groups
            if group.group == 0
        }
        return all(name in statuses for name in members) and len(leaders) == 1 and None not in leaders

    async def _check(self) -> Sequence[str]:
        await self._heal()
        applied = await self._cluster.settled()
        members = [host for host in self._cluster.hosts.values() if not host.stranger]
        logs = {host.name: await log_of(host.directory) for host in members}
        return list(disagreements(logs, applied))


async def _paused(host: Host) -> None:
    host.pause()


async def _resumed(host: Host) -> None:
    host.resume()


@contextmanager
def raft_cluster(
    directory: Path,
    *,
    machine: type[StateMachine] | str = "statemachines.kv:KeyValue",
    nodes: int = 3,
    disk: Literal["local", "volatile"] = "local",
    seed: int | None = None,
) -> Iterator[RaftCluster]:
    """Start nodes and make them a cluster; when the block is left, none of them runs.

    Args:
        directory: of this cluster alone; what the nodes wrote stays there.
        machine: what they run: a class that another process can import, or `module:Class`.
        nodes: how many, from one on.
        disk: `volatile`: a node that is killed loses what it had not synced.
        seed: of what the network does by chance.

    Raises:
        HostFailed: they did not become a cluster within half a minute; says what they wrote.
    """
    seed = SystemClock().entropy() if seed is None else seed
    with _loop() as loop:
        cluster = Cluster(
            directory,
            machine if isinstance(machine, str) else f"{machine.__module__}:{machine.__qualname__}",
            random=Random(seed),
            nodes=nodes,
            disk=disk,
            environment=_environment(),
        )
        _wait(loop, cluster.__aenter__())
        try:
            yield RaftCluster(cluster, directory, loop)
        finally:
            _wait(loop, cluster.__aexit__(None, None, None))


def _wait(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, object]) -> None:
    asyncio.run_coroutine_threadsafe(work, loop).result()


def _environment() -> dict[str, str]:
    """Where this process finds modules, a test's own included, the nodes find them too."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=partial(_live, loop), name="raft cluster", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)


def _live(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
