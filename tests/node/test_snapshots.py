"""Snapshots of a running cluster: taken beside the work, the log let go behind them, fetched by who was away."""

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec

from raftlog.core.entry import Command
from raftlog.core.ids import META_GROUP
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind, Result
from raftlog.node.retention import Retention
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.simulation.tally import Tally
from tests.simulation.world import Host, World

SMALL = Retention(entries=50, keep_entries=20)


async def settled(seed: int, retention: Retention = SMALL) -> World:
    world = World(seed, machine=Tally, weather=Weather(), retention=retention)
    await world.start()
    await asyncio.sleep(4)
    return world


def leader_of(world: World) -> Host:
    return next(host for host in world.hosts if host.node is not None and host.node.status().role == "leader")


async def add(world: World, count: int, *, size: int = 1) -> None:
    """So many entries."""
    for _ in range(count):
        node = leader_of(world).node
        assert node is not None
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        command = Command(0, 0, 0, 1, 1, encode_call(Tally.add, "x" * size, 1))
        node.submit(META_GROUP, [command], partial(_first, answer))
        assert (await answer).kind is Kind.OK


def _first(answer: "asyncio.Future[Result]", results: Sequence[Result]) -> None:
    answer.set_result(results[0])


def states(world: World) -> set[tuple[int, int]]:
    """What the running nodes have applied, and the digests."""
    statuses = [host.node.status() for host in world.hosts if host.node is not None]
    return {(status.applied, status.digest) for status in statuses}


async def agreed(world: World) -> None:
    """Wait until all nodes are at one point."""
    for _ in range(60):
        await asyncio.sleep(0.25)
        if len(states(world)) == 1 and all(host.node is not None for host in world.hosts):
            return
    raise AssertionError([host.node and host.node.status() for host in world.hosts])


def test_snapshots_are_taken_and_the_log_begins_behind_them() -> None:
    async def story() -> None:
        world = await settled(1)
        await add(world, 400)
        await agreed(world)
        for host in world.hosts:
            assert host.node is not None
            status = host.node.status()
            assert status.snapshot >= 350
            assert 1 < status.first <= status.snapshot - SMALL.keep_entries + 1
            assert len(host.node.wal.snapshots.all(META_GROUP)) == 2
        await world.stop()

    run(story(), seed=1)


def test_a_restart_goes_on_from_the_snapshot() -> None:
    async def story() -> None:
        world = await settled(2)
        await add(world, 230)
        await agreed(world)
        for host in world.hosts:
            await host.crash()
        for host in world.hosts:
            await host.start()
        await agreed(world)
        await add(world, 5)
        await agreed(world)
        for host in world.hosts:
            assert host.node is not None
            read = host.node.query(META_GROUP, 1, encode_call(Tally.read, "x"))
            assert msgspec.msgpack.decode(read.body) == 235, "the state is not the log's"
            assert host.node.status().first > 1, "it applied the whole log anew: no test"
        await world.stop()

    run(story(), seed=2)


def test_who_was_away_for_long_gets_the_state_from_a_peer() -> None:
    async def story() -> None:
        world = await settled(3)
        away = next(host for host in world.hosts if host is not leader_of(world))
        await add(world, 20)
        await away.crash()
        await add(world, 400)
        await away.start()
        await agreed(world)
        assert away.node is not None
        assert away.node.status().first > 1, "it got the whole log: no test"
        assert any("needs entry" in line for line in world.log)
        await away.crash()
        await away.start()
        await agreed(world)
        await world.stop()

    run(story(), seed=3)


def test_a_follower_that_does_not_answer_is_not_waited_for() -> None:
    """Nothing can be decided until the state has come: of three, one hangs, and it is asked before the leader."""

    async def story() -> None:
        world = await settled(4)
        leader = leader_of(world)
        away, hung = (host for host in world.hosts if host is not leader)
        await away.crash()
        await add(world, 400)
        world.network.hang(hung.name)
        await away.start()
        began = asyncio.get_running_loop().time()
        while away.node is None or away.node.status().applied < 400:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.1)
        assert any("needs entry" in line for line in world.log), "it got the whole log: no test"
        assert asyncio.get_running_loop().time() - began < 8, "virtual seconds"
        await world.stop()

    run(story(), seed=4)
