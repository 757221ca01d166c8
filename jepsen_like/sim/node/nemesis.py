"""Carries out the faults of a plan, each when its time comes, and takes back what is under way when peace is made."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from jepsen_like.sim import links
from jepsen_like.sim.faults import (
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
from jepsen_like.sim.node.damage import damage, damage_snapshot
from jepsen_like.sim.node.host import Host
from raftlog.core.ids import Micros
from raftlog.failpoints import parse
from raftlog.testing.disk import Operation
from raftlog.testing.network import Weather

if TYPE_CHECKING:
    from jepsen_like.sim.node.world import World

Undo: TypeAlias = Callable[[], None]

STOPPING: Micros = 15_000_000
"""After which a process that was told to stop is killed, as whoever supervises it does."""


class Nemesis:
    """Faults may overlap: a way is cut, a host hung, a disk slow for as long as any fault says so.

    Invariants: every fault counts as carried out or as skipped; after `relent` nothing is under way and nothing comes.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.carried_out: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._serial = 0
        self._under_way: dict[int, Undo] = {}
        self._over = False
        self._cuts: dict[int, frozenset[links.Link]] = {}
        self._cut: set[links.Link] = set()
        self._squalls: dict[int, Weather] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def before_birth(self) -> None:
        """Arm the failpoints of moment 0: they are there when the disks are initialised."""
        for fault in self.world.plan.faults:
            if _at_birth(fault):
                self._strike(fault)

    def begin(self) -> None:
        """Set a timer for each fault, from now on."""
        for fault in self.world.plan.faults:
            if not _at_birth(fault):
                self.world.later(max(0, fault.at - self.world.loop.micros), partial(self._strike, fault))

    def relent(self) -> None:
        """Take back everything that is under way."""
        self._over = True
        for serial in sorted(self._under_way):
            self._under_way.pop(serial)()
        for host in self.world.hosts:
            host.disk.fail_no_more()
            host.disarm()

    async def wait(self) -> None:
        """Until the orderly stops that were begun are over."""
        for task in sorted(self._stopping, key=hash):
            await asyncio.wait((task,))
            task.result()

    def _strike(self, fault: AnyFault) -> None:
        if self._over or self.world.problem is not None:
            return
        kind = name(fault)
        self._serial += 1
        done = self._carry_out(fault, self._serial)
        if done is None:
            self.skipped[kind] += 1
            self.world.chronicle.note("net", "note", f"skipped: {kind}")
        else:
            self.carried_out[kind] += 1
            self.world.chronicle.count(f"fault/{kind}")
            self.world.chronicle.note("net", "fault", f"{kind} {done}", flight=-self._serial)

    def _carry_out(self, fault: AnyFault, serial: int) -> str | None:
        """Do it; in words to whom, or None when it cannot be done."""
        match fault:
            case Crash() | Kill() | Stop():
                return self._end(fault)
            case Pause():
                return self._pause(fault, serial)
            case Wipe():
                return self._wipe(fault)
            case Partition() | OneWay() | Ring():
                return self._sever(fault, serial)
            case Maroon():
                return None  # for the algorithm's own runs: it strikes within an election
            case MemberChange() | Transfer():
                return None  # the driver has no such calls yet
            case Squall():
                return self._squall(fault, serial)
            case SlowLink():
                return self._slow_link(fault, serial)
            case Hang():
                return self._hang(fault, serial)
            case Drift():
                return self._drift(fault, serial)
            case WallJump():
                return self._wall_jump(fault)
            case DiskStall() | DiskSlow() | DiskFull():
                return self._bad_disk(fault, serial)
            case DiskFails():
                return self._disk_fails(fault)
            case Damage():
                return self._damage(fault)
            case DamageSnapshot():
                return self._damage_snapshot(fault)
            case Failpoint():
                return self._failpoint(fault)
            case Campaign():
                return self._campaign(fault)

    def _until(self, span: Micros, serial: int, undo: Undo) -> None:
        self._under_way[serial] = undo
        self.world.later(span, lambda: self._finish(serial))

    def _finish(self, serial: int) -> None:
        if (undo := self._under_way.pop(serial, None)) is not None:
            self.world.chronicle.note("net", "heal", f"fault {serial} is over", flight=-serial)
            undo()

    def _hosts(self, names: Iterable[str]) -> list[Host]:
        return [self.world.host(each) for each in self.world.named(list(names)) if not each.startswith("c")]

    def _one(self, name: str) -> Host | None:
        return next(iter(self._hosts([name])), None)

    # -- processes

    def _end(self, fault: Crash | Kill | Stop) -> str | None:
        hosts = [host for host in self._hosts(fault.nodes) if not host.lost]
        alive = [host for host in hosts if host.runs]
        if isinstance(fault, Stop):
            if alive:
                self._stop_in_turn(alive, fault.down)
            return _names(alive)
        if not alive:
            return None
        for host in hosts if isinstance(fault, Crash) else alive:
            if isinstance(fault, Crash):
                host.lose_power()  # also where the process is dead already: its page cache is lost now
            else:
                host.kill()
        for host in alive:
            self.world.later(fault.down, host.start)
        return _names(alive)

    def _stop_in_turn(self, hosts: list[Host], down: Micros) -> None:
        task = self.world.loop.create_task(self._stop(hosts, down))
        self._stopping.add(task)

    async def _stop(self, hosts: list[Host], down: Micros) -> None:
        for host in hosts:
            host.stop()
            try:
                async with asyncio.timeout(STOPPING / 1e6):
                    await host.ended()
            except TimeoutError:
                host.kill()
            self.world.later(down, host.start)

    def _pause(self, fault: Pause, serial: int) -> str | None:
        hosts = [host for host in self._hosts(fault.nodes) if host.runs]
        for host in hosts:
            host.still.add(serial)
            host.hung.add(serial)
            self._settle(host)

        def undo() -> None:
            for host in hosts:
                host.still.discard(serial)
                host.hung.discard(serial)
                self._settle(host)

        return self._lasting(hosts, fault.span, serial, undo)

    def _hang(self, fault: Hang, serial: int) -> str | None:
        hosts = [host for host in self._hosts(fault.nodes) if host.runs]
        for host in hosts:
            host.hung.add(serial)
            self._settle(host)

        def undo() -> None:
            for host in hosts:
                host.hung.discard(serial)
                self._settle(host)

        return self._lasting(hosts, fault.span, serial, undo)

    def _lasting(self, hosts: list[Host], span: Micros, serial: int, undo: Undo) -> str | None:
        if hosts:
            self._until(span, serial, undo)
        return _names(hosts)

    def _settle(self, host: Host) -> None:
        """Let the host be as its faults want it."""
        world, name = self.world, host.name
        if not host.still and world.loop.paused(name):
            if world.loop.waiting(name):
                world.effects.count("stood-still")
            world.effects.still.discard(name)
            world.loop.resume(name)
        if not host.hung and world.network.is_hung(name):
            before = world.chronicle.frames
            world.effects.hung.discard(name)
            world.network.resume(name)
            if world.chronicle.frames > before:
                world.effects.count("waited")
        if host.hung:
            world.network.hang(name)
            world.effects.hung.add(name)
        if host.still:
            world.loop.pause(name)
            world.effects.still.add(name)

    def _wipe(self, fault: Wipe) -> str | None:
        host = self._one(fault.node)
        if host is None or host.lost or not self._may_destroy(host):
            return None
        host.erase()
        self.world.later(fault.down, host.start)
        return host.name

    def _may_destroy(self, host: Host) -> bool:
        if self.world.atlas.claim(host.name):
            return True
        self.world.chronicle.note("net", "note", f"the atlas forbids to destroy {host.name}")
        return False

    # -- the network

    def _sever(self, fault: Partition | OneWay | Ring, serial: int) -> str | None:
        named = self.world.named
        cut: frozenset[links.Link] = frozenset()
        match fault:
            case Partition():
                cut = frozenset(links.between([named(side) for side in fault.sides]))
            case OneWay():
                cut = frozenset(links.one_way(named(fault.origins), named(fault.targets)))
            case Ring():
                cut = frozenset(links.ring(named(fault.nodes)))
        if not cut:
            return None
        self._cuts[serial] = cut
        self._apply_cuts()

        def undo() -> None:
            del self._cuts[serial]
            self._apply_cuts()

        self._until(fault.span, serial, undo)
        return " ".join(f"{origin}-/->{target}" for origin, target in sorted(cut))

    def _apply_cuts(self) -> None:
        wanted = set().union(*self._cuts.values())
        self.world.effects.cuts = frozenset(wanted & self._cut)
        for origin, target in sorted(self._cut - wanted):
            self.world.network.mend(origin, target)
        for origin, target in sorted(wanted - self._cut):
            self.world.network.cut(origin, target)
        self._cut = wanted
        self.world.effects.cuts = frozenset(wanted)

    def _squall(self, fault: Squall, serial: int) -> str:
        self._squalls[serial] = fault.weather
        self._apply_weather()

        def undo() -> None:
            del self._squalls[serial]
            self._apply_weather()

        self._until(fault.span, serial, undo)
        return str(fault.weather)

    def _apply_weather(self) -> None:
        newest = max(self._squalls, default=None)
        self.world.network.weather = self.world.plan.weather if newest is None else self._squalls[newest]

    def _slow_link(self, fault: SlowLink, serial: int) -> str | None:
        origin, target = self._one(fault.origin), self._one(fault.target)
        if origin is None or target is None or origin is target:
            return None
        network, ends = self.world.network, (origin.name, target.name)
        slow = self.world.effects.slow
        network.slow(*ends, fault.delay)
        slow[ends] = fault.delay

        def undo() -> None:
            network.slow(*ends, 0)
            slow.pop(ends, None)

        self._until(fault.span, serial, undo)
        return f"{origin.name} to {target.name} by {fault.delay / 1e3:g} ms"

    # -- clocks

    def _drift(self, fault: Drift, serial: int) -> str | None:
        host = self._one(fault.node)
        if host is None:
            return None
        self._run_at(host, fault.ppm)
        self._until(fault.span, serial, lambda: self._run_at(host, 0))
        return f"{host.name} by {fault.ppm} ppm"

    def _run_at(self, host: Host, ppm: int) -> None:
        host.clock.set_rate(ppm)
        self.world.loop.set_rate(host.name, ppm)

    def _wall_jump(self, fault: WallJump) -> str | None:
        host = self._one(fault.node)
        if host is None:
            return None
        host.clock.skew_wall(fault.by)
        return f"{host.name} by {fault.by / 1e6:g} s"

    # -- disks

    def _bad_disk(self, fault: DiskStall | DiskSlow | DiskFull, serial: int) -> str | None:
        host = self._one(fault.node)
        if host is None or host.lost:
            return None
        match fault:
            case DiskStall():
                host.stalls.add(serial)
            case DiskSlow():
                host.slow[serial] = fault.latency
            case DiskFull():
                host.full.add(serial)
        host.settle_disk()

        def undo() -> None:
            host.stalls.discard(serial)
            host.slow.pop(serial, None)
            host.full.discard(serial)
            host.settle_disk()

        self._until(fault.span, serial, undo)
        return host.name

    def _disk_fails(self, fault: DiskFails) -> str | None:
        host = self._one(fault.node)
        if host is None or not host.runs:
            return None
        host.excuse(fault.down)
        host.disk.fail_once(_operation(fault.operation))
        return f"{host.name}: the next {fault.operation}"

    def _damage(self, fault: Damage) -> str | None:
        host = self._one(fault.node)
        if host is None or host.lost or host.damaged or not self._may_destroy(host):
            return None
        host.lose_power()
        if self.world.problem is not None:
            return None
        done = damage(host.disk.platter, fault.how, fault.place)
        if done is None:
            self.world.atlas.repaired(host.name)
        else:
            host.hurt(())
        self.world.later(fault.down, host.start)
        return None if done is None else f"{host.name}: {done}"

    def _damage_snapshot(self, fault: DamageSnapshot) -> str | None:
        host = self._one(fault.node)
        if host is None or host.lost or host.damaged or not self._may_destroy(host):
            return None
        host.lose_power()
        if self.world.problem is not None:
            return None
        done = damage_snapshot(host.disk.platter, fault.how, fault.place)
        if done is None:
            self.world.atlas.repaired(host.name)
        else:
            host.hurt([done.file])
            self.world.effects.count(f"snapshot-damaged-{fault.how}")
        self.world.later(fault.down, host.start)
        return None if done is None else f"{host.name}: {done.words}"

    # -- on purpose

    def _failpoint(self, fault: Failpoint) -> str | None:
        host = self._one(fault.node)
        if host is None or host.lost:
            return None
        host.arm(parse(fault.arm), fault.down)
        return f"{host.name}: {fault.arm}"

    def _campaign(self, fault: Campaign) -> str | None:
        host = self._one(fault.node)
        if host is None or host.node is None or self.world.loop.paused(host.name):
            return None
        host.node.campaign()
        return host.name


def _at_birth(fault: AnyFault) -> bool:
    return isinstance(fault, Failpoint) and fault.at == 0


def _names(hosts: list[Host]) -> str | None:
    return ", ".join(host.name for host in hosts) or None


def _operation(text: str) -> Operation:
    match text:
        case "read" | "write" | "sync" | "allocate" | "names":
            return text
        case _:
            raise ValueError(f"a disk has no operation {text!r}")
