"""The simulated disk itself: what it keeps, what it forgets, and that equal runs are equal."""

import asyncio
from random import Random

import pytest

from raftlog.storage import DiskError, DiskFull
from raftlog.storage.disk import SECTOR
from raftlog.testing import loop
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Event, Platter
from tests.storage.story import Story, entry, write

A, B, C = (bytes([n]) * SECTOR for n in (1, 2, 3))


def states_of(platter: Platter, most: int = 1000) -> list[dict[str, bytes]]:
    found = {state.fingerprint(): state.contents() for state in platter.crash_states(Random(1), most=most)}
    return list(found.values())


async def disk_with_a_file() -> SimDisk:
    disk = SimDisk(Random(1))
    await disk.allocate("f", 2 * SECTOR)
    await disk.sync_names()
    return disk


def test_each_unsynced_sector_is_kept_or_lost_on_its_own() -> None:
    async def tale() -> None:
        disk = await disk_with_a_file()
        await disk.write("f", 0, [A, B])
        zero = bytes(SECTOR)
        expected = [zero + zero, A + zero, zero + B, A + B]
        assert sorted(state["f"] for state in states_of(disk.platter)) == sorted(expected)
        await disk.sync("f")
        assert [state["f"] for state in states_of(disk.platter)] == [A + B]

    asyncio.run(tale())


def test_any_version_since_the_last_sync_may_be_left() -> None:
    async def tale() -> None:
        disk = await disk_with_a_file()
        await disk.write_and_sync("f", 0, [A])
        await disk.write("f", 0, [B])
        await disk.write("f", 0, [C])
        seen = {disk.platter.after_crash(Random(seed)).contents()["f"][:SECTOR] for seed in range(60)}
        assert seen == {A, B, C}

    asyncio.run(tale())


def test_names_are_kept_or_lost_until_they_are_synced() -> None:
    async def tale() -> None:
        disk = await disk_with_a_file()
        await disk.allocate("g", SECTOR)
        await disk.write_and_sync("g", 0, [A])
        await disk.rename("g", "f")
        old, new = bytes(2 * SECTOR), A
        states = states_of(disk.platter)
        assert {"f": old} in states
        assert {"f": old, "g": new} in states
        assert {"f": new} in states
        assert all(state["f"] in (old, new) for state in states), "neither the old nor the new file"
        await disk.sync_names()
        assert states_of(disk.platter) == [{"f": new}]
        await disk.remove("f")
        assert sorted(map(len, states_of(disk.platter))) == [0, 1]

    asyncio.run(tale())


def test_a_sync_after_a_failed_one_covers_only_what_is_written_again() -> None:
    async def tale() -> None:
        disk = await disk_with_a_file()
        await disk.write("f", 0, [A, B])
        disk.fail_once("sync")
        with pytest.raises(DiskError):
            await disk.sync("f")
        disk = disk.after_kill()
        assert await disk.read("f", 0, 2 * SECTOR) == A + B, "the cache believes it is clean"
        await disk.sync("f")
        assert len(states_of(disk.platter)) == 4, "a later sync was believed"
        await disk.write_and_sync("f", 0, [A])
        assert sorted(state["f"] for state in states_of(disk.platter)) == [A + bytes(SECTOR), A + B]

    asyncio.run(tale())


def test_space_runs_out_at_allocation() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1), capacity=1000)
        await disk.allocate("f", 600)
        with pytest.raises(DiskFull, match="g"):
            await disk.allocate("g", 401)
        assert await disk.names() == ["f"]
        await disk.remove("f")
        await disk.allocate("g", 1000)

    asyncio.run(tale())


def test_without_power_every_call_fails_even_those_under_way() -> None:
    async def tale() -> None:
        disk = await disk_with_a_file()
        disk.hold("sync")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(asyncio.wait([group.create_task(failing(disk))]))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            after = disk.after_crash()
        with pytest.raises(DiskError, match="no power"):
            await disk.names()
        assert await after.names() == ["f"]

    async def failing(disk: SimDisk) -> None:
        with pytest.raises(DiskError, match="no power"):
            await disk.write_and_sync("f", 0, [A])

    asyncio.run(tale())


def test_the_trace_gives_the_same_disk_again() -> None:
    async def tale() -> None:
        story = Story(1)
        await story.start()
        for index in range(1, 12):
            await story.append(write(entry(index, 1, size=700), term=1))
        await story.close()
        played = Platter()
        for event in story.disk.trace:
            played.perform(event)
        assert played.contents() == story.disk.platter.contents()

    asyncio.run(tale())


def test_equal_seeds_give_equal_disks_in_virtual_time() -> None:
    async def tale() -> tuple[list[Event], dict[str, bytes], float]:
        random = Random(5)
        disk = SimDisk(
            random, latency=lambda operation, size: random.random() if operation == "sync" else 0.001
        )
        story = Story(1, disk=disk)
        await story.start()
        for index in range(1, 12):
            await story.append(write(entry(index, 1, size=700), term=1))
        await story.append_cut_short(write(entry(12, 1, size=900)))
        trace = list(story.disk.trace)
        await story.power_failure()
        await story.close()
        return trace, story.disk.platter.contents(), asyncio.get_running_loop().time()

    first, second = loop.run(tale()), loop.run(tale())
    assert first == second
    assert first[2] > 5, "the syncs took no time"
