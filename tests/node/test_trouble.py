"""A node's disk in trouble: each state is entered, seen, does what it should, and is left by itself."""

import asyncio
from collections.abc import Callable

import msgspec

from raftlog.core.entry import Command
from raftlog.core.ids import META_GROUP
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind, Refusal, Result
from raftlog.node import Node
from raftlog.node.retention import Retention
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from raftlog.transport.client_frames import Level
from tests.simulation.tally import Tally
from tests.simulation.world import SEGMENT, Host, World


async def settled(seed: int, retention: Retention | None = None) -> World:
    world = World(seed, machine=Tally, weather=Weather(), retention=retention)
    await world.start()
    await asyncio.sleep(4)
    return world


def node_of(host: Host) -> Node:
    assert host.node is not None, f"{host.name} is down"
    return host.node


def leaders(world: World) -> list[Host]:
    """Whoever leads the highest term, if anybody does."""
    led = [host for host in world.hosts if host.node is not None and host.node.status().role == "leader"]
    return sorted(led, key=lambda host: node_of(host).status().term)[-1:]


def leader_of(world: World) -> Host:
    (leader,) = leaders(world)
    return leader


async def add(host: Host, size: int = 1) -> Result:
    """One command without a session, straight at the node."""
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    command = Command(0, 0, 0, 1, 1, encode_call(Tally.add, "x" * size, 1))
    node_of(host).submit(META_GROUP, [command], lambda results: answer.set_result(results[0]))
    return await answer


async def read(host: Host) -> Result | None:
    """A linearizable read: None when it may be answered, else the refusal."""
    answer: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()
    node_of(host).read(META_GROUP, Level.LINEARIZABLE, answer.set_result)
    return await answer


def reason(result: Result | None) -> str:
    assert result is not None, "it was not refused"
    assert result.kind is Kind.FAILED, result
    return msgspec.msgpack.decode(result.body, type=Refusal).reason


async def until(what: str, holds: Callable[[], bool], seconds: float = 30) -> None:
    for _ in range(int(seconds * 10)):
        if holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


async def agreed(world: World) -> None:
    def equal() -> bool:
        statuses = [node_of(host).status() for host in world.hosts]
        return len({(status.applied, status.digest) for status in statuses}) == 1

    await until("all nodes in one state", equal)


def said(world: World, host: Host, text: str) -> int:
    return sum(f" {host.name} {text}" in line for line in world.log)


async def fill(host: Host) -> Result:
    """Write until the node refuses; the refusal."""
    for _ in range(200):
        result = await add(host, 4_000)
        if result.kind is not Kind.OK:
            return result
    raise AssertionError("the disk never filled up")


def test_a_full_leader_refuses_at_once_hands_over_and_comes_back() -> None:
    async def story() -> None:
        world = await settled(1)
        full = leader_of(world)
        full.disk.capacity = 0
        refused = await fill(full)
        assert f"the disk of {full.name} is full: free some space there" in reason(refused)
        assert await read(full) is None, "reads go on"
        assert any("its disk is full" in each for each in node_of(full).impairments)
        await until("another leader", lambda: leaders(world) not in ([], [full]))
        other = leader_of(world)
        assert (await add(other)).kind is Kind.OK
        assert "lacks what is decided since" in reason(await read(full)), "it would have waited for ever"
        await until(
            "the leader to know", lambda: any(full.name in each for each in node_of(other).impairments)
        )
        assert said(world, full, "its disk is full") == 1
        full.disk.capacity = None
        await agreed(world)
        await until("nothing to say", lambda: not node_of(full).impairments + node_of(other).impairments)
        assert said(world, full, "its disk has space again") == 1
        assert await read(full) is None
        assert leader_of(world) is other, "nobody needed another change"
        await world.stop()

    run(story(), seed=1)


def test_a_full_follower_takes_nothing_new_is_named_and_catches_up() -> None:
    async def story() -> None:
        world = await settled(2)
        leader = leader_of(world)
        full = next(host for host in world.hosts if host is not leader)
        full.disk.capacity = 0
        for _ in range(60):
            assert (await add(leader, 4_000)).kind is Kind.OK
        assert full.node is not None
        stands = full.node.status().durable
        assert stands < node_of(leader).status().committed
        assert any(f"the disk of {full.name} is full" in each for each in node_of(leader).impairments)
        assert leader_of(world) is leader
        await asyncio.sleep(5)
        assert node_of(full).status().durable == stands
        full.disk.capacity = None
        await agreed(world)
        assert not node_of(leader).impairments
        await world.stop()

    run(story(), seed=2)


def test_all_disks_full_refuse_writes_answer_reads_and_recover_by_themselves() -> None:
    async def story() -> None:
        world = await settled(3)
        leader = leader_of(world)
        term = node_of(leader).status().term
        for host in world.hosts:
            host.disk.capacity = 0
        refused = reason(await fill(leader))
        assert "full" in refused
        await until("all to be full", lambda: all(node_of(host).status().full for host in world.hosts))
        await asyncio.sleep(20)
        assert "disks of h1, h2, h3 are full" in reason(await add(leader_of(world)))
        for host in world.hosts:
            assert await read(host) is None, "reads go on where nothing is missing"
        assert node_of(leader_of(world)).status().term <= term + 1, "leadership wanders"
        for host in world.hosts:
            host.disk.capacity = None
        await until("space", lambda: not any(node_of(host).status().full for host in world.hosts))
        await asyncio.sleep(0.3)
        assert (await add(leader_of(world))).kind is Kind.OK
        await agreed(world)
        await world.stop()

    run(story(), seed=3)


