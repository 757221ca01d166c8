"""States from snapshots on running nodes: damaged ones, ones the core does not go by, disks that refuse, and races."""

import asyncio

import msgspec
import pytest

from raftlog.core.durable import SnapshotMeta
from raftlog.core.entry import Entry
from raftlog.core.ids import META_GROUP, EntryId
from raftlog.core.ready import Missing
from raftlog.core.settings import Settings
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind
from raftlog.node.reading import Reading
from raftlog.node.replica import Replica
from raftlog.storage import Compacted
from raftlog.storage.snapshots import Manifest, SnapshotId
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.node.test_snapshots import SMALL, add, agreed, leader_of
from tests.simulation.tally import Tally
from tests.simulation.world import Host, World


async def settled(seed: int, *, count: int = 130, settings: Settings | None = None) -> World:
    """A cluster whose nodes have two snapshots each and logs that begin after the first entries."""
    world = World(seed, machine=Tally, weather=Weather(), retention=SMALL, settings=settings)
    await world.start()
    await asyncio.sleep(4)
    await add(world, count)
    await agreed(world)
    return world


def follower_of(world: World) -> Host:
    return next(host for host in world.hosts if host is not leader_of(world))


def replica_of(host: Host) -> Replica:
    assert host.node is not None, f"{host.name} does not run"
    return host.node._replicas[META_GROUP]


def snapshots_of(host: Host) -> list[Manifest]:
    """Oldest first."""
    assert host.node is not None, f"{host.name} does not run"
    return list(host.node.wal.snapshots.all(META_GROUP))


def rot(host: Host, manifest: Manifest) -> None:
    """A bit of the state changes on disk."""
    host.disk.platter.flip(manifest.part_names[0], manifest.parts[0].length * 4)


def total(host: Host) -> int:
    """What the machine says was added."""
    assert host.node is not None, f"{host.name} does not run"
    answer = host.node.query(META_GROUP, 1, encode_call(Tally.read, "x"))
    assert answer.kind is Kind.OK, f"{host.name}: {answer}"
    return msgspec.msgpack.decode(answer.body, type=int)


def set_aside(host: Host) -> list[str]:
    return [name for name in host.disk.platter.names if name.endswith(".bad")]


def test_a_damaged_newest_snapshot_gives_way_to_the_one_before_it_at_the_start() -> None:
    async def story() -> None:
        world = await settled(31)
        host = follower_of(world)
        *_, before, newest = snapshots_of(host)
        await host.crash()
        rot(host, newest)
        await host.start()
        assert replica_of(host).raft.snapshot_index == before.meta.last.index
        await agreed(world)
        assert total(host) == 130
        assert set_aside(host)
        assert host.node is not None
        assert any(newest.part_names[0] in line for line in host.node.impairments), "nobody is told"
        await world.stop()

    run(story(), seed=31)


@pytest.mark.parametrize("seed", [32, 33])
def test_without_a_sound_snapshot_a_node_starts_impaired_and_fetches_one(seed: int) -> None:
    async def story() -> None:
        world = await settled(seed, count=400)
        host = follower_of(world)
        every = snapshots_of(host)
        assert replica_of(host).raft.first_index > 1, "the log alone gives the state: no test"
        await host.crash()
        for manifest in every:
            rot(host, manifest)
        host.repair = True
        await host.start()
        assert host.node is not None
        assert host.node.status().impaired
        await agreed(world)
        assert total(host) == 400
        await world.stop()

    run(story(), seed=seed)


def test_s11_a_restore_that_fails_shows_nothing_and_leaves_no_index_behind() -> None:
    """While the node runs: the newest is damaged, the one before it serves; nobody is given a state in between."""

    async def story() -> None:
        world = await settled(34)
        host = follower_of(world)
        rot(host, snapshots_of(host)[-1])
        replica = replica_of(host)
        before = replica.applying.applier.applied
        replica.restoring.begin()
        for _ in range(3):
            await asyncio.sleep(0)
            assert not replica.applying.presentable
            assert replica.query(1, encode_call(Tally.read, "x")).kind is Kind.FAILED
            assert replica.applying.applier.applied in (before, snapshots_of(host)[0].meta.last)
        await add(world, 2)
        await agreed(world)
        assert total(host) == 132
        assert set_aside(host)
        await world.stop()

    run(story(), seed=34)


