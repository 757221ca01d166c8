"""What happens in a user's run: their workload again and again, their invariant, their model."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from jepsen_like.check import Finding, History, Model, Verdict, check_linearizable
from jepsen_like.check.linearizable import Impossible
from jepsen_like.sim.node.callers import Caller
from jepsen_like.sim.verdict import Violation
from jepsen_like.user.audit import Invariant, violated
from jepsen_like.user.client import Recording, SimulatedClient
from jepsen_like.user.place import told
from jepsen_like.user.probe import Probe
from jepsen_like.user.steps import written
from jepsen_like.user.watched import Watched, watched
from raftlog.core.ids import META_GROUP, Micros
from raftlog.machine.calls import CallFailed, CallUnknown, MachineFault
from raftlog.machine.contract import StateMachine
from raftlog.machine.errors import MachineError
from raftlog.machine.method import Method
from raftlog.testing.sealed import Unsealed

if TYPE_CHECKING:
    from jepsen_like.sim.node.host import Host
    from jepsen_like.sim.node.world import World

EVERY: Micros = 500_000
"""Virtual time between two looks at the machines of all nodes."""
BUDGET = 5_000_000
"""Steps of the search for a linearization."""

Workload = Callable[[SimulatedClient, Random], Awaitable[object]]
Afterwards = Callable[[SimulatedClient], Awaitable[object]]
Check = Callable[[History], Finding]


class Cast:
    """What a user brings, the same in every run."""

    def __init__(
        self,
        machine: Callable[[], StateMachine],
        *,
        workload: Workload | None = None,
        rate: float = 10.0,
        model: Callable[[], Model] | Model | None = None,
        check: Check | None = None,
        record: Sequence[Method[..., ..., Any]] | None = None,
        invariant: Invariant | None = None,
        afterwards: Afterwards | None = None,
        machine_faults: bool = False,
    ) -> None:
        if rate <= 0:
            raise ValueError(f"a rate of {rate} per second: clients would never begin")
        if model is not None and check is not None:
            raise ValueError("a model and a check: give one of them")
        self.machine = machine
        self.workload = workload
        self.rate = rate
        self.model = model() if callable(model) else model
        self.check = check
        self.invariant = invariant
        self.afterwards = afterwards
        self.machine_faults = machine_faults
        chosen = None if record is None else [method.name for method in record]
        self.recorded = chosen if chosen is not None else list(self.model.knows) if self.model else []
        self.records_all = chosen is None and not self.recorded

    def wants(self, f: str) -> bool:
        """Whether calls of this name are for the model or the check."""
        judged = self.model is not None or self.check is not None
        return judged and (self.records_all or f in self.recorded)


class UserStory:
    """One run of a user's machine, as `sim.node` asks for it.

    Invariant: `machine` makes machines whose reports end this run.
    """

    machine: Callable[[], StateMachine]

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.machine = watched(cast.machine, self._blame, faults=cast.machine_faults)
        self.recording = Recording(cast.wants)
        self.shared: dict[str, Any] = {}
        self.clients: list[SimulatedClient] = []
        self.judged = True
        """False: the search for a linearization was given up, or the check could not tell."""
        self._world: World | None = None

    @property
    def acknowledged(self) -> int:
        """Calls of the user's own that were acknowledged."""
        return sum(client.acknowledged for client in self.clients)

    def _blame(self, violation: Violation) -> None:
        if self._world is not None:
            self._world.broke(violation)

    def client(self, name: str, connected: Callable[[], Any]) -> SimulatedClient:
        """A new client of this run."""
        client = SimulatedClient(name, connected, self.recording, self.shared)
        self.clients.append(client)
        return client

    def begin(self, world: "World") -> None:
        """The run begins."""
        if self._world is None:
            self._world = world
            if self.cast.invariant is not None:
                world.later(EVERY, self._look)

    # -- under faults

    async def live(self, caller: Caller, until: float) -> None:
        """See `Story.live`: the workload, again and again."""
        self.begin(caller.world)
        client, loop = self.client(caller.name, _always(caller)), caller.world.loop
        while True:
            await asyncio.sleep(caller.random.expovariate(self.cast.rate))
            if loop.time() >= until:
                return
            task = loop.create_task(self._once(client, caller.random))
            try:
                while not task.done() and (loop.time() < until or client.calls_under_way):
                    await asyncio.wait((task,), timeout=min(max(until - loop.time(), 0.05), 1.0))
            finally:
                await _end(task)

    async def _once(self, client: SimulatedClient, random: Random) -> None:
        assert self.cast.workload is not None, "a story without a workload has no clients of its own"
        try:
            await self.cast.workload(client, random)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) or self.ordinary(error):
                return
            raise blamed(error, client.name, "workload") from error

    def ordinary(self, error: BaseException) -> bool:
        """Whether it is one of the outcomes that calls have under faults."""
        if isinstance(error, BaseExceptionGroup):
            return all(self.ordinary(each) for each in error.exceptions)
        allowed = (CallFailed, CallUnknown, MachineError)
        return isinstance(error, (*allowed, MachineFault) if self.cast.machine_faults else allowed)

    def _look(self) -> None:
        world = self._world
        assert world is not None, "looks once it has begun"
        if world.problem is not None or world.chronicle.closed:
            return
        self.check_invariant(world)
        world.later(EVERY, self._look)

    def check_invariant(self, world: "World") -> None:
        """The user's invariant, on the machines of all nodes that run; what it says ends the run."""
        machines = list(machines_of(world).values())
        if self.cast.invariant is None or not machines:
            return
        try:
            if (problem := violated(self.cast.invariant, machines)) is not None:
                world.broke(Violation("invariant", problem))
        except Unsealed as error:
            world.broke(Violation("sealed", str(error)))

    # -- after the faults

    async def try_node(self, caller: Caller, calls: int) -> None:
        """See `Story.try_node`: commands and queries that mean nothing to the user's machine."""
        for at in range(calls):
            await caller.call(Probe.jepsen_like_read if at % 3 == 2 else Probe.jepsen_like_write)

    async def audit(self, caller: Caller) -> None:
        """See `Story.audit`: the user's own look at what is left, through each healed node."""
        if self.cast.afterwards is None:
            return
        try:
            await self.cast.afterwards(self.client(caller.name, _always(caller)))
        except Violation:
            raise
        except Exception as error:
            raise blamed(error, caller.name, "afterwards") from error

    def verdict(self, world: "World") -> None:
        """See `Story.verdict`: the invariant once more, equal states, and the model or the check."""
        self.check_invariant(world)
        self._equal(world)
        if self.cast.check is not None:
            self._checked(self.cast.check(self.recording.history))
        if self.cast.model is not None:
            self._explained(self.cast.model)

    def _checked(self, found: Finding) -> None:
        self.judged = found.verdict is not Verdict.UNKNOWN
        if found.anomalies:
            more = f" ({len(found.anomalies) - 1} more)" if len(found.anomalies) > 1 else ""
            raise Violation("check", f"{found.anomalies[0]}{more}")

    def _explained(self, model: Model) -> None:
        judged = check_linearizable(self.recording.history, model, budget=BUDGET)
        self.judged = judged.verdict is not Verdict.UNKNOWN
        if judged.impossible is not None:
            raise Violation("linearizable", unexplained(judged.impossible))

    def _equal(self, world: "World") -> None:
        """Nodes that have applied the same are in the same state."""
        seen: dict[int, tuple[str, bytes]] = {}
        for name, (applied, machine) in sorted(_present(world).items()):
            state = written(machine)
            first, other = seen.setdefault(applied, (name, state))
            if other != state:
                raise Violation(
                    "state",
                    f"{first} and {name} have applied the same {applied} entries and are in different states",
                )


