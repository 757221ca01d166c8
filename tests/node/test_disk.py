"""A node and its disk: full is a state that passes, a failed sync is the end of this process's promises."""

import asyncio

import pytest

from raftlog.core.entry import Command
from raftlog.core.ids import META_GROUP
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind, Result
from raftlog.storage import DiskError
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.simulation.tally import Tally
from tests.simulation.world import Host, World


async def settled(seed: int) -> World:
    world = World(seed, machine=Tally, weather=Weather())
    await world.start()
    await asyncio.sleep(4)
    return world


def leader_of(world: World) -> Host:
    return next(host for host in world.hosts if host.node is not None and host.node.status().role == "leader")


async def add(host: Host, size: int = 1) -> Result:
    """One command without a session, straight at the node."""
    assert host.node is not None
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    body = encode_call(Tally.add, "x" * size, 1)
    command = Command(0, 0, 0, 1, 1, body)
    host.node.submit(META_GROUP, [command], lambda results: answer.set_result(results[0]))
    return await answer


def test_a_failed_sync_ends_the_node_and_loses_nothing_acknowledged() -> None:
    async def story() -> None:
        world = await settled(2)
        broken = leader_of(world)
        assert (await add(broken)).kind is Kind.OK
        broken.disk.fail_once("sync")
        result = await add(broken)
        assert result.kind is not Kind.OK
        with pytest.raises(ExceptionGroup) as failure:
            await broken.stop()
        assert failure.group_contains(DiskError)
        await asyncio.sleep(5)
        broken.forget()
        other = leader_of(world)
        assert other is not broken
        result = await add(other)
        assert result.kind is Kind.OK
        assert result.body >= b"\x02", "the acknowledged addition is gone"
        await world.stop()

    run(story(), seed=2)


def test_a_leader_whose_disk_hangs_is_replaced() -> None:
    async def story() -> None:
        world = await settled(3)
        stuck = leader_of(world)
        stuck.disk.hold("sync")
        waiting = asyncio.get_running_loop().create_task(add(stuck))
        await asyncio.sleep(3 * world.settings.election_timeout / 1e6 + 0.1)
        assert leader_of(world) is not stuck
        assert (await waiting).kind is Kind.UNKNOWN
        assert (await add(leader_of(world))).kind is Kind.OK
        stuck.disk.release("sync")
        await asyncio.sleep(3)
        await world.stop()

    run(story(), seed=3)
