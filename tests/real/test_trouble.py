"""Real processes whose disks fill up, hang, drag, fail or rot, under load: the states of docs/disk-trouble.md."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from raftlog.backup.asking import take
from raftlog.core.ids import META_GROUP
from raftlog.machine.calls import CallFailed
from raftlog.mainjob.replicated import open_store
from raftlog.mainjob.store import Store
from tests.real.cluster import NAMES, PATIENCE, Cluster, cluster
from tests.real.load import Load, missing
from tests.real.mounts import clear, fill, small_disks

pytestmark = pytest.mark.real

CALLERS = 4


class Paced:
    """A store whose callers draw breath after each write: what is looked for here is no speed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, key: str, value: bytes) -> None:
        await self._store.put(key, value)
        await asyncio.sleep(0.01)

    async def get(self, key: str) -> bytes | None:
        return await self._store.get(key)


@asynccontextmanager
async def loaded(store: Store, size: int = 100) -> AsyncIterator[Load]:
    """Load while the block runs; afterwards every acknowledged write is looked for."""
    paced = Paced(store)
    load = Load(paced, lambda n: n.to_bytes(8, "big") * (size // 8), lambda n: f"key-{n % 50}")
    unique = Load(paced, lambda n: n.to_bytes(8, "big"), lambda n: f"only-{n}")
    tasks = [asyncio.create_task(load.run(CALLERS)), asyncio.create_task(unique.run(1))]
    try:
        yield load
        load.stop()
        unique.stop()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    assert unique.acknowledged, "nothing was promised, so nothing is shown"
    async with asyncio.timeout(PATIENCE):
        assert await missing(store, unique.acknowledged) == []


async def goes_on(load: Load) -> None:
    """Wait until the load has got further."""
    kept = load.kept
    async with asyncio.timeout(PATIENCE):
        while load.kept < kept + 10:
            await load.reached(load.calls + 1)


async def without_end(store: Store) -> None:
    """Write until it is refused."""
    while True:
        await store.put("big", bytes(200_000))


def test_a_disk_that_fills_up_under_load_moves_leadership_and_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as nodes, open_store(nodes.addresses) as store:
            full, term = await nodes.leader()
            directory = nodes.nodes[full].directory
            fill(directory)
            async with loaded(store, 100_000):
                await nodes.says(full, "its disk is full")
            async with loaded(store) as load:
                other, _ = await nodes.leader(above=term)
                assert other != full
                await nodes.says(other, f"the disk of {full} is full")
                await goes_on(load)
                clear(directory)
                await nodes.says_nothing(*NAMES)
            await nodes.caught_up()

    with small_disks(tmp_path, NAMES, 256):
        asyncio.run(story())


@pytest.mark.accept
def test_where_all_disks_are_full_reads_go_on_and_writes_come_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            cluster(tmp_path) as nodes,
            open_store(nodes.addresses) as store,
            open_store(nodes.addresses, deadline=1.0) as hasty,
        ):
            await store.put("before", b"1")
            for node in nodes.nodes.values():
                fill(node.directory)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(CallFailed, match="full: free some space"):
                    await without_end(hasty)
                for name in NAMES:
                    await nodes.says(name, "its disk is full")
                assert await store.get("before") == b"1", "reads go on"
                for node in nodes.nodes.values():
                    clear(node.directory)
                await store.put("after", b"2")
                assert await store.get("after") == b"2"
            await nodes.caught_up()

    with small_disks(tmp_path, NAMES, 256):
        asyncio.run(story())


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param("delay(5s)", id="stalled"),
        pytest.param("delay(400ms)", id="far-slower", marks=pytest.mark.accept),
    ],
)
def test_a_leader_with_a_slow_disk_gives_up_its_office(trouble: str, tmp_path: Path) -> None:
    async def story() -> None:
        points = f"wal.append.before_write={trouble}"
        async with cluster(tmp_path, failpoints=points) as nodes, open_store(nodes.addresses) as store:
            slow, term = await nodes.leader()
            async with loaded(store) as load:
                await goes_on(load)
                nodes.signal(slow, signal.SIGUSR1)
                other, _ = await nodes.leader(above=term)
                assert other != slow
                await goes_on(load)
                await nodes.says(slow, "than an election timeout")
                nodes.signal(slow, signal.SIGUSR2)
                await nodes.says_nothing(slow)
            await nodes.caught_up()

    asyncio.run(story())


def test_a_failed_sync_ends_one_node_and_loses_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        points = "wal.append.before_sync=error"
        async with cluster(tmp_path, failpoints=points) as nodes, open_store(nodes.addresses) as store:
            broken, term = await nodes.leader()
            async with loaded(store) as load:
                await goes_on(load)
                nodes.signal(broken, signal.SIGUSR1)
                assert await nodes.ends(broken) != 0
                assert "wal.append.before_sync" in nodes.log_of(broken)
                rest = tuple(name for name in NAMES if name != broken)
                await nodes.leader(above=term, among=rest)
                await goes_on(load)
                nodes.start(broken)
            await nodes.caught_up()

    asyncio.run(story())


def newest(directory: Path, pattern: str) -> Path:
    """The newest file of a kind."""
    return max(directory.glob(pattern), key=lambda path: path.stat().st_mtime)


async def rotten(nodes: Cluster, store: Store, name: str, pattern: str, place: float) -> None:
    """Stop a node under load, turn a bit of one of its files, start it: it heals while the load goes on."""
    async with loaded(store) as load:
        await goes_on(load)
        nodes.kill(name)
        file = newest(nodes.nodes[name].directory, pattern)
        content = bytearray(file.read_bytes())
        used = len(content.rstrip(b"\0"))
        content[int(used * place)] ^= 8
        file.write_bytes(content)
        await goes_on(load)
        nodes.start(name)

        async def set_aside() -> bool:
            return any(nodes.nodes[name].directory.glob("*.bad*"))

        await nodes.until("the damage to be found", set_aside)
        await goes_on(load)
    await nodes.caught_up()


def test_a_flipped_bit_in_the_log_is_found_and_healed(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as nodes, open_store(nodes.addresses) as store:
            leader, _ = await nodes.leader()
            follower = next(name for name in NAMES if name != leader)
            await rotten(nodes, store, follower, "0000000000000001.seg", 0.5)
            assert "has again all it ever acknowledged" in nodes.whole_log_of(follower)

    asyncio.run(story())


def test_a_flipped_bit_in_a_snapshot_is_found_and_healed(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as nodes, open_store(nodes.addresses) as store:
            leader, _ = await nodes.leader()
            follower = next(name for name in NAMES if name != leader)
            await store.put("before", b"1")
            await take(nodes.operator, nodes.nodes[follower].address, META_GROUP, seconds=PATIENCE)
            await rotten(nodes, store, follower, "*.part", 0.5)

    asyncio.run(story())
