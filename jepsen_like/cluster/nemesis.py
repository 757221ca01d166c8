"""Does faults to a cluster of real processes, each at its moment, and undoes them when they are over.

The faults are those of the simulator (`jepsen_like.sim.faults`), so that one schedule can be tried in both. What a real
process cannot be made to do, such as hanging while its timers go on, is refused before anything is started.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

from jepsen_like.cluster.corruption import corrupt
from jepsen_like.cluster.host import Host, HostFailed
from jepsen_like.cluster.orders import AnyOrder, Arm, Disarm, FailNext, Full, Jump, Slow, Stall
from jepsen_like.cluster.orders import Drift as DriftOrder
from jepsen_like.cluster.system import Nodes
from jepsen_like.sim.faults import (
    LEADER,
    AnyFault,
    Campaign,
    Crash,
    Damage,
    DamageSnapshot,
    DiskFails,
    DiskFull,
    DiskSlow,
    DiskStall,
    Drift,
    Failpoint,
    Hang,
    Kill,
    Maroon,
    MemberChange,
    OneWay,
    Partition,
    Pause,
    Ring,
    SlowLink,
    Squall,
    Stop,
    Transfer,
    WallJump,
    Wipe,
    name,
)
from jepsen_like.sim.links import Link, between, one_way, ring
from raftlog.core.ids import Micros

Told = Callable[[str, AnyFault, Sequence[str]], None]
"""Hears `begins`, `ends` or `skipped`, of which fault, to whom."""

IMPOSSIBLE = (Campaign, Hang, Maroon, DamageSnapshot, MemberChange, Transfer)
"""What only a simulation can do."""


class CannotDo(ValueError):
    """A schedule asks for what cannot be done to real processes."""


class Nemesis:
    """One schedule on one cluster. Invariant: after `run` and `heal` all it did is undone, wiped disks excepted."""

    def __init__(self, cluster: Nodes, faults: Sequence[AnyFault], told: Told) -> None:
        for fault in faults:
            if isinstance(fault, IMPOSSIBLE):
                raise CannotDo(f"{name(fault)} can be done in simulations only")
            if isinstance(fault, Crash) and any(
                host.setting.disk == "local" for host in cluster.hosts.values()
            ):
                raise CannotDo(
                    "a loss of power needs nodes on volatile disks: a killed process's page cache survives"
                )
        self._cluster = cluster
        self._faults = faults
        self._told = told

    async def run(self) -> None:
        """Until the last fault is over."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for fault in self._faults:
                await asyncio.sleep(max(began + fault.at / 1e6 - loop.time(), 0))
                tasks.create_task(self._do(fault), name=name(fault))

    async def heal(self) -> None:
        """Everything runs, reaches everything, and has its disk and clock in order."""
        self._cluster.network.heal()
        for host in self._cluster.hosts.values():
            if host.paused:
                host.resume()
            await host.start()
        for host in self._cluster.hosts.values():
            for order in (Stall(on=False), Slow(latency=0), Full(on=False), DriftOrder(ppm=0), Disarm()):
                with suppress(HostFailed):
                    await host.tell(order)

    # -- doing

    async def _do(self, fault: AnyFault) -> None:
        targets = await self._targets(fault)
        if targets is None:
            self._told("skipped", fault, ())
            return
        self._told("begins", fault, targets)
        with suppress(HostFailed):  # it ended of another fault meanwhile: that one starts it again
            await self._perform(fault, targets)
        self._told("ends", fault, targets)

    async def _targets(self, fault: AnyFault) -> Sequence[str] | None:
        """The hosts' names, `leader` replaced; None when nobody leads."""
        named: tuple[str, ...]
        match fault:
            case Crash() | Kill() | Stop() | Pause() | Ring() | Hang():
                named = fault.nodes
            case Partition():
                named = tuple(each for side in fault.sides for each in side)
            case OneWay():
                named = fault.origins + fault.targets
            case SlowLink():
                named = (fault.origin, fault.target)
            case Squall():
                named = self._cluster.names
            case MemberChange() | Transfer():
                raise AssertionError(f"{name(fault)} was refused before the start")
            case _:
                named = (fault.node,)
        if LEADER not in named:
            return named
        leader = await self._cluster.leader()
        return None if leader is None else [leader if each == LEADER else each for each in named]

    async def _perform(self, fault: AnyFault, targets: Sequence[str]) -> None:
        hosts = [self._cluster.hosts[each] for each in dict.fromkeys(targets)]
        match fault:
            case Crash() | Kill():
                await asyncio.gather(*(host.kill() for host in hosts))
                await self._later(fault.down, self._start(hosts))
            case Stop():
                for host in hosts:
                    await host.stop()
                await self._later(fault.down, self._start(hosts))
            case Pause():
                for host in hosts:
                    host.pause()
                await asyncio.sleep(fault.span / 1e6)
                for host in hosts:
                    host.resume()
            case Wipe():
                await hosts[0].wipe()
                await self._later(fault.down, self._start(hosts))
            case Damage():
                await hosts[0].kill()
                corrupt(hosts[0].directory, fault.how, fault.place)
                await self._later(fault.down, self._start(hosts))
            case Partition():
                await self._cut(list(between(_sides(fault, targets))), fault.span)
            case OneWay():
                count = len(fault.origins)
                await self._cut(list(one_way(targets[:count], targets[count:])), fault.span)
            case Ring():
                await self._cut(list(ring(targets)), fault.span)
            case SlowLink():
                await self._slow_link(fault, targets)
            case Squall():
                await self._squall(fault)
            case Drift():
                await self._while(fault.span, hosts[0], DriftOrder(ppm=fault.ppm), DriftOrder(ppm=0))
            case WallJump():
                await hosts[0].tell(Jump(by=fault.by))
            case DiskStall():
                await self._while(fault.span, hosts[0], Stall(on=True), Stall(on=False))
            case DiskSlow():
                await self._while(fault.span, hosts[0], Slow(latency=fault.latency), Slow(latency=0))
            case DiskFull():
                await self._while(fault.span, hosts[0], Full(on=True), Full(on=False))
            case DiskFails():
                await hosts[0].tell(FailNext(operation=fault.operation))
                await self._later(fault.down, self._start(hosts))
            case Failpoint():
                await hosts[0].tell(Arm(rules=fault.arm))
                await self._later(fault.down, self._start(hosts))
            case Campaign() | Hang() | Maroon() | DamageSnapshot() | MemberChange() | Transfer():
                raise AssertionError(f"{name(fault)} was refused before the start")

    @staticmethod
    async def _start(hosts: Sequence[Host]) -> None:
        for host in hosts:
            await host.start()

    @staticmethod
    async def _later(down: Micros, work: Coroutine[object, object, None]) -> None:
        await asyncio.sleep(down / 1e6)
        await work

    async def _while(self, span: Micros, host: Host, begin: AnyOrder, end: AnyOrder) -> None:
        await host.tell(begin)
        await asyncio.sleep(span / 1e6)
        await host.tell(end)

    async def _cut(self, pairs: Sequence[Link], span: Micros) -> None:
        self._cluster.network.cut(pairs)
        await asyncio.sleep(span / 1e6)
        self._cluster.network.mend(pairs)

    async def _slow_link(self, fault: SlowLink, targets: Sequence[str]) -> None:
        path = self._cluster.network.paths[targets[0], targets[1]]
        path.delay += fault.delay / 1e6
        await asyncio.sleep(fault.span / 1e6)
        path.delay = max(path.delay - fault.delay / 1e6, 0.0)

    async def _squall(self, fault: Squall) -> None:
        least, most = fault.weather.delay
        paths = list(self._cluster.network.paths.values())
        for path in paths:
            path.delay, path.jitter, path.loss = least / 1e6, (most - least) / 1e6, fault.weather.loss
        await asyncio.sleep(fault.span / 1e6)
        for path in paths:
            path.calm()


def _sides(fault: Partition, targets: Sequence[str]) -> list[list[str]]:
    left = iter(targets)
    return [[next(left) for _ in side] for side in fault.sides]