def test_a_vote_passes_a_batch_that_waits_for_space() -> None:
    async def story() -> None:
        world = await settled(4)
        leader = leader_of(world)
        full, other = [host for host in world.hosts if host is not leader]
        full.disk.hold("allocate")  # it is not known yet that there is no space when the entries come
        full.disk.capacity = 0
        term = node_of(leader).status().term
        for _ in range(12):
            assert (await add(leader, 12_000)).kind is Kind.OK
        await asyncio.sleep(0.5)
        status = node_of(full).status()
        assert status.durable < status.last, "no batch waits: no test"
        full.disk.release("allocate")
        await until("a batch without space", lambda: said(world, full, "cannot write") > 0)
        await leader.crash()
        await until("a new leader", lambda: node_of(other).status().role == "leader")
        assert node_of(full).status().term > term
        assert node_of(full).status().vote == other.id
        assert node_of(full).status().durable == status.durable, "the batch found space: no test"
        full.disk.capacity = None
        await leader.start()
        await agreed(world)
        await world.stop()

    run(story(), seed=4)


def test_space_is_made_of_what_is_kept_for_others() -> None:
    """Nobody frees anything: the window behind the snapshots goes, then a new snapshot lets go of the rest."""

    async def story() -> None:
        keep = Retention(entries=30, keep_entries=1_000, keep_bytes=1 << 30)
        world = await settled(5, keep)
        leader = leader_of(world)
        for _ in range(150):
            assert (await add(leader, 4_000)).kind is Kind.OK
        await asyncio.sleep(1)
        for host in world.hosts:
            assert node_of(host).status().first == 1, "the window is gone already: no test"
            files = host.disk.platter.names.values()
            host.disk.capacity = sum(len(inode.cache) for inode in files) + SEGMENT // 2
        kept = 0
        for _ in range(100):
            if leaders(world):
                kept += (await add(leader_of(world), 4_000)).kind is Kind.OK
            await asyncio.sleep(0.1)
        assert kept > 60, "it did not help itself: there was space for fewer than twenty"
        for host in world.hosts:
            assert said(world, host, "its disk is full") > 0, "it was never full: no test"
            assert said(world, host, "its disk has space again") > 0
            assert node_of(host).status().first > 100
        await world.stop()

    run(story(), seed=5)


def test_a_hanging_disk_is_no_service_and_passes() -> None:
    async def story() -> None:
        world = await settled(6)
        leader = leader_of(world)
        stuck = next(host for host in world.hosts if host is not leader)
        stuck.disk.hold("sync")
        assert (await add(leader)).kind is Kind.OK
        await until("the state", lambda: not node_of(stuck).serving)
        assert any("its disk hangs" in each for each in node_of(stuck).impairments)
        assert "hangs" in reason(await read(stuck))
        stuck.disk.release("sync")
        await until("service", lambda: node_of(stuck).serving)
        assert (await add(leader)).kind is Kind.OK
        await until("a prompt write", lambda: not node_of(stuck).impairments)
        assert await read(stuck) is None
        assert said(world, stuck, "its disk is too slow") == said(world, stuck, "its disk is as fast") == 1
        await world.stop()

    run(story(), seed=6)


def drags(host: Host, seconds: float) -> None:
    """From now on each sync of this disk takes so long."""
    host.disk._latency = lambda operation, size: seconds if operation == "sync" else 0.0


async def load(world: World, seconds: float) -> int:
    """Commands one after the other at whoever leads; how many were decided."""
    loop, done = asyncio.get_running_loop(), 0
    until = loop.time() + seconds
    while loop.time() < until:
        if leaders(world):
            done += (await add(leader_of(world))).kind is Kind.OK
        await asyncio.sleep(0.05)
    return done


def test_a_leader_with_a_far_slower_disk_leaves_once_and_stays_away() -> None:
    async def story() -> None:
        world = await settled(7)
        slow = leader_of(world)
        term = node_of(slow).status().term
        drags(slow, 0.4)
        await load(world, 30)
        assert leader_of(world) is not slow
        assert node_of(slow).status().term <= term + 2, "leadership flaps"
        assert any("its disk is too slow" in each for each in node_of(slow).impairments)
        assert await load(world, 5) > 50
        drags(slow, 0.001)
        await load(world, 2)
        assert not node_of(slow).impairments
        await agreed(world)
        await world.stop()

    run(story(), seed=7)


def test_where_all_disks_are_slow_leadership_does_not_wander() -> None:
    async def story() -> None:
        world = await settled(8)
        leader = leader_of(world)
        term = node_of(leader).status().term
        for host in world.hosts:
            drags(host, 0.4)
        assert await load(world, 60) > 50
        assert leader_of(world) is leader
        assert node_of(leader).status().term == term
        await world.stop()

    run(story(), seed=8)
