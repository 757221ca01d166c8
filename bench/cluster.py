"""Three real nodes of raftlog as processes on loopback, initialised, with a leader, ready for load."""

import asyncio
import pathlib
import socket
import time
from collections.abc import Sequence
from typing import Self

from bench.processes import START_SECONDS, Child, ChildFailed, python
from raftlog.admin import Operator, Refused, Unreachable
from raftlog.bootstrap import ask_all, carry_out, plan
from raftlog.clock import SystemClock
from raftlog.core.ids import ClusterId

_LOOK_SECONDS = 0.05
NODES = ("n1", "n2", "n3")


class RaftlogNodes:
    """Three processes of `raftlog serve` with the settings they come with, as a context manager. Not for reuse."""

    name = "raftlog"

    def __init__(
        self, directory: pathlib.Path, profiles: pathlib.Path | None = None, flags: Sequence[str] = ()
    ) -> None:
        """`flags` are for `raftlog serve`."""
        self._directory = directory
        self._flags = flags
        self._names: dict[str, str] = {}
        self._profiles = profiles
        self._nodes: dict[str, Child] = {}
        """By address."""
        self.addresses: tuple[str, ...] = ()
        """Where clients connect, the leader first."""

    def __enter__(self) -> Self:
        try:
            for name, port in zip(NODES, free_ports(len(NODES)), strict=True):
                self._start(name, f"127.0.0.1:{port}")
            leader = asyncio.run(_made_one_cluster(tuple(self._nodes)))
        except (Unreachable, Refused) as failure:
            raise ChildFailed(f"the nodes did not become a cluster: {failure}") from failure
        except BaseException:
            self.kill()
            raise
        self.addresses = (leader, *(address for address in self._nodes if address != leader))
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by part in the cluster, the leader first."""
        parts = ("leader", "follower-1", "follower-2")
        return {part: self._nodes[address].pid for part, address in zip(parts, self.addresses, strict=True)}

    def stop(self) -> None:
        """End all three cleanly.

        Raises:
            ChildFailed: one of them came to a bad end.
        """
        for node in self._nodes.values():
            node.end()
        for node in self._nodes.values():
            if code := node.wait():
                raise ChildFailed(f"{node.name} ended with exit code {code}{node.last_words()}")

    def halt(self, address: str) -> None:
        """Kill one node."""
        self._nodes[address].kill()

    def restart(self, address: str) -> None:
        """Start a node that was killed."""
        self._start(self._names[address], address)

    def kill(self) -> None:
        """End what still runs."""
        for node in self._nodes.values():
            node.__exit__()

    def _start(self, name: str, address: str) -> None:
        home = self._directory / name
        profile = self._profiles / f"{self.name}-{name}.prof" if self._profiles else None
        arguments = ("serve", "--data-dir", str(home), "--listen", address, "--parent-fd", "0", *self._flags)
        command = python("raftlog", *arguments, profile=profile)
        self._names[address] = name
        self._nodes[address] = Child(name, command, self._directory / f"{name}.stderr")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens at now; somebody else could still take one before it is used."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


async def _made_one_cluster(addresses: tuple[str, ...]) -> str:
    """Initialise the nodes; the leader's address."""
    until = time.monotonic() + START_SECONDS
    async with Operator() as operator:
        for address in addresses:
            await _answering(operator, address, until)
        todo = plan(await ask_all(operator, addresses), ClusterId(SystemClock().entropy()))
        await carry_out(todo, operator)
        return await _leader(operator, addresses, until)


async def _answering(operator: Operator, address: str, until: float) -> None:
    while True:
        try:
            await operator.status(address)
            return
        except Unreachable:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(_LOOK_SECONDS)


async def _leader(operator: Operator, addresses: tuple[str, ...], until: float) -> str:
    while time.monotonic() < until:
        for address in addresses:
            status = await operator.status(address)
            if any(group.leader == status.node_id for group in status.groups):
                return address
        await asyncio.sleep(_LOOK_SECONDS)
    raise ChildFailed(f"the nodes elected no leader within {START_SECONDS:.0f} s")
