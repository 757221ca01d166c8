"""Carries out a plan's faults on the machines and wires of a core run, and takes back those that end."""

from collections import Counter
from collections.abc import Callable, Iterable

from jepsen_like.sim.atlas import Atlas
from jepsen_like.sim.core.changes import asked
from jepsen_like.sim.core.fleet import Fleet
from jepsen_like.sim.core.host import Host, Process
from jepsen_like.sim.core.timeline import Timeline
from jepsen_like.sim.core.trace import Trace
from jepsen_like.sim.core.wires import Wire, Wires
from jepsen_like.sim.electorate import Halves, halves
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
    ends,
    name,
)
from jepsen_like.sim.links import Link, between, one_way, ring
from jepsen_like.sim.notation import membership_text
from jepsen_like.sim.plan import Plan
from raftlog.core.change import ImpossibleChange, step
from raftlog.core.ids import Micros


class Skipped(Exception):
    """The fault cannot be carried out now; the message says why."""


class Nemesis:
    """Where faults of one kind overlap on a node, the one that lasts longest decides when it is over.

    Invariants: after `stand_down` nothing is taken back any more: who recovers the cluster decides what heals.
    """

    def __init__(self, plan: Plan, timeline: Timeline, wires: Wires, fleet: Fleet, trace: Trace) -> None:
        self._plan = plan
        self._timeline = timeline
        self._wires = wires
        self._fleet = fleet
        self._trace = trace
        self._hosts = {host.name: host for host in fleet.hosts.values()}
        self._squalls = 0
        self._active = True
        self.atlas = Atlas(plan.names[: plan.voters], plan.names[plan.voters :])
        self.done: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.closed: Counter[Link] = Counter()
        """How many faults cut each link now: kept apart from the network, so that a network that leaks is seen."""
        fleet.closed = self.closed
        fleet.takes_office = self._takes_office
        self._maroons: list[tuple[Micros, Host, Maroon, int]] = []
        """Until when each is in force, and who keeps new leaders company."""
        self._spans: list[tuple[Micros, Micros]] = []

    def start(self) -> None:
        """Put down all faults."""
        for number, fault in enumerate(self._plan.faults, 1):
            self._timeline.at(fault.at, self._begin, fault, number)

    def stand_down(self) -> None:
        """The time of faults is over. What is broken stays so until somebody mends it."""
        self._active = False
        self.closed.clear()

    @property
    def quiet(self) -> Micros:
        """How long no fault was under way and the weather was calm."""
        weather = self._plan.weather
        if weather.loss or weather.duplicate or weather.reorder or weather.breaks:
            return 0
        free, end = 0, 0
        for begin, over in sorted(self._spans):
            free += max(0, begin - end)
            end = max(end, over)
        return free + max(0, self._plan.span - end)

    # -- one fault

    def _begin(self, fault: AnyFault, number: int, _: None = None) -> None:
        kind = name(fault)
        try:
            text = self._carry_out(fault, number)
        except Skipped as why:
            self.skipped[kind] += 1
            self._trace.note("skipped", kind)
            self._trace.tell("net", "note", f"{kind} is skipped: {why}")
            return
        self.done[kind] += 1
        self._fleet.events += 1
        self._spans.append((fault.at, min(ends(fault), self._plan.span)))
        self._trace.note("fault", kind, number)
        self._trace.tell(_lane(fault, text), "fault", f"{kind} {text}", flight=-number)

    def _carry_out(self, fault: AnyFault, number: int) -> str:
        match fault:
            case Crash(nodes=nodes, down=down):
                return self._take_down(nodes, down, number, power=True)
            case Kill(nodes=nodes, down=down):
                return self._take_down(nodes, down, number, power=False)
            case Wipe(node=node):
                return self._wipe(node)
            case Pause(nodes=nodes, span=span):
                return self._pause(nodes, span, number)
            case Hang(nodes=nodes, span=span):
                return self._hang(nodes, span, number)
            case Partition(sides=sides, span=span):
                groups = [self._names(side) for side in sides]
                return self._cut(between(groups), span, number, " | ".join(map(",".join, groups)))
            case OneWay(origins=origins, targets=targets, span=span):
                here, there = self._names(origins), self._names(targets)
                return self._cut(one_way(here, there), span, number, f"{','.join(here)} -> {','.join(there)}")
            case Ring(nodes=nodes, span=span):
                names = self._names(nodes)
                return self._cut(ring(names), span, number, " ".join(names))
            case Maroon():
                return self._maroon(fault, number)
            case Squall(weather=weather, span=span):
                self._wires.change(weather)
                self._squalls += 1
                self._after(span, self._squall_passes, self._squalls, number)
                return f"delay {weather.delay[0]}..{weather.delay[1]} us, loss {weather.loss:g}"
            case SlowLink(origin=origin, target=target, delay=delay, span=span):
                return self._slow_link(origin, target, delay, span, number)
            case Drift(node=node, ppm=ppm, span=span):
                return self._drift(node, ppm, span, number)
            case WallJump(node=node, by=by):
                host = self._host(node)
                host.clock.set_wall(by)
                return f"{host.name} by {by / 1e6:g}s"
            case DiskStall(node=node, span=span):
                host = self._host(node)
                host.stalled_until = max(host.stalled_until, self._timeline.now + span)
                self._after(span, self._heals, host.name, number)
                return host.name
            case DiskSlow(node=node, latency=latency, span=span):
                host = self._host(node)
                host.slow_until, host.latency = self._timeline.now + span, latency
                self._after(span, self._heals, host.name, number)
                return f"{host.name} {latency / 1e3:g}ms"
            case DiskFull(node=node, span=span):
                host = self._host(node)
                host.full_until = max(host.full_until, self._timeline.now + span)
                self._fleet.see_room(host)
                self._after(span, self._has_space, host, number)
                return host.name
            case Campaign(node=node):
                host = self._running(self._host(node))
                self._fleet.campaign(host)
                return host.name
            case Damage(node=node, place=place, down=down):
                return self._damage(node, place, down, number)
            case MemberChange():
                return self._change(fault)
            case Transfer(node=node):
                return self._transfer(node)
            case DamageSnapshot() | Stop() | DiskFails() | Failpoint():
                raise Skipped("it needs whole nodes: run it on the node tier")

    # -- processes

    def _take_down(self, nodes: Iterable[str], down: Micros, number: int, *, power: bool) -> str:
        hosts = self._up(nodes)
        for host in hosts:
            self._fleet.crash(host, power=power)
            _forget_process(host)
            host.down_until = self._timeline.now + down
            self._after(down, self._restart, host, number)
        return ",".join(host.name for host in hosts)

    def _restart(self, host: Host, number: int) -> None:
        if host.process is None and not host.wiped and self._timeline.now >= host.down_until:
            self._fleet.boot(host)
            self._heals(host.name, number)

    def _wipe(self, node: str) -> str:
        host = self._host(node)
        self._claim(host)
        self._fleet.wipe(host)
        _forget_process(host)
        return host.name

    def _claim(self, host: Host) -> None:
        for lost in self.atlas.destroyed:
            if not (self._hosts[lost].wiped or self._hosts[lost].store.durable.impaired):
                self.atlas.repaired(lost)
        self.atlas.halves = self._named(halves(self._fleet.possible()))
        if not self.atlas.claim(host.name):
            raise Skipped(
                f"{host.name} must keep its disk: {', '.join(self.atlas.destroyed) or 'nobody'} lost it"
            )

    def _damage(self, node: str, place: float, down: Micros, number: int) -> str:
        """However it came about: an algorithm sees a log that ends before the damage."""
        host = self._host(node)
        self._claim(host)
        if host.process is not None:
            self._fleet.crash(host, power=True)
            _forget_process(host)
        host.down_until = max(host.down_until, self._timeline.now + down)
        self._after(host.down_until - self._timeline.now, self._restart, host, number)
        lost = self._fleet.archive.damage(host, place)
        if not lost:
            self.atlas.repaired(host.name)
        return lost or f"{host.name} loses nothing"

    def _pause(self, nodes: Iterable[str], span: Micros, number: int) -> str:
        hosts = self._up(nodes)
        for host in hosts:
            host.paused_until = max(host.paused_until, self._timeline.now + span)
            self._fleet.pause(host)
            self._after(span, self._resume, host, number)
        return ",".join(host.name for host in hosts)

    def _resume(self, host: Host, number: int) -> None:
        if host.process is not None and host.process.paused and self._timeline.now >= host.paused_until:
            self._fleet.resume(host)
            self._heals(host.name, number)

    def _hang(self, nodes: Iterable[str], span: Micros, number: int) -> str:
        hosts = self._up(nodes)
        for host in hosts:
            host.hung_until = max(host.hung_until, self._timeline.now + span)
            self._fleet.hang(host)
            self._after(span, self._unhang, host, number)
        return ",".join(host.name for host in hosts)

    def _unhang(self, host: Host, number: int) -> None:
        if host.process is not None and host.process.hung and self._timeline.now >= host.hung_until:
            self._fleet.unhang(host)
            self._heals(host.name, number)

    # -- the network

    def _cut(self, links: Iterable[Link], span: Micros, number: int, text: str) -> str:
        cut = list(links)
        if not cut:
            raise Skipped(f"{text} leaves nothing to cut")
        self._wires.cut(cut)
        self.closed.update(cut)
        self._after(span, self._mend, cut, number)
        return text

    def _mend(self, cut: list[Link], number: int) -> None:
        self._wires.mend(cut)
        self.closed.subtract(cut)
        for link in [link for link, cuts in self.closed.items() if not cuts]:
            del self.closed[link]
        self._heals("net", number)

    def _maroon(self, fault: Maroon, number: int) -> str:
        friend = self._host(fault.node)
        if fault.stalls:
            friend.stalled_until = max(friend.stalled_until, self._timeline.now + fault.span)
        self._maroons.append((self._timeline.now + fault.span, friend, fault, number))
        if (leader := self._fleet.leader) is not None:
            self._strand(leader, friend, fault, number)
        return f"leaders with {friend.name}"

    def _takes_office(self, leader: Host) -> None:
        self._maroons = [maroon for maroon in self._maroons if maroon[0] > self._timeline.now]
        for _, friend, fault, number in self._maroons:
            if self._active:
                self._strand(leader, friend, fault, number)

    def _strand(self, leader: Host, friend: Host, fault: Maroon, number: int) -> None:
        others = [name for name in self._hosts if name not in (leader.name, friend.name)]
        if others:
            self._fleet.counts["effect/marooned"] += 1
            text = f"{leader.name} with {friend.name}"
            self._trace.tell("net", "note", f"{text} is cut off from {', '.join(others)}")
            self._cut(between([[leader.name], others]), fault.alone, number, text)

    def _squall_passes(self, squall: int, number: int) -> None:
        if squall == self._squalls:
            self._wires.change(self._wires.fair)
        self._heals("net", number)

    def _slow_link(self, origin: str, target: str, delay: Micros, span: Micros, number: int) -> str:
        ends = self._name(origin), self._name(target)
        if ends[0] == ends[1]:
            raise Skipped(f"{ends[0]} has no link to itself")
        wire = self._wires.wire(*ends)
        wire.extra += delay

        def speed_up(wire: Wire, number: int) -> None:
            wire.extra -= delay
            self._heals("net", number)

        self._after(span, speed_up, wire, number)
        return f"{wire.name} by {delay / 1e3:g}ms"

    # -- clocks

    def _drift(self, node: str, ppm: int, span: Micros, number: int) -> str:
        host, now = self._host(node), self._timeline.now
        host.clock.drift(ppm, now)
        host.drifts_until = now + span
        self._fleet.rewind(host)
        self._after(span, self._true_again, host, number)
        return f"{host.name} {ppm:+d} ppm"

    def _true_again(self, host: Host, number: int) -> None:
        if self._timeline.now >= host.drifts_until:
            host.clock.drift(0, self._timeline.now)
            self._fleet.rewind(host)
            self._heals(host.name, number)

    # -- membership and office

    def _change(self, fault: MemberChange) -> str:
        """What could never be decided again, with the disks that are gone, is not asked for: forced or not."""
        leader, process = self._leading()
        nodes = [self._hosts[name].id for name in self._names(fault.nodes) if not self._hosts[name].wiped]
        membership = process.core.membership
        wanted = asked(fault, nodes, membership)
        try:
            after = step(membership, wanted)
        except ImpossibleChange as problem:
            raise Skipped(str(problem)) from problem
        if not self.atlas.keeps(self._named(halves([after]))):
            raise Skipped(f"too few of the disks of {membership_text(after)} are whole")
        answer = self._fleet.change(leader, wanted, force=fault.force, blind=fault.blind)
        return f"{leader.name} to {membership_text(after)}: {answer}"

    def _transfer(self, node: str) -> str:
        leader, _ = self._leading()
        target = None if node == LEADER else self._hosts[node]
        answer = self._fleet.transfer(leader, None if target is None else target.id)
        return f"{leader.name} to {'anybody' if target is None else target.name}: {answer}"

    def _leading(self) -> tuple[Host, Process]:
        leader = self._fleet.leader
        if leader is None or leader.process is None:
            raise Skipped("nobody leads")
        self._running(leader)
        return leader, leader.process

    def _named(self, sets: Halves) -> list[frozenset[str]]:
        return [frozenset(self._fleet.hosts[node].name for node in half) for half in sets]

    # -- who and when

    def _name(self, name: str) -> str:
        """A name with `leader` replaced by whoever leads."""
        if name != LEADER:
            return name
        leader = self._fleet.leader
        if leader is None:
            raise Skipped("nobody leads")
        return leader.name

    def _names(self, names: Iterable[str]) -> list[str]:
        return [self._name(name) for name in names]

    def _host(self, name: str) -> Host:
        host = self._hosts[self._name(name)]
        if host.wiped:
            raise Skipped(f"{host.name} is gone for good")
        return host

    def _running(self, host: Host) -> Host:
        if host.process is None or host.process.paused:
            raise Skipped(f"{host.name} does not run")
        return host

    def _up(self, names: Iterable[str]) -> list[Host]:
        hosts = [self._hosts[name] for name in dict.fromkeys(self._names(names))]
        up = [host for host in hosts if host.process is not None]
        if not up:
            raise Skipped(f"{', '.join(host.name for host in hosts)} is down")
        return up

    def _after(self, span: Micros, act: Callable[..., None], what: object, number: int) -> None:
        self._timeline.at(self._timeline.now + span, self._if_active, act, what, number)

    def _if_active(self, act: Callable[..., None], what: object, number: int) -> None:
        if self._active:
            act(what, number)

    def _has_space(self, host: Host, number: int) -> None:
        self._fleet.see_room(host)
        self._heals(host.name, number)

    def _heals(self, lane: str, number: int) -> None:
        self._trace.note("heal", lane, number)
        self._trace.tell(lane, "heal", f"{lane} is well again", flight=-number)


def _forget_process(host: Host) -> None:
    """What was done to a process ends with it."""
    host.paused_until = host.hung_until = 0


def _lane(fault: AnyFault, text: str) -> str:
    match fault:
        case Partition() | OneWay() | Ring() | Maroon() | Squall() | SlowLink():
            return "net"
        case _:
            return text.partition(" ")[0].partition(",")[0]
