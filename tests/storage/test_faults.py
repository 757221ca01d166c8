"""The rows of the trap list that concern a disk failing while it is written to (W2, W5 to W8, W13, W16)."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from raftlog.core.ids import Index
from raftlog.storage import DiskError, GroupWrite, Wal, load_or_create
from raftlog.storage.disk import SECTOR
from raftlog.storage.format import segment_name
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from tests.storage.story import G0, SEGMENT, Entropy, Logs, Story, entry, read_all, run, write

LIMIT = 1 << 20


def go(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


async def opened(disk: SimDisk) -> Wal:
    entropy = Entropy(Random(7))
    identity = await load_or_create(disk, entropy)
    wal = await Wal.open(disk, identity=identity, segment_size=SEGMENT, entropy=entropy.entropy)
    await wal.make_room()
    return wal


async def found_on(platter: Platter) -> Logs:
    wal = await opened(SimDisk(Random(8), platter=platter))
    return await read_all(wal)


def test_w2_a_torn_tail_is_cut_to_zeros_before_anything_follows() -> None:
    async def tale() -> None:
        story = Story(2)
        wal = await story.start()
        await story.append(write(*run(1, 2, 1), term=1))
        end = wal.end.offset
        await story.append_cut_short(write(*run(3, 5, 1, size=500)))
        # The first sector of the batch is lost, the others are not.
        platter = Platter({**story.disk.platter.contents()})
        platter.replace(segment_name(1), end, bytes(SECTOR))
        await story.power_failure(platter)
        content = story.disk.platter.contents()[segment_name(1)]
        assert content[end:] == bytes(SEGMENT - end), "the tail was left behind"
        for index in range(3, 6):
            await story.append(write(entry(index, 1)))
            await story.power_failure()
        await story.close()

    go(tale())


def test_w5_no_zeroed_sector_of_an_unsynced_write_is_taken_for_records() -> None:
    async def tale() -> None:
        story = Story(3)
        wal = await story.start()
        await story.append(write(*run(1, 2, 1), term=1))
        end = wal.end.offset
        await story.append_cut_short(write(entry(3, 1, size=1800, filler=0), entry(4, 1)))
        contents = story.disk.platter.contents()
        acknowledged = story.account.logs
        every = (
            acknowledged | story.account.after([write(entry(3, 1, size=1800, filler=0), entry(4, 1))]).logs
        )
        content = contents[segment_name(1)]
        sectors = range(end, SEGMENT, SECTOR)
        for sector in sectors:
            zeroed = content[:sector] + bytes(SECTOR) + content[sector + SECTOR :]
            found = await found_on(Platter({**contents, segment_name(1): zeroed}))
            assert found == (every if zeroed == content else acknowledged), f"sector at {sector}"
        assert len(sectors) >= 4, "the write has too few sectors to tell"

    go(tale())


def test_w6_a_write_that_stops_at_any_byte_is_never_counted() -> None:
    async def tale() -> None:
        story = Story(4)
        wal = await story.start()
        await story.append(write(*run(1, 2, 1), term=1))
        base = story.disk.platter.contents()
        before, new = story.account.logs, write(entry(3, 1, size=300), term=2)
        after, outcomes = story.account.after([new]).logs, list[bool]()
        for size in range(SECTOR):
            disk = SimDisk(Random(size), platter=Platter(base))
            wal = await opened(disk)
            disk.fail_write_after(size)
            with pytest.raises(DiskError, match="No space"):
                await wal.append([new])
            assert wal.recovered(G0).last == 2, "a partial record was counted"
            with pytest.raises(DiskError, match="no more writes"):
                await wal.append([new])
            disk = disk.after_kill()
            wal = await opened(disk)
            found = await read_all(wal)
            # Stopped within the padding the batch is whole all the same; then it may stay.
            assert found in (before, after), f"stopped after {size} bytes"
            outcomes.append(found == before)
            next_write = write(*run(3, 4, 3), term=3)
            await wal.append([next_write])
            assert await found_on(disk.after_crash().platter) == story.account.after([next_write]).logs
        assert outcomes == sorted(outcomes, reverse=True), "a longer part was worth less"
        assert 300 < sum(outcomes) < SECTOR, "the fault was not exercised"

    go(tale())


def test_w7_a_failed_sync_is_final_and_a_restart_loses_nothing_acknowledged() -> None:
    async def tale(seed: int) -> None:
        story = Story(seed)
        wal = await story.start()
        await story.append(write(*run(1, 2, 1), term=1))
        story.disk.fail_once("sync")
        with pytest.raises(DiskError, match="sync failed"):
            await wal.append([write(entry(3, 1))])
        events = len(story.disk.trace)
        with pytest.raises(DiskError, match="reopen"):
            await wal.append([write(entry(3, 1))])
        with pytest.raises(DiskError, match="reopen"):
            await wal.mark()
        assert len(story.disk.trace) == events, "the log wrote on after a failed sync"
        assert wal.recovered(G0).last == 2
        # The process starts again; its page cache still shows the entry that never reached the disk.
        disk = story.disk.after_kill()
        wal = await opened(disk)
        promised = await read_all(wal)
        assert await found_on(disk.after_crash().platter) == promised, (
            f"seed {seed}: what it promised was in the cache only"
        )

    for seed in range(20):
        go(tale(seed))


def test_w7_the_disk_itself_refuses_a_file_after_its_failed_sync() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        await disk.allocate("f", SECTOR)
        disk.fail_once("sync")
        with pytest.raises(DiskError, match="sync failed"):
            await disk.write_and_sync("f", 0, [b"x"])
        for again in (disk.sync("f"), disk.write("f", 0, [b"x"]), disk.write_and_sync("f", 0, [b"x"])):
            with pytest.raises(DiskError, match="earlier sync failed"):
                await again

    go(tale())


def test_w8_an_append_returns_after_its_sync_and_not_before() -> None:
    async def tale() -> None:
        story = Story(5)
        wal = await story.start()
        story.disk.hold("sync")
        append = asyncio.create_task(wal.append([write(entry(1, 1), term=1)]))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not append.done(), "acknowledged before the sync"
        assert wal.recovered(G0).last == 0, "visible before the sync"
        story.disk.release("sync")
        await append
        assert wal.recovered(G0).last == 1
        assert not story.disk.platter.undecided, "acknowledged and not durable"
        await story.close()

    go(tale())


def test_w13_no_second_write_starts_while_one_is_in_flight() -> None:
    async def tale() -> None:
        story = Story(6)
        wal = await story.start()
        await story.append(write(*run(1, 4, 1), term=1))
        story.disk.hold("sync")
        replacing = asyncio.create_task(wal.append([write(*run(3, 6, 2), term=2)]))
        await asyncio.sleep(0)
        with pytest.raises(AssertionError, match="two tasks append"):
            await wal.append([write(entry(5, 1))])
        with pytest.raises(AssertionError, match="another task"):
            await wal.mark()
        assert await wal.read(G0, 1, 4, max_bytes=LIMIT) == run(1, 4, 1)
        story.disk.release("sync")
        await replacing
        assert await wal.read(G0, 1, 6, max_bytes=LIMIT) == run(1, 2, 1) + run(3, 6, 2)
        await story.close()

    go(tale())


def test_w13_a_read_under_way_sees_the_old_tail_or_the_new_one() -> None:
    async def tale() -> None:
        story = Story(6, segment_size=4 * SEGMENT)
        wal = await story.start()
        old, new = run(1, 6, 1, size=400), run(1, 2, 1, size=400) + run(3, 8, 2, size=400)
        await story.append(write(*old, term=1))
        story.disk.hold("read")
        reading = asyncio.create_task(wal.read(G0, 1, 6, max_bytes=LIMIT))
        await asyncio.sleep(0)
        await wal.append([write(*new[2:], term=2)])
        story.disk.release("read")
        assert await reading in (old, new[:6])
        assert await wal.read(G0, 1, 8, max_bytes=LIMIT) == new
        await story.close()

    go(tale())


def test_w16_hard_state_and_entries_of_an_append_are_one_step() -> None:
    async def tale() -> None:
        story = Story(7)
        await story.start()
        await story.append(write(*run(1, 3, 1, size=600), term=1, vote=1))
        base = story.disk.platter.contents()
        step: GroupWrite = write(*run(2, 4, 5, size=600), term=5, vote=3, commit=1)
        before, after = story.account.logs, story.account.after([step]).logs
        events = len(story.disk.trace)
        await story.append(step)
        platter, seen = Platter(base), set[Index]()
        for event in story.disk.trace[events:]:
            platter.perform(event)
            for state in platter.crash_states(Random(1), most=150):
                found = await found_on(state)
                assert found in (before, after), "a part of the step"
                seen.add(found[G0].hard_state.term)
        assert seen == {1, 5}, "the fault was not exercised"
        await story.close()

    go(tale())


def test_a_cancelled_append_leaves_the_log_closed_to_writes() -> None:
    async def tale() -> None:
        story = Story(8)
        wal = await story.start()
        await story.append_cut_short(write(entry(1, 1), term=1))
        with pytest.raises(DiskError, match="reopen"):
            await wal.append([write(entry(1, 1), term=1)])
        await wal.close()

    go(tale())


def test_w10_a_hung_disk_holds_up_appends_only() -> None:
    async def tale() -> None:
        story = Story(9)
        wal = await story.start()
        await story.append(write(*run(1, 3, 1), term=1))
        story.disk.hold("sync")
        append = asyncio.create_task(wal.append([write(entry(4, 1))]))
        await asyncio.sleep(0)
        assert await wal.read(G0, 1, 3, max_bytes=LIMIT) == run(1, 3, 1)
        assert not append.done()
        story.disk.power_off()
        with pytest.raises(DiskError):
            await append
        await wal.close()

    go(tale())
