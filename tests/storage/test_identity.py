"""Whose directory it is: made once, kept, and refused by name when something does not fit."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
import xxhash

from raftlog.core.ids import ClusterId, NodeId
from raftlog.storage import Disk, Identity, LogDamaged, StorageRefused, Wal, keep_machine, load_or_create
from raftlog.storage.disk import SECTOR
from raftlog.storage.identity import FILE, LONGEST_NAME, initialised
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from tests.storage.story import CLUSTER, G0, SEGMENT, Entropy, Story, entry, membership, write


def go(tale: Coroutine[Any, Any, None]) -> None:
    asyncio.run(tale)


def disk_with(files: dict[str, bytes]) -> SimDisk:
    return SimDisk(Random(1), platter=Platter(files))


async def member(seed: int = 1) -> tuple[dict[str, bytes], Identity]:
    """The files of a node that is in use."""
    story = Story(seed)
    await story.start()
    await story.append(write(entry(1, 1), term=1))
    await story.close()
    return story.disk.platter.contents(), await load_or_create(story.disk, Entropy(Random(0)))


async def start(disk: Disk) -> Wal:
    identity = await load_or_create(disk, Entropy(Random(2)))
    return await Wal.open(disk, identity=identity, segment_size=SEGMENT)


def test_an_identity_is_made_once() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        first = await load_or_create(disk, Entropy(Random(5)))
        assert first.node != 0
        assert first.cluster is None
        assert await load_or_create(disk, Entropy(Random(6))) == first
        assert not await initialised(disk)
        with pytest.raises(StorageRefused, match=r"there is no log in this directory$"):
            await Wal.open(disk, identity=first)

    go(tale())


def test_a_fresh_member_keeps_its_node_and_learns_its_cluster() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        waiting = await load_or_create(disk, Entropy(Random(5)))
        made = await Wal.bootstrap(disk, identity=waiting, cluster_id=CLUSTER, groups={G0: membership(1)})
        assert made == Identity(waiting.node, CLUSTER)
        assert await load_or_create(disk, Entropy(Random(6))) == made
        assert await initialised(disk)

    go(tale())


def test_a_bootstrap_stopped_before_the_identity_is_finished_at_the_next_start() -> None:
    async def tale() -> None:
        files, identity = await member()
        waiting = Identity(identity.node, None)
        disk = disk_with({**files, FILE: waiting.encode()})
        assert await load_or_create(disk, Entropy(Random(3))) == identity
        assert disk.platter.contents()[FILE] == identity.encode()
        assert not disk.platter.undecided

    go(tale())


def test_a_bootstrap_stopped_before_the_identity_serves_on_a_disk_that_is_full_by_now() -> None:
    """It was refused, although the segment says all that the file would (found on whole nodes, seed 200011)."""

    async def tale() -> None:
        files, identity = await member()
        disk = disk_with({**files, FILE: Identity(identity.node, None).encode()})
        disk.capacity = 0
        assert await load_or_create(disk, Entropy(Random(3))) == identity
        disk.capacity = None
        assert await load_or_create(disk, Entropy(Random(3))) == identity
        assert disk.platter.contents()[FILE] == identity.encode()

    go(tale())


def test_files_left_aside_are_removed() -> None:
    async def tale() -> None:
        files, _ = await member()
        aside = {"identity.new": bytes(SECTOR), "0000000000000009.seg.new": bytes(SEGMENT)}
        disk = disk_with({**files, **aside})
        wal = await start(disk)
        assert not [name for name in await disk.names() if name.endswith(".new") and name in aside]
        await wal.close()

    go(tale())


def test_a_log_without_an_identity_is_refused() -> None:
    async def tale() -> None:
        files, _ = await member()
        del files[FILE]
        disk = disk_with(files)
        with pytest.raises(StorageRefused, match="no identity file"):
            await start(disk)
        assert disk.platter.contents() == files, "a stranger was made over somebody's log"

    go(tale())


def test_a_member_whose_log_is_gone_is_refused() -> None:
    async def tale() -> None:
        files, _ = await member()
        with pytest.raises(StorageRefused, match=r"log is gone.*go on without this node"):
            await start(disk_with({FILE: files[FILE]}))

    go(tale())


def test_the_log_of_another_node_is_refused() -> None:
    async def tale() -> None:
        files, identity = await member(1)
        others, other = await member(2)
        with pytest.raises(StorageRefused, match=f"belongs to node {other.node:016x}.*{identity.node:016x}"):
            await start(disk_with({**others, FILE: files[FILE]}))

    go(tale())


def test_the_log_of_another_cluster_is_refused() -> None:
    async def tale() -> None:
        files, identity = await member()
        elsewhere = Identity(identity.node, ClusterId(0xBAD))
        with pytest.raises(StorageRefused, match=r"cluster 00000000000000c1.*cluster 0000000000000bad"):
            await start(disk_with({**files, FILE: elsewhere.encode()}))

    go(tale())


def test_any_flipped_bit_of_the_identity_is_damage() -> None:
    async def tale() -> None:
        files, identity = await member()
        assert files[FILE] == identity.encode()
        for bit in [*range(33 * 8), *range(33 * 8, SECTOR * 8, 61), *range((SECTOR - 8) * 8, SECTOR * 8)]:
            disk = disk_with(files)
            disk.platter.flip(FILE, bit)
            with pytest.raises(LogDamaged, match="identity"):
                await start(disk)

    go(tale())


@pytest.mark.parametrize("size", [0, 1, 100, SECTOR - 1])
def test_a_cut_off_identity_is_damage(size: int) -> None:
    async def tale() -> None:
        files, _ = await member()
        with pytest.raises(LogDamaged, match=f"cut off after {size} bytes"):
            await start(disk_with({**files, FILE: files[FILE][:size]}))

    go(tale())


@pytest.mark.parametrize("name", [FILE, "0000000000000001.seg"])
def test_another_format_version_is_refused_by_number(name: str) -> None:
    async def tale() -> None:
        files, _ = await member()
        with pytest.raises(StorageRefused, match=rf"{name} has format version 2, this program reads 1"):
            await start(disk_with({**files, name: of_version_2(files[name])}))

    go(tale())


def of_version_2(content: bytes) -> bytes:
    body = content[:8] + b"\2" + content[9 : SECTOR - 8]
    return body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little") + content[SECTOR:]


def test_a_directory_is_kept_for_the_machine_that_it_was_first_used_with() -> None:
    async def tale() -> None:
        files, identity = await member()
        assert identity.machine == "", "this one is as the first releases made it"
        disk = disk_with(files)
        assert await keep_machine(disk, identity, "Counter") == Identity(identity.node, CLUSTER, "Counter")
        assert not disk.platter.undecided
        kept = await load_or_create(disk, Entropy(Random(3)))
        assert (
            await keep_machine(disk, kept, "Counter") == kept == Identity(identity.node, CLUSTER, "Counter")
        )
        before = disk.platter.contents()
        with pytest.raises(StorageRefused, match=r"by the machine 'Counter'.*started with 'Queue'"):
            await keep_machine(disk, kept, "Queue")
        assert disk.platter.contents() == before

    go(tale())


def test_a_bootstrap_stopped_before_the_identity_leaves_the_machine_to_the_next_start() -> None:
    async def tale() -> None:
        files, identity = await member()
        disk = disk_with({**files, FILE: Identity(identity.node, None).encode()})
        found = await load_or_create(disk, Entropy(Random(3)))
        assert (await keep_machine(disk, found, "Counter")).machine == "Counter"

    go(tale())


@pytest.mark.parametrize("name", ["KeyValue", "Zähler", "x" * LONGEST_NAME])
def test_a_machines_name_is_read_back(name: str) -> None:
    async def tale() -> None:
        files, identity = await member()
        written = Identity(identity.node, CLUSTER, name)
        assert (
            await load_or_create(disk_with({**files, FILE: written.encode()}), Entropy(Random(3))) == written
        )

    go(tale())


def test_a_name_that_cannot_be_is_damage() -> None:
    async def tale() -> None:
        files, _ = await member()
        body = files[FILE][:32] + (LONGEST_NAME + 1).to_bytes(2, "little") + files[FILE][34 : SECTOR - 8]
        sector = body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little")
        with pytest.raises(LogDamaged, match=r"cannot have 471 bytes"):
            await start(disk_with({**files, FILE: sector}))

    go(tale())


def test_the_name_is_written_where_the_format_says() -> None:
    """Golden bytes: a program of the same format that does not know of it reads the rest as before."""
    known, unknown = (Identity(NodeId(1), CLUSTER, name).encode() for name in ("Counter", ""))
    assert known[32:41] == b"\7\0Counter"
    assert known[:32] == unknown[:32]
    assert known[41 : SECTOR - 8] == unknown[41 : SECTOR - 8] == bytes(SECTOR - 49)


def test_ids_are_written_little_endian_where_the_format_says() -> None:
    """Golden bytes: a change here is another format version."""
    sector = Identity(NodeId(0x0102030405060708), ClusterId(0x1112131415161718)).encode()
    assert sector[:32].hex() == "524146544c4f4944010000000000000008070605040302011817161514131211"
    assert sector[32:-8] == bytes(SECTOR - 40)
    assert sector[-8:].hex() == "35cc46629d43da28"