def test_a_state_that_is_lost_while_the_node_runs_comes_from_the_leader() -> None:
    """As after a fetched snapshot that is damaged when it is to be installed: another is fetched."""

    async def story() -> None:
        world = await settled(35, count=400)
        host = follower_of(world)
        for manifest in snapshots_of(host):
            rot(host, manifest)
        replica_of(host).restoring.begin()
        told = False
        for _ in range(200):
            await asyncio.sleep(0.001)
            assert host.node is not None
            told |= any("the state cannot be restored" in line for line in host.node.impairments)
        assert told, "nobody is told"
        await add(world, 1)
        await agreed(world)
        assert total(host) == 401
        assert not replica_of(host).raft.wants_state
        await world.stop()

    run(story(), seed=35)


def test_only_a_snapshot_that_the_core_goes_by_is_restored() -> None:
    """One that was fetched and not installed may lie beyond what is decided here."""

    async def story() -> None:
        world = await settled(36)
        host = follower_of(world)
        newest = snapshots_of(host)[-1]
        beyond = SnapshotMeta(EntryId(newest.meta.last.term, 10_000), newest.meta.membership)
        assert host.node is not None
        host.node.wal.snapshots.shelve(
            msgspec.structs.replace(newest, id=SnapshotId(77), meta=beyond, digest=1)
        )
        replica_of(host).restoring.begin()
        await add(world, 1)
        await agreed(world)
        assert total(host) == 131
        await world.stop()

    run(story(), seed=36)


def test_a_disk_that_refuses_to_read_a_snapshot_is_asked_again() -> None:
    async def story() -> None:
        world = await settled(37)
        host = follower_of(world)
        for _ in range(3):
            host.disk.fail_once("read")
        replica_of(host).restoring.begin()
        await asyncio.sleep(0.1)
        assert host.node is not None
        assert any("cannot be read" in line for line in host.node.impairments), "nobody is told"
        await asyncio.sleep(2)
        assert total(host) == 130
        assert not host.node.impairments
        assert not set_aside(host)
        await world.stop()

    run(story(), seed=37)


@pytest.mark.parametrize("seed", range(40, 44))
def test_a8_whatever_is_being_applied_when_a_state_comes_is_not_applied_to_it(seed: int) -> None:
    """Restored again and again in the middle of replaying, the state is in the end what the log makes of it."""

    async def story() -> None:
        world = await settled(seed, settings=Settings(max_recent=1))
        host = follower_of(world)
        for _ in range(25):
            replica_of(host).restoring.begin()
            for _ in range(world.random.randrange(12)):
                await asyncio.sleep(0)
            await asyncio.sleep(world.random.choice((0, 0.0001, 0.001)))
        await add(world, 3)
        await agreed(world)
        await asyncio.sleep(0.5)
        appliers = [replica_of(each).applying.applier for each in world.hosts]
        assert len({(applier.applied, applier.digest) for applier in appliers}) == 1
        assert total(host) == 133
        await world.stop()

    run(story(), seed=seed)


def test_what_was_compacted_meanwhile_is_no_damage() -> None:
    async def story() -> None:
        world = await settled(45)
        host = follower_of(world)
        assert host.node is not None
        reading = Reading(host.node, META_GROUP, lambda text, fields: None)

        async def compacted() -> tuple[Entry, ...]:
            raise Compacted(7)

        assert await reading.read(5, compacted) is Missing.COMPACTED
        await world.stop()

    run(story(), seed=45)


def test_nothing_is_taken_or_let_go_beyond_a_hole_met_while_the_node_runs() -> None:
    """Damage in the log keeps its node from applying: no snapshot and no later beginning of the log covers it up."""

    async def story() -> None:
        world = await settled(46, settings=Settings(max_recent=1))
        host = follower_of(world)
        replica = replica_of(host)
        newest = snapshots_of(host)[-1].meta.last.index
        for name in [name for name in host.disk.platter.names if name.endswith(".seg")]:
            used = len(bytes(host.disk.platter.names[name].cache).rstrip(b"\0"))
            for byte in range(512, used, 100):
                host.disk.platter.flip(name, byte * 8)
        replica.restoring.begin()  # and then the log from there on
        await add(world, 150)
        assert host.node is not None
        assert any("has a hole" in line for line in host.node.impairments)
        assert replica.applying.trouble is not None
        assert (snapshots_of(host)[-1].meta.last.index, replica.raft.snapshot_index) == (newest, newest)
        assert replica.raft.first_index <= newest
        assert host.node.status().role == "follower"
        await world.stop()

    run(story(), seed=46)