def machines_of(world: "World") -> dict[str, StateMachine]:
    """The user's machines on the nodes that run, by the nodes' names."""
    return {name: machine for name, (_, machine) in sorted(_present(world).items())}


def _present(world: "World") -> dict[str, tuple[int, StateMachine]]:
    found = {}
    for host in world.hosts:
        if (present := _state_of(host)) is not None:
            found[host.name] = present
    return found


def _state_of(host: "Host") -> tuple[int, StateMachine] | None:
    if host.node is None:
        return None
    applying = host.node._replicas[META_GROUP].applying
    machine = applying.applier.machine
    assert isinstance(machine, Watched), f"{host.name} runs {machine}"
    return (applying.applier.applied.index, machine.inner) if applying.presentable else None


def blamed(error: BaseException, who: str, where: str) -> Violation:
    """What to say of an exception out of the user's own code."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Violation):
        return error
    if isinstance(error, Unsealed):
        return Violation("sealed", str(error))
    return Violation(where, f"{who}: {told(error)}")


def unexplained(impossible: Impossible) -> str:
    """Why no order of the calls explains what was seen, for people."""
    longest = max(impossible.prefixes, key=lambda prefix: len(prefix.order), default=None)
    if longest is None:
        return f"nothing explains {impossible.operation}"
    before = f" after {longest.order[-1]}" if longest.order else ""
    return f"no order of the calls explains {impossible.operation}: the model is in {longest.state!r} by then{before}"


def _always(caller: Caller) -> Callable[[], Any]:
    async def connected() -> Caller:
        return caller

    return connected


async def _end(task: "asyncio.Task[None]") -> None:
    """End a workload that goes on when the span is over; what it raised is raised."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
