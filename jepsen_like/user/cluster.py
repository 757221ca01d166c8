"""A simulated cluster in the hands of a test: clients, faults when the test wants them, and a verdict at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from jepsen_like.sim.faults import Crash, Kill, Partition, Pause
from jepsen_like.sim.node import Simulation
from jepsen_like.sim.node.callers import Caller, addresses, visit
from jepsen_like.sim.node.nemesis import Nemesis
from jepsen_like.sim.node.peace import make_peace
from jepsen_like.sim.node.world import World
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Violation
from jepsen_like.user.client import SimulatedClient
from jepsen_like.user.story import UserStory, machines_of
from raftlog.core.ids import Micros

FOR_EVER: Micros = 10**15
"""Until somebody takes it back: longer than any test may take."""


class Hands(Nemesis):
    """A nemesis that also does what a test tells it, now."""

    def inflict(self, fault: Crash | Kill | Pause | Partition) -> None:
        """Do it now, besides what the plan says."""
        self._strike(fault)

    def take_back(self) -> None:
        """End everything that is under way; what the plan says goes on to come."""
        for serial in sorted(self._under_way):
            self._finish(serial)


class SimulatedCluster:
    """The cluster of one run: what the fixture `cluster` is.

    Nodes are `n1`, `n2`, ...; wherever one is named, `leader` is whoever leads at that moment. Faults begin at once and
    last until they are taken back. What takes virtual time is awaited, the rest is not.
    """

    def __init__(self) -> None:
        self._test: TestRun | None = None

    def hand_over(self, test: "TestRun | None") -> None:
        """Stand for another run."""
        self._test = test

    @property
    def _run(self) -> "TestRun":
        if self._test is None:
            raise RuntimeError(
                "there is no cluster outside of a simulated test: mark it @pytest.mark.simulate and make it async"
            )
        return self._test

    @property
    def _world(self) -> World:
        return self._run.world

    # -- who and when

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, running or not."""
        return tuple(host.name for host in self._world.hosts)

    @property
    def running(self) -> tuple[str, ...]:
        """The nodes that have a process."""
        return tuple(host.name for host in self._world.hosts if host.runs)

    @property
    def machines(self) -> dict[str, Any]:
        """The machine on each node that runs, as it stands. Change nothing."""
        return machines_of(self._world)

    @property
    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._world.loop.time()

    @property
    def seed(self) -> int:
        """Of this run."""
        return self._world.plan.seed

    @property
    def random(self) -> Any:
        """A `random.Random` made from the seed, for what the test itself leaves to chance."""
        return self._run.random

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def leader(self, timeout: float = 60.0) -> str:
        """Wait until somebody leads, and say who.

        Raises:
            TimeoutError: nobody does, for so many virtual seconds.
        """
        async with asyncio.timeout(timeout):
            while True:
                if (found := self._world.leader()) is not None:
                    return found.name
                await asyncio.sleep(0.01)

    def client(self) -> SimulatedClient:
        """A new client, on a host of its own: `c1`, `c2`, ... It connects when it first calls."""
        return self._run.new_client()

    # -- faults

    def crash(self, *nodes: str) -> str:
        """Power fails on these nodes at once: what was not synced is kept or lost by chance. Gives their names."""
        return self._end(Crash, nodes)

    def kill(self, *nodes: str) -> str:
        """The processes die at once, as of SIGKILL; the machines live on. Gives their names."""
        return self._end(Kill, nodes)

    def _end(self, fault: type[Crash] | type[Kill], nodes: tuple[str, ...]) -> str:
        names = self._named(nodes)
        self._run.hands.inflict(fault(at=self._now, nodes=tuple(names), down=FOR_EVER))
        return " ".join(names)

    def restart(self, *nodes: str) -> None:
        """Start them again; without names all that are down."""
        for name in self._named(nodes) if nodes else self.nodes:
            self._world.host(name).start()

    def pause(self, *nodes: str) -> str:
        """They stand still, timers and all, as of SIGSTOP. Gives their names."""
        names = self._named(nodes)
        self._run.hands.inflict(Pause(at=self._now, nodes=tuple(names), span=FOR_EVER))
        return " ".join(names)

    def partition(self, *sides: str | Iterable[str]) -> None:
        """Nothing passes between the sides: `partition("n1", ["n2", "n3"])`. With one side: between it and all others.

        Clients (`c1`, ...) that are not named reach every side.
        """
        named = [self._named((side,) if isinstance(side, str) else tuple(side)) for side in sides]
        if len(named) == 1:
            named.append([name for name in self.nodes if name not in named[0]])
        cut = tuple(tuple(side) for side in named)
        self._run.hands.inflict(Partition(at=self._now, sides=cut, span=FOR_EVER))

    def heal(self) -> None:
        """Take back partitions, pauses and every other fault that lasts. Nodes that are down stay down: `restart`."""
        self._run.hands.take_back()

    def _named(self, nodes: tuple[str, ...]) -> list[str]:
        known = {*self.nodes, *(client.name for client in self._run.theirs.clients), "leader"}
        for name in nodes:
            if name not in known:
                raise ValueError(
                    f"there is no node {name!r} here; there are {', '.join(self.nodes)} and 'leader'"
                )
        names = self._world.named(nodes)
        if not names:
            raise RuntimeError(
                "nobody leads at this moment: `await cluster.leader()` waits until somebody does"
            )
        return names

    @property
    def _now(self) -> Micros:
        return self._world.loop.micros

    # -- the verdict

    async def check(self) -> None:
        """End all faults, let the cluster recover, and judge. Comes by itself when the test ends.

        Some nodes may be left for dead on purpose: a majority is all that a cluster needs.
        """
        await self._run.judge()


