"""Traps that only a whole node can fall into: its tasks, its disk, its clock, and the order in which it does things."""

import asyncio
from typing import Never

from raftlog.core.ids import META_GROUP
from raftlog.core.settings import Settings
from raftlog.machine.result import Kind
from raftlog.testing.loop import SimLoop
from raftlog.transport.client_frames import Level
from tests.simulation.asking import (
    Stepping,
    adds,
    agreed,
    kinds,
    led,
    noted,
    play,
    read,
    running,
    submit,
    value,
)
from tests.simulation.world import World


def exhaust() -> Never:
    """What a command does where no memory is left."""
    raise MemoryError("no memory left")


def sim() -> SimLoop:
    """The loop in virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop), "a simulation"
    return loop


def test_p6_slow_commands_hold_up_neither_heartbeats_nor_elections() -> None:
    """Applying yields to the loop between slices, so seconds of it cost nobody the office."""

    async def story(world: World) -> None:
        leader = await led(world)
        term = running(leader).status().term
        answers = submit(running(leader), adds(800))
        assert kinds(await answers.wait()) == {Kind.OK}
        assert world.loop.time() > 4.0, "it was not slow"
        for host in world.hosts:
            assert running(host).status().term == term, f"{host.name} saw an election"

    play(story, machine=lambda: Stepping(lambda: sim().spend(3_000)))


def test_a_node_that_cannot_apply_hands_over_and_shows_nobody_its_half_changed_state() -> None:
    """MemoryError in a command: that node goes on voting and replicating, leads no more, and tries again."""
    machines: list[Stepping] = []

    def make() -> Stepping:
        machines.append(Stepping())
        return machines[-1]

    async def story(world: World) -> None:
        leader = await led(world)
        assert value((await submit(running(leader), adds()).wait())[0]) == 1
        machines[world.hosts.index(leader)].step = exhaust
        begun = world.loop.time()
        answers = submit(running(leader), adds())
        assert kinds(await answers.wait()) == {Kind.UNKNOWN}
        assert world.loop.time() - begun < 0.5, "the answer waited for something else to happen"
        for level in Level:
            assert (await read(running(leader), level=level)).kind is Kind.FAILED, level
        assert not running(leader).serving
        await world.hosts[world.hosts.index(leader) - 1].crash()
        second = await led(world, among=[host for host in world.hosts if host.node is not None])
        assert second is not leader
        assert value((await submit(running(second), adds()).wait())[0]) == 3, (
            "it neither votes nor acknowledges"
        )
        while running(leader).applied(META_GROUP) == 0:
            seen = await read(running(leader), level=Level.LOCAL)
            assert seen.kind is Kind.FAILED, "a state that is built anew was shown half-way"
            await asyncio.sleep(0.01)
        await agreed(world, 3)

    play(story, machine=make)


def test_a_node_whose_own_log_cannot_be_read_answers_at_once_and_never_leads() -> None:
    """What it would have to apply next is lost here: it says so instead of leaving calls and reads waiting."""
    machines: list[Stepping] = []

    def make() -> Stepping:
        machines.append(Stepping())
        return machines[-1]

    async def story(world: World) -> None:
        broken = await led(world)
        machines[world.hosts.index(broken)].step = exhaust
        assert kinds(await submit(running(broken), adds()).wait()) == {Kind.UNKNOWN}
        broken.disk.fail_once("read")  # which is what building the state anew begins with
        leader = await led(world)
        await noted(world, "cannot apply on")
        assert (await read(running(broken))).kind is Kind.FAILED
        assert not running(broken).serving
        await leader.crash()
        for _ in range(500):
            await asyncio.sleep(0.02)
            assert running(broken).status().role == "follower", "it would lead what it cannot apply"
        await leader.start()
        assert kinds(await submit(running(await led(world)), adds()).wait()) == {Kind.OK}
        await broken.crash()
        await broken.start()
        await agreed(world, 2)

    play(story, machine=make, settings=Settings(max_recent=1))
