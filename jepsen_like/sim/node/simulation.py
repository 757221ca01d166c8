"""One run of the node tier: whole nodes and real clients under a plan, from the first start to the verdict."""

import asyncio
import gc
from random import Random

from jepsen_like.sim.faults import AnyFault, ends
from jepsen_like.sim.happening import Watch
from jepsen_like.sim.node.callers import GRACE, Caller, Story, addresses, all_of, visit
from jepsen_like.sim.node.effects import Leak
from jepsen_like.sim.node.images import durable_only, image_of
from jepsen_like.sim.node.nemesis import Nemesis
from jepsen_like.sim.node.peace import make_peace
from jepsen_like.sim.node.registers import Registers
from jepsen_like.sim.node.world import World
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Outcome, Run, Violation
from raftlog.core.ids import Micros
from raftlog.storage import LogDamaged, StorageRefused
from raftlog.testing.loop import SimDeadlock, SimLeak, SimLoop
from raftlog.testing.loop import run as run_loop
from raftlog.testing.network import Weather

FEWEST = 10
"""Acknowledged operations below which a run has shown nothing."""


def run(plan: Plan, *, watch: Watch | None = None, story: Story | None = None) -> Run:
    """Carry out a plan. Equal plans on equal builds give equal runs, watched or not.

    `story` is what the clients do and with which machine; by default they use the key-value store as the plan's
    workload says.
    """
    gc.collect()  # the run before left circles behind, which this one would freeze and carry along
    return Simulation(plan, watch=watch, story=story).run()


class Simulation:
    """One run, whose world can be looked at afterwards."""

    def __init__(self, plan: Plan, *, watch: Watch | None = None, story: Story | None = None) -> None:
        self.plan = plan
        self.story: Story = story or Registers(plan.workload)
        self.loop = SimLoop(Random(f"{plan.seed}/node/order"))
        self.world = World(plan, self.story.machine, self.loop, watch)
        self.nemesis = Nemesis(self.world)

    def run(self) -> Run:
        """See `run`."""
        try:
            run_loop(self._main(), seed=self.plan.seed, loop=self.loop)
        except SimDeadlock as problem:
            return self._failed("deadlock", problem)
        except SimLeak as problem:
            return self._failed("leak", problem)
        except Leak as leak:
            return self._ended("invalid", problem=str(leak))
        except Violation as problem:
            return self._failed(problem.oracle, problem)
        except Exception as problem:  # noqa: BLE001 - whatever a node or a client raises is a finding
            return self._failed("assertion", problem)
        if self.world.outcomes["acknowledged"] < FEWEST:
            return self._ended(
                "invalid", problem=f"{self.world.outcomes['acknowledged']} operations were acknowledged"
            )
        return self._ended("passed")

    async def _main(self) -> None:
        world = self.world
        try:
            await self._play()
        except asyncio.CancelledError:
            if world.problem is None:
                raise
        except BaseException as problem:  # noqa: BLE001 - kept, and raised once everything has ended
            world.blame(_first(problem))
        finally:
            _forgive_cancellation()
            await world.end()
        if world.problem is not None:
            world.problem.add_note("\n".join(world.chronicle.last_lines))
            raise world.problem

    async def _play(self) -> None:
        world, plan = self.world, self.plan
        self.nemesis.before_birth()
        await world.start()
        self.nemesis.begin()
        until = plan.span / 1e6
        names = [f"c{number}" for number in range(1, plan.workload.clients + 1)]
        patience = until + plan.workload.deadline / 1e6 + 2 * GRACE
        try:
            async with asyncio.timeout(patience):
                await all_of(world, {name: self._live(name, until) for name in names})
        except TimeoutError:
            raise Violation("client", f"clients have not come to an end by {patience} s") from None
        await asyncio.sleep(max(0.0, until - world.loop.time()))
        self.nemesis.relent()
        await self.nemesis.wait()
        await make_peace(world, self.story)
        self._judge_disks()
        world.states.judge()
        self.story.verdict(world)

    async def _live(self, name: str, until: float) -> None:
        async def use(caller: Caller) -> None:
            await self.story.live(caller, until)

        await visit(
            self.world,
            name,
            addresses(self.world.hosts),
            use,
            deadline=self.plan.workload.deadline / 1e6,
        )

    def _judge_disks(self) -> None:
        """Power fails everywhere at once, as unluckily as can be: what is decided must be on a quorum of the disks."""
        world = self.world
        for host in world.hosts:
            if host.lost or host.damaged:
                continue
            assert host.ledger is not None, "a host that was bootstrapped has a ledger"
            try:
                found = image_of(durable_only(host.disk.platter))
            except (LogDamaged, StorageRefused) as refused:
                raise Violation("recovery", f"{host.name}: its log would be refused: {refused}") from refused
            host.ledger.survives_as(host.name, found)
            host.ledger.durable = found
            world.checker.known(found.entries, found.base.last.term)
            world.checker.crashed(host.id)

    # -- the outcome

    def _failed(self, oracle: str, problem: BaseException) -> Run:
        text = problem.problem if isinstance(problem, Violation) else f"{type(problem).__name__}: {problem}"
        return self._ended("failed", oracle=oracle, problem=text)

    def _ended(self, outcome: Outcome, *, oracle: str = "", problem: str = "") -> Run:
        world = self.world
        return Run(
            seed=self.plan.seed,
            tier=self.plan.tier,
            outcome=outcome,
            oracle=oracle,
            problem=problem,
            trace=world.chronicle.digest,
            span=self.loop.micros,
            events=self.loop.events,
            acknowledged=world.outcomes["acknowledged"],
            failed=world.outcomes["failed"],
            unknown=world.outcomes["unknown"],
            leader_changes=world.leader_changes,
            restarts=world.restarts,
            quiet=quiet(self.plan),
            faults=dict(sorted(self.nemesis.carried_out.items())),
            skipped=dict(sorted(self.nemesis.skipped.items())),
            coverage=dict(sorted(world.chronicle.counts.items())),
        )


def quiet(plan: Plan) -> Micros:
    """Virtual time of the fault phase in which no fault is under way and the weather is calm."""
    if not _calm(plan.weather):
        return 0
    quiet = reached = 0
    for fault in sorted(plan.faults, key=_at):
        quiet += max(0, fault.at - reached)
        reached = max(reached, ends(fault))
    return quiet + max(0, plan.span - reached)


def _at(fault: AnyFault) -> Micros:
    return fault.at


def _calm(weather: Weather) -> bool:
    return not (weather.loss or weather.duplicate or weather.reorder or weather.breaks)


def _first(problem: BaseException) -> BaseException:
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def _forgive_cancellation() -> None:
    """The main task was cancelled to end the run, and goes on to clear up."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
