"""The machines of a run, the network between them, and who looks: what nemeses and callers act on."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from jepsen_like.sim.atlas import Atlas
from jepsen_like.sim.faults import LEADER, Failpoint
from jepsen_like.sim.happening import Watch
from jepsen_like.sim.invariants import Checker
from jepsen_like.sim.node.chronicle import Chronicle
from jepsen_like.sim.node.effects import Effects, Leak
from jepsen_like.sim.node.hearing import Hearing
from jepsen_like.sim.node.host import Host
from jepsen_like.sim.node.images import image_of
from jepsen_like.sim.node.states import States
from jepsen_like.sim.plan import Plan
from raftlog.core.entry import Entry
from raftlog.core.ids import META_GROUP, ClusterId, Micros, NodeId, Term
from raftlog.core.membership import Member, Membership
from raftlog.core.status import Status
from raftlog.machine.contract import StateMachine
from raftlog.testing.loop import SimLoop
from raftlog.testing.network import SimNetwork

CLUSTER = ClusterId(77)


class World:
    """One cluster under one plan, with any state machine.

    Invariants: everything that chance decides is drawn from generators made from the plan; the first thing that does
    not hold ends the run, and is what it is remembered for.
    """

    def __init__(
        self, plan: Plan, machine: Callable[[], StateMachine], loop: SimLoop, watch: Watch | None = None
    ) -> None:
        self.plan = plan
        self.machine = machine
        self.loop = loop
        self.cluster = CLUSTER
        self.chronicle = Chronicle(loop, watch)
        self.checker = Checker()
        self.states = States(machine, self.checker.entry)
        self._hearing = Hearing(self.chronicle.count)
        self.effects = Effects(self.chronicle.count)
        self.network = SimNetwork(self.draw("network"), loop, plan.weather)
        self.network.observer = self
        self.watches_failpoints = any(isinstance(fault, Failpoint) for fault in plan.faults)
        self.hosts = [Host(self, name, NodeId(at)) for at, name in enumerate(plan.names, 1)]
        self._nodes = {host.name: host for host in self.hosts}
        self.atlas = Atlas(plan.names[: plan.voters], plan.names[plan.voters :])
        self.problem: BaseException | None = None
        self.outcomes: Counter[str] = Counter()
        """How calls ended: acknowledged, failed, unknown."""
        self.leader_changes = 0
        self.restarts = 0
        self._main: asyncio.Task[object] | None = None
        self._last_led: tuple[str, Term] | None = None

    def draw(self, purpose: str) -> Random:
        """The generator for one purpose."""
        return self.plan.random(f"node/{purpose}")

    # -- life

    async def start(self) -> None:
        """Initialise every disk and start every node."""
        self._main = asyncio.current_task()
        self.loop.early = self.plan.early
        for host in self.hosts:
            await host.bootstrap(self.membership)
        for host in self.hosts:
            host.start()

    async def end(self) -> None:
        """End every process that is left, in whatever order; nothing of it counts any more."""
        self.chronicle.close()
        self._main = None
        for host in self.hosts:
            host.kill()
        for host in self.hosts:
            await host.buried()

    @property
    def membership(self) -> Membership:
        """Who is in the cluster."""
        members = tuple(
            Member(host.id, host.name, host.peer_address, host.client_address) for host in self.hosts
        )
        ids = tuple(host.id for host in self.hosts)
        return Membership(voters=ids[: self.plan.voters], learners=ids[self.plan.voters :], members=members)

    def later(self, micros: Micros, callback: Callable[[], None]) -> None:
        """Call back after so much true time."""
        self.loop.call_exactly(micros, callback)

    # -- who is who

    def host(self, name: str) -> Host:
        """The host of that name."""
        return next(host for host in self.hosts if host.name == name)

    @property
    def voters(self) -> list[Host]:
        """Those that vote."""
        return self.hosts[: self.plan.voters]

    def leader(self) -> Host | None:
        """Whoever leads the highest term that has a leader among those that run."""
        leading = [
            (host.node.core.status().term, host)
            for host in self.hosts
            if host.node is not None and host.node.core.leads
        ]
        return max(leading, key=lambda each: each[0])[1] if leading else None

    def named(self, names: Sequence[str]) -> list[str]:
        """The names with `leader` replaced by whoever it is; without it when nobody is."""
        leader = self.leader()
        found = [leader.name if name == LEADER and leader is not None else name for name in names]
        return [name for name in dict.fromkeys(found) if name != LEADER]

    def statuses(self, hosts: Sequence[Host]) -> list[Status]:
        """What these nodes say of themselves, as far as they run."""
        return [host.node.status() for host in hosts if host.node is not None]

    def committed_log(self) -> tuple[Entry, ...]:
        """Everything that is known to be decided, in order."""
        entries = (self.checker.entry(index) for index in range(1, len(self.checker.decided) + 1))
        return tuple(entry for entry in entries if entry is not None)

    def disk_log(self, host: Host) -> tuple[Entry, ...]:
        """The log on a host's disk.

        Raises:
            LogDamaged, StorageRefused: recovery refuses it.
        """
        return tuple(image_of(host.disk.platter, META_GROUP).entries)

    # -- who looks

    def broke(self, problem: BaseException) -> None:
        """Something does not hold: the run ends here. Raises it where the run's own task is told so."""
        if self.problem is not None:
            return
        self.blame(problem)
        if self._main is not None and self._main is asyncio.current_task():
            raise problem
        if self._main is not None:
            self._main.cancel()

    def blame(self, problem: BaseException) -> None:
        """Remember what did not hold; the first one counts."""
        if self.problem is None:
            self.problem = problem
            self.chronicle.note("net", "violation", str(problem))

    def led(self, name: str, term: Term) -> None:
        """A node has become leader."""
        if self._last_led is not None and self._last_led[0] != name:
            self.leader_changes += 1
            self.chronicle.count("event/leader-change")
        self._last_led = name, term

    # -- frames, see raftlog.testing.network.Observer

    def sent(self, origin: str, target: str, lane: str, frame: bytes) -> int:
        """See `Observer.sent`."""
        flight = self.chronicle.sent(origin, target, lane, frame)
        try:
            self.effects.sent(flight, origin, self.loop.micros)
        except Leak as leak:
            self.broke(leak)
        return flight

    def arrived(self, flight: int, origin: str, target: str, lane: str, frame: bytes) -> None:
        """See `Observer.arrived`."""
        self.chronicle.arrived(flight, origin, target, lane, frame)
        try:
            self.effects.arrived(flight, origin, target, self.loop.micros)
        except Leak as leak:
            return self.broke(leak)
        if lane == "client":
            if frame and target in self._nodes:
                self._hearing.asked(target, frame)
            elif frame:
                self._hearing.answered(frame)
            return None
        self.chronicle.frames += 1
        node = self._nodes.get(target)
        if node is not None and node.node is not None:
            role = node.node.core._role.name
            self.chronicle.count(f"role/{role}/{self.chronicle.kind(flight)}")
        return None

    def lost(self, flight: int, origin: str, target: str) -> None:
        """See `Observer.lost`."""
        self.chronicle.lost(flight, origin, target)
        self.effects.lost(flight, origin, target)