Body = Callable[[], Awaitable[object]]


class TestRun(Simulation):
    """One run in which the test itself is the workload."""

    __test__ = False

    def __init__(self, plan: Plan, story: UserStory, body: Body, limit: Micros) -> None:
        super().__init__(plan, story=story)
        self.theirs = story
        self.hands = Hands(self.world)
        self.nemesis = self.hands
        self.random = self.world.draw("test")
        self._body = body
        self._limit = limit / 1e6
        self._clients: asyncio.TaskGroup | None = None
        self._leave = asyncio.Event()
        self._judged = False

    def new_client(self) -> SimulatedClient:
        """See `SimulatedCluster.client`."""
        name = f"c{len(self.theirs.clients) + 1}"
        connected: asyncio.Future[Caller] | None = None

        async def use(caller: Caller) -> None:
            assert connected is not None, "connected by whoever called first"
            connected.set_result(caller)
            await self._leave.wait()

        async def connect() -> Caller:
            nonlocal connected
            if connected is None:
                connected = self.loop.create_future()
                assert self._clients is not None, f"{name} calls before the run has begun"
                everyone = addresses(self.world.hosts)
                self._clients.create_task(
                    visit(self.world, name, everyone, use, deadline=self.plan.workload.deadline / 1e6),
                    context=self.loop.context_of(name),
                )
            return await asyncio.shield(connected)

        return self.theirs.client(name, connect)

    async def _play(self) -> None:
        await self.world.start()
        self.theirs.begin(self.world)
        self.nemesis.begin()
        async with asyncio.TaskGroup() as self._clients:
            await self._in_time()
            await self.judge()
            self._leave.set()

    async def _in_time(self) -> None:
        limit = asyncio.timeout(self._limit)
        try:
            async with limit:
                await self._body()
        except TimeoutError:
            if limit.expired():
                raise Violation(
                    "test", f"the test has not ended after {self._limit:g} virtual seconds"
                ) from None
            raise

    async def judge(self) -> None:
        """See `SimulatedCluster.check`."""
        if self._judged:
            return
        self._judged = True
        self.nemesis.relent()
        await self.nemesis.wait()
        await make_peace(self.world, self.theirs)
        self._judge_disks()
        self.theirs.verdict(self.world)
