"""Traps that only a whole node can fall into: its tasks, its disk, its clock, and the order in which it does things."""

import asyncio

from raftlog.machine.result import Kind
from raftlog.testing.loop import SimLoop
from tests.simulation.asking import Stepping, adds, kinds, led, play, running, submit
from tests.simulation.world import World


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
