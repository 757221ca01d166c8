"""New clusters made from backups, in virtual time: of any size, with everything, and strangers to the old ones."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from raftlog.backup.checking import check
from raftlog.backup.format import BackupDamaged
from raftlog.backup.restoring import restore
from raftlog.client import Client
from raftlog.core.ids import META_GROUP, Boot, ClusterId
from raftlog.machine.calls import CallFailed, encode_call
from raftlog.node.retention import Retention
from raftlog.storage import StorageRefused
from raftlog.testing.disk import SimDisk
from raftlog.testing.link import SimDialer
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from raftlog.transport.handshake import Blame, Doorkeeper, Identity, Refused
from raftlog.transport.port import Lane
from tests.backup.nodes import SimNodes
from tests.backup.test_taking import made
from tests.node.test_snapshots import add, agreed, leader_of
from tests.simulation.tally import Tally
from tests.simulation.world import CLUSTER, World

NEVER = Retention(entries=1 << 40, bytes=1 << 50, age=1 << 60)
NEW = ClusterId(0xBEEF)


def story(seed: int, tale: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World(seed, machine=Tally, weather=Weather(), retention=NEVER)
        world.part_size = 300
        await world.start()
        await asyncio.sleep(4)
        await add(world, 30)
        for n in range(30):
            await add(world, 1, size=n + 2)
        await tale(world)

    run(whole(), seed=seed)


async def born_from(file: Path, seed: int, nodes: int) -> World:
    """A new cluster, restored and initialised as operators do; on a network of its own."""
    world = World(
        seed, machine=Tally, weather=Weather(), retention=Retention(entries=50), nodes=nodes, cluster=NEW
    )
    await restore(file, check(file), [host.disk for host in world.hosts], clock=world.clock)
    await world.start()
    await asyncio.sleep(8)
    return world


def value(world: World, name: str = "x") -> int:
    node = leader_of(world).node
    assert node is not None
    return msgspec.msgpack.decode(node.query(META_GROUP, 1, encode_call(Tally.read, name)).body, type=int)


@pytest.mark.parametrize("nodes", [1, 3, 5])
def test_a_new_cluster_of_any_size_has_everything_and_goes_on(nodes: int, tmp_path: Path) -> None:
    async def tale(old: World) -> None:
        backup = await made(SimNodes(old), tmp_path / "b")
        await old.stop()
        new = await born_from(tmp_path / "b", 51, nodes)
        await agreed(new)
        assert value(new) == 30
        assert [value(new, "x" * (n + 2)) for n in range(30)] == [1] * 30
        for host in new.hosts:
            assert host.node is not None
            assert host.node.status().first == backup.groups[0].last.index + 1
        await add(new, 120)
        assert value(new) == 150
        await agreed(new)
        for host in new.hosts:
            await host.crash()
        for host in new.hosts:
            await host.start()
        await asyncio.sleep(8)
        await agreed(new)
        assert value(new) == 150, "a restart forgot something"
        await new.stop()

    story(50, tale)


def test_a_node_of_the_new_cluster_that_was_away_catches_up_from_its_fellows(tmp_path: Path) -> None:
    async def tale(old: World) -> None:
        await made(SimNodes(old), tmp_path / "b")
        await old.stop()
        new = await born_from(tmp_path / "b", 53, 3)
        away = next(host for host in new.hosts if host is not leader_of(new))
        await away.crash()
        await add(new, 300)
        await away.start()
        await agreed(new)
        assert value(new) == 330
        await new.stop()

    story(52, tale)


def test_members_of_the_two_clusters_refuse_each_other() -> None:
    """The same node ids even: the cluster's id is asked for first."""
    for mine, theirs in ((CLUSTER, NEW), (NEW, CLUSTER)):
        door = Doorkeeper(Identity(1, mine, Boot(1)))  # type: ignore[arg-type]
        stranger = Doorkeeper(Identity(2, theirs, Boot(2)))  # type: ignore[arg-type]
        door.allow([2])  # type: ignore[list-item]
        verdict = door.admit(stranger.hello(1, Lane.BULK))  # type: ignore[arg-type]
        assert isinstance(verdict, Refused)
        assert verdict.blame is Blame.CLUSTER


def test_a_session_of_the_old_cluster_is_refused_by_name_in_the_new_one(tmp_path: Path) -> None:
    """The new cluster gives the old one's later session ids again, to others: going on would mix their answers."""

    async def tale(old: World) -> None:
        client = Client(["h1:2"], dialer=SimDialer(old.network, "desk"), random=Random(1), deadline=5)
        async with client:
            assert await client.call(Tally.add, "x", 1) == 31
            await made(SimNodes(old), tmp_path / "b")
            await old.stop()
            new = World(55, machine=Tally, weather=Weather(), cluster=NEW)
            new.network = old.network  # at the same addresses
            await restore(tmp_path / "b", check(tmp_path / "b"), [h.disk for h in new.hosts], clock=new.clock)
            await new.start()
            await asyncio.sleep(8)
            said = f"belongs to cluster {NEW:016x}, not to {CLUSTER:016x}"
            with pytest.raises(CallFailed, match=said):
                await client.call(Tally.add, "x", 1)
        async with Client(["h1:2"], dialer=SimDialer(old.network, "desk"), random=Random(2)) as anew:
            assert await anew.call(Tally.add, "x", 1) == 32
        await new.stop()

    story(54, tale)


def test_a_damaged_backup_leaves_the_directories_empty(tmp_path: Path) -> None:
    """Damaged after it was found sound: nothing that was begun remains."""

    async def tale(old: World) -> None:
        file = tmp_path / "b"
        await made(SimNodes(old), file)
        found = check(file)
        content = bytearray(file.read_bytes())
        content[-60] ^= 1
        file.write_bytes(content)
        disks = [SimDisk(Random(n)) for n in range(3)]
        with pytest.raises(BackupDamaged):
            await restore(file, found, disks, clock=old.clock)
        assert [await disk.names() for disk in disks] == [[], [], []]
        await old.stop()

    story(56, tale)


def test_one_directory_that_is_in_use_is_enough_to_make_none(tmp_path: Path) -> None:
    async def tale(old: World) -> None:
        await made(SimNodes(old), tmp_path / "b")
        before = await old.hosts[0].disk.names()
        empty = SimDisk(Random(1))
        with pytest.raises(StorageRefused, match="is not empty"):
            await restore(tmp_path / "b", check(tmp_path / "b"), [empty, old.hosts[0].disk], clock=old.clock)
        assert await empty.names() == []
        assert await old.hosts[0].disk.names() == before
        await add(old, 1)
        await old.stop()

    story(57, tale)
