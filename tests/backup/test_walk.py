"""Backups while nodes die and come back at random, and what is restored from them held to what clients were told."""

import asyncio
from pathlib import Path
from random import Random

import msgspec
import pytest

from raftlog.backup.checking import check
from raftlog.backup.restoring import restore
from raftlog.backup.taking import CannotBackUp, Wishes, back_up
from raftlog.client import Client
from raftlog.core.ids import META_GROUP, ClusterId
from raftlog.machine.calls import CallError, encode_call
from raftlog.node.retention import Retention
from raftlog.testing.link import SimDialer
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.backup.nodes import SimNodes
from tests.node.test_snapshots import agreed, leader_of
from tests.simulation.tally import Tally
from tests.simulation.world import World

SEEDS = range(700, 704)
NEW = ClusterId(0xBEEF)


class Walk:
    """One cluster under load and faults, backed up several times meanwhile."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = Random(seed)
        self.directory = directory
        retention = Retention(entries=self.random.choice((20, 100, 1 << 40)), keep_entries=5)
        self.world = World(seed, machine=Tally, weather=Weather(), retention=retention)
        self.world.part_size = self.random.choice((200, 1000))
        self.nodes = SimNodes(self.world)
        self.tried = self.told = 0
        """Additions that were begun, and those that were acknowledged."""
        self.taken: list[tuple[Path, int, int]] = []
        """Files, with what had been acknowledged when they were begun and tried when they were complete."""

    async def load(self) -> None:
        """Add one after the other, each under a name of its own and to one counter of all."""
        dialer = SimDialer(self.world.network, "desk")
        addresses = [f"{host.name}:2" for host in self.world.hosts]
        async with Client(addresses, dialer=dialer, random=Random(1), deadline=3) as client:
            while True:
                self.tried += 1
                try:
                    await client.call(Tally.add, "x", 1)
                    await client.call(Tally.add, f"name {self.tried}", 1)
                except CallError:
                    continue
                self.told += 1

    async def faults(self) -> None:
        """One node at a time is down."""
        while True:
            await asyncio.sleep(self.random.uniform(0.05, 3))
            host = self.random.choice(self.world.hosts)
            await host.crash()
            await asyncio.sleep(self.random.uniform(0.05, 3))
            await host.start()

    async def backups(self) -> None:
        """Several, of both kinds, from nodes that may be dead."""
        for number in range(4):
            file = self.directory / f"b{number}"
            latest = self.random.random() < 0.25
            wishes = Wishes(latest=latest, from_leader=self.random.random() < 0.5, patience=20)
            told = 0 if latest else self.told
            addresses = [f"{host.name}:2" for host in self.world.hosts]
            try:
                await back_up(self.nodes, addresses, file, clock=self.world.clock, wishes=wishes)
            except CannotBackUp:
                assert latest, "a majority was up almost always: it should have come to an end"
                assert not file.exists()
            else:
                self.taken.append((file, told, self.tried))
            await asyncio.sleep(self.random.uniform(0, 5))

    async def run(self) -> None:
        """All of it at once; every node is stopped at the end."""
        await self.world.start()
        await asyncio.sleep(3)
        around = [asyncio.create_task(self.load()), asyncio.create_task(self.faults())]
        await self.backups()
        for task in around:
            task.cancel()
        await asyncio.wait(around)
        for host in self.world.hosts:
            if host.node is not None:
                await host.stop()

    async def hold(self, file: Path, told: int, tried: int) -> None:
        """A cluster of some size made from the file has everything it must and nothing that was never asked for."""
        size = self.random.choice((1, 3))
        world = World(self.random.getrandbits(20), machine=Tally, weather=Weather(), nodes=size, cluster=NEW)
        await restore(file, check(file), [host.disk for host in world.hosts], clock=world.clock)
        await world.start()
        await asyncio.sleep(8)
        await agreed(world)
        node = leader_of(world).node
        assert node is not None

        def value(name: str) -> int:
            found = node.query(META_GROUP, 1, encode_call(Tally.read, name))
            return msgspec.msgpack.decode(found.body, type=int)

        assert told <= value("x") <= tried, f"{file.name}: {told} were acknowledged before it, {tried} tried"
        assert all(value(f"name {n}") <= 1 for n in range(1, tried + 1)), "a retry was applied twice"
        await world.stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_meanwhile_a_backup_is_whole_or_not_there(seed: int, tmp_path: Path) -> None:
    print(f"again: pytest 'tests/backup/test_walk.py' -k '{seed}'")  # noqa: T201 - shown when it fails

    async def story() -> None:
        walk = Walk(seed, tmp_path)
        await walk.run()
        assert walk.told > 50, "no load: no test"
        assert len(walk.taken) >= 2
        for file, told, tried in walk.taken:
            await walk.hold(file, told, tried)

    run(story(), seed=seed)
