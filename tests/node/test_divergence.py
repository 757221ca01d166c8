"""Replicas whose states differ: found by comparing digests, fenced, and restored from a peer."""

import asyncio
from collections.abc import Callable
from functools import partial

from raftlog.core.ids import META_GROUP
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind
from raftlog.node import Node
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.node.test_snapshots import SMALL, add, agreed, leader_of
from tests.simulation.tally import Tally
from tests.simulation.world import Host, World


def flip(host: Host) -> None:
    """A bit of the state changes that nobody wrote: the next answer differs from that of the others."""
    assert host.node is not None
    machine = host.node._replicas[META_GROUP].applying.applier._machine
    assert isinstance(machine, Tally)
    machine.counts["x"] += 1 << 20


async def settled(seed: int, nodes: int = 3) -> World:
    world = World(seed, machine=Tally, weather=Weather(), retention=SMALL, nodes=nodes)
    await world.start()
    await asyncio.sleep(4)
    return world


async def until(what: Callable[[], bool], world: World, seconds: float = 15) -> None:
    for _ in range(int(seconds / 0.05)):
        if what():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("\n".join(world.log[-40:]))


def fenced(host: Host) -> str:
    """Why it is; empty: it is not, or does not run."""
    return "" if host.node is None else host.node.status().fenced


def in_doubt(node: Node) -> bool:
    return any("a quorum has yet to say" in sentence for sentence in node.impairments)


def test_a1_a_follower_that_differs_is_fenced_and_gets_the_state_of_its_leader() -> None:
    async def story() -> None:
        world = await settled(11)
        await add(world, 70)
        await agreed(world)
        wrong = next(host for host in world.hosts if host is not leader_of(world))
        before = wrong.node and wrong.node.status().applied
        flip(wrong)
        await add(world, 1)
        await until(lambda: bool(fenced(wrong)), world)
        node = wrong.node
        assert node is not None
        assert f"since some entry of {before + 1 if before else 0} to" in fenced(wrong)
        answer = node.query(META_GROUP, 1, encode_call(Tally.read, "x"))
        assert answer.kind is Kind.FAILED
        assert b"fenced" in answer.body
        assert not node.serving
        assert node.newest_snapshot(META_GROUP) is None, "it would give others a state that is wrong"
        assert any("fenced" in line for line in node.impairments)
        await add(world, 3)
        await until(lambda: not fenced(wrong), world)
        await agreed(world)
        assert node.query(META_GROUP, 1, encode_call(Tally.read, "x")).body == b"\x4a", "74 were added"
        await wrong.crash()
        await wrong.start()
        await agreed(world)
        assert not fenced(wrong)
        await world.stop()

    run(story(), seed=11)


def test_a_leader_that_differs_gives_up_its_office() -> None:
    async def story() -> None:
        world = await settled(12)
        await add(world, 70)
        await agreed(world)
        wrong = leader_of(world)
        flip(wrong)
        await add(world, 1)
        await until(lambda: bool(fenced(wrong)), world)
        assert wrong.node is not None
        assert wrong.node.status().role == "follower"
        await until(lambda: any(h.node and h.node.status().role == "leader" for h in world.hosts), world)
        assert leader_of(world) is not wrong
        await add(world, 3)
        await until(lambda: not fenced(wrong), world)
        await agreed(world)
        await world.stop()

    run(story(), seed=12)


def test_a_fence_outlives_a_crash_and_a_second_one_in_the_middle_of_the_cure() -> None:
    async def story() -> None:
        world = await settled(13)
        await add(world, 130)  # it has snapshots of its own by now
        await agreed(world)
        wrong = next(host for host in world.hosts if host is not leader_of(world))
        flip(wrong)
        await add(world, 60)  # and one more, of the wrong state
        await until(lambda: bool(fenced(wrong)), world)
        for _ in range(3):
            await wrong.crash()
            await wrong.start()
            await asyncio.sleep(0.05)
        await add(world, 3)
        await agreed(world)
        await add(world, 1)
        await until(lambda: not fenced(wrong), world)
        assert any(name.endswith(".bad") for name in wrong.disk.platter.names), (
            "its own snapshots are still in use"
        )
        await wrong.crash()
        await wrong.start()
        await agreed(world)
        for host in world.hosts:
            assert host.node is not None
            answer = host.node.query(META_GROUP, 1, encode_call(Tally.read, "x"))
            assert answer.body == b"\xcc\xc2", f"{host.name}: 194 were added"
        await world.stop()

    run(story(), seed=13)


def test_two_that_differ_are_both_named_and_go_on() -> None:
    async def story() -> None:
        world = await settled(14, nodes=2)
        await add(world, 20)
        await agreed(world)
        wrong = next(host for host in world.hosts if host is not leader_of(world))
        flip(wrong)
        await add(world, 1)
        for host in world.hosts:
            node = host.node
            assert node is not None
            await until(partial(in_doubt, node), world)
            assert not fenced(host)
        await add(world, 5)
        assert not any(map(fenced, world.hosts))
        await world.stop()

    run(story(), seed=14)
