"""A cluster of real processes on this machine, initialised once, behind a network that can be spoiled."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import msgspec

from jepsen_like.cluster.host import Host, HostFailed
from jepsen_like.cluster.network import Network
from jepsen_like.cluster.orders import Setting
from raftlog.admin import Operator, StatusReply
from raftlog.bootstrap import ask_all, carry_out, plan
from raftlog.clock import SystemClock
from raftlog.cluster import free_ports
from raftlog.core.ids import ClusterId, Index

PATIENCE = 30.0
"""Seconds within which anything that a healthy cluster does is done, on a slow machine under load."""
_POLL = 0.05


class Cluster:
    """Entered with `async with`: the processes run, are one cluster and have a leader; left, none of them is there.

    Hosts are named `n1`, `n2` and so on. Whoever does something to a host goes through `hosts[name]`, to the network
    between them through `network`.
    """

    def __init__(
        self,
        directory: Path,
        machine: str,
        *,
        random: Random,
        nodes: int = 3,
        disk: str = "local",
        environment: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        """`environment` is that of the processes, this one's by default; `more`: other fields of `Setting`, for all."""
        names = [f"n{number}" for number in range(1, nodes + 1)]
        addresses = [f"127.0.0.1:{port}" for port in free_ports(nodes)]
        self.network = Network(dict(zip(names, addresses, strict=True)), random)
        self.hosts: Mapping[str, Host] = {
            name: Host(
                msgspec.convert(
                    {
                        "directory": str(directory / name),
                        "name": name,
                        "listen": address,
                        "machine": machine,
                        "disk": disk,
                        **more,
                    },
                    Setting,
                ),
                environment=environment,
            )
            for name, address in zip(names, addresses, strict=True)
        }
        self.operator = Operator()
        self._stack = AsyncExitStack()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all hosts."""
        return tuple(self.hosts)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients reach them, running or not."""
        return tuple(host.address for host in self.hosts.values())

    # -- life

    async def __aenter__(self) -> "Cluster":
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.operator)
            await stack.enter_async_context(self.network)
            stack.push_async_callback(self._end)
            for host in self.hosts.values():
                host.setting = msgspec.structs.replace(host.setting, routes=self.network.routes(host.name))
            await asyncio.gather(*(host.start() for host in self.hosts.values()))
            await self.until("all nodes answer", self._all_answer)
            answers = await ask_all(self.operator, self.addresses)
            await carry_out(plan(answers, ClusterId(SystemClock().entropy())), self.operator)
            await self.until("a leader is known", self._has_leader)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _end(self) -> None:
        await asyncio.gather(*(host.kill() for host in self.hosts.values()))

    async def stop(self) -> None:
        """End all processes in good order, one after the other; what they wrote stays."""
        for host in self.hosts.values():
            await host.stop()

    # -- what there is

    async def statuses(self) -> dict[str, StatusReply]:
        """By host, of those that answer within a second."""
        asked = {host.address: host.name for host in self.hosts.values() if host.runs and not host.paused}
        answers = await self.operator.statuses(asked, timeout=1.0)
        return {
            asked[address]: answer for address, answer in answers.items() if isinstance(answer, StatusReply)
        }

    async def leader(self) -> str | None:
        """Who leads group 0 in the highest term that anyone knows of; None while nobody does."""
        leading = [
            (group.term, name)
            for name, status in (await self.statuses()).items()
            for group in status.groups
            if group.group == 0 and group.role == "leader"
        ]
        return max(leading)[1] if leading else None

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], within: float = PATIENCE) -> None:
        """Poll until a condition holds.

        Raises:
            HostFailed: it did not within the time; says what the nodes wrote last.
        """
        try:
            async with asyncio.timeout(within):
                while not await holds():  # noqa: ASYNC110 - other processes tell nobody
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            words = "\n".join(f"--- {host.name}\n{host.last_words()}" for host in self.hosts.values())
            raise HostFailed(f"waited {within:g} s in vain until {what}\n{words}") from None

    async def caught_up(self) -> None:
        """Wait until all hosts that are no strangers have applied the same and are in the same state."""
        members = [host.name for host in self.hosts.values() if not host.stranger]

        async def equal() -> bool:
            statuses = await self.statuses()
            found = [statuses[name].groups for name in members if name in statuses]
            places = {(group.applied, group.digest) for groups in found for group in groups[:1]}
            return len(found) == len(members) and len(places) == 1

        await self.until("all nodes are in the same state", equal)

    async def settled(self) -> Index:
        """Wait until all are in the same state, end them in good order; how far the log went that their disks hold."""
        await self.caught_up()
        statuses = await self.statuses()
        await self.stop()
        return min(Index(status.groups[0].applied) for status in statuses.values() if status.groups)

    async def _all_answer(self) -> bool:
        return len(await self.statuses()) == len(self.hosts)

    async def _has_leader(self) -> bool:
        return await self.leader() is not None
