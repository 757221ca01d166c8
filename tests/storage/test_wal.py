"""What the log promises on a sound disk, simulated and real: appends, overwrites, groups, ranges, rolls, restarts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest

from raftlog.core.durable import HardState, TermRun
from raftlog.core.entry import Entry
from raftlog.core.ids import GroupId, NodeId
from raftlog.core.membership import MembershipAt
from raftlog.storage import (
    Disk,
    DiskError,
    DiskFull,
    GroupWrite,
    LocalDisk,
    StorageRefused,
    Wal,
    load_or_create,
)
from raftlog.storage.format import segment_name
from raftlog.testing.disk import SimDisk
from tests.storage.story import (
    CLUSTER,
    G0,
    SEGMENT,
    Entropy,
    Story,
    entry,
    membership,
    membership_entry,
    run,
    write,
)

Body: TypeAlias = Callable[[Wal, Callable[[], Awaitable[Wal]]], Awaitable[None]]


@pytest.fixture(params=["simulated", "local"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return LocalDisk(tmp_path) if request.param == "local" else SimDisk(Random(3))


def on(disk: Disk, body: Body, *, groups: int = 1, segment_size: int = SEGMENT) -> None:
    """Run `body` with a fresh log and a way to close and reopen it."""

    async def main() -> None:
        entropy = Entropy(Random(4))
        identity = await load_or_create(disk, entropy)
        members = {GroupId(n): membership(1, 2, 3) for n in range(groups)}
        identity = await Wal.bootstrap(
            disk, identity=identity, cluster_id=CLUSTER, groups=members, segment_size=segment_size
        )
        opened: list[Wal] = []

        async def reopen() -> Wal:
            if opened:
                await opened.pop().close()
            assert await load_or_create(disk, entropy) == identity
            opened.append(await Wal.open(disk, identity=identity, segment_size=segment_size))
            return opened[-1]

        try:
            await body(await reopen(), reopen)
        finally:
            await opened.pop().close()
            await disk.close()

    asyncio.run(main())


async def all_of(wal: Wal, group: GroupId = G0) -> tuple[Entry, ...]:
    return await wal.read(group, 1, wal.recovered(group).last, max_bytes=1 << 30)


def test_a_fresh_log_is_empty_and_knows_its_members(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        for log in (wal, await reopen()):
            found = log.recovered(G0)
            assert log.groups() == (G0,)
            assert (found.last, found.runs, found.hard_state) == (0, (), HardState())
            assert found.base.membership == MembershipAt(0, membership(1, 2, 3))

    on(disk, body)


def test_entries_are_read_back_before_and_after_a_restart(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        entries = run(1, 30, 1, size=200) + run(31, 60, 4, size=90)
        for start in range(0, 60, 7):
            await wal.append([write(*entries[start : start + 7], term=4, vote=2, commit=start)])
        for log in (wal, await reopen()):
            assert await all_of(log) == entries
            found = log.recovered(G0)
            assert found.runs == (TermRun(1, 1), TermRun(31, 4))
            assert found.hard_state == HardState(4, NodeId(2), 56)
            assert found.last_log_time == 60

    on(disk, body)


def test_ranges_stop_at_the_byte_limit_but_give_one(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        entries = run(1, 40, 1, size=136)  # charged with 200 each
        for entry_ in entries:
            await wal.append([write(entry_, term=1)])
        assert await wal.read(G0, 3, 39, max_bytes=1) == entries[2:3]
        assert await wal.read(G0, 3, 39, max_bytes=399) == entries[2:3]
        assert await wal.read(G0, 3, 39, max_bytes=400) == entries[2:4]
        assert await wal.read(G0, 1, 40, max_bytes=40 * 200) == entries
        assert await wal.read(G0, 40, 40, max_bytes=1 << 20) == entries[39:]

    on(disk, body)


def test_r25_entries_are_replaced_over_an_existing_suffix(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        await wal.append([write(*run(1, 10, 1, size=300), term=1)])
        await wal.append([write(*run(4, 5, 2, size=300), term=2, commit=3)])
        expected = run(1, 3, 1, size=300) + run(4, 5, 2, size=300)
        for log in (wal, await reopen()):
            assert await all_of(log) == expected
            assert log.recovered(G0).runs == (TermRun(1, 1), TermRun(4, 2))
        wal = await reopen()
        await wal.append([write(*run(5, 12, 3, size=300), term=3, commit=3)])
        assert await all_of(await reopen()) == expected[:4] + run(5, 12, 3, size=300)

    on(disk, body)


def test_writes_of_one_group_in_one_append_count_in_their_order(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        await wal.append(
            [
                write(*run(1, 4, 1), term=1),
                write(*run(3, 3, 2), term=2),
                write(*run(4, 5, 2), commit=0, term=2),
            ]
        )
        for log in (wal, await reopen()):
            assert await all_of(log) == run(1, 2, 1) + run(3, 5, 2)

    on(disk, body)


def test_many_groups_share_an_append(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        for first in range(1, 30, 3):
            await wal.append([write(*run(first, first + 2, 1, 50, group), term=1) for group in range(20)])
        for log in (wal, await reopen()):
            assert log.groups() == tuple(GroupId(group) for group in range(20))
            for group in range(20):
                assert await all_of(log, GroupId(group)) == run(1, 30, 1, 50, group)

    on(disk, body, groups=20, segment_size=4 * SEGMENT)


def test_a_membership_entry_is_known_until_it_is_replaced(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        await wal.append(
            [write(entry(1, 1), membership_entry(2, 1, 1, 2), membership_entry(3, 1, 1), term=1)]
        )
        at = (MembershipAt(2, membership(1, 2)), MembershipAt(3, membership(1)))
        assert wal.recovered(G0).memberships == at
        wal = await reopen()
        assert wal.recovered(G0).memberships == at
        await wal.append([write(entry(3, 2, size=1500), term=2)])
        await wal.append([write(entry(4, 2, size=1500))])
        for log in (wal, await reopen()):
            assert log.recovered(G0).memberships == at[:1]

    on(disk, body)


def test_a_batch_larger_than_a_segment_gets_a_segment_of_its_own(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        entries = (
            entry(1, 1),
            entry(2, 1, size=5 * SEGMENT),
            entry(3, 1),
            entry(4, 1, size=SEGMENT),
            entry(5, 1),
        )
        for each in entries:
            await wal.append([write(each, term=1)])
        for log in (wal, await reopen()):
            assert await all_of(log) == entries

    on(disk, body)


def test_marks_are_written_once_and_only_after_something(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        end = wal.end
        await wal.mark()
        marked = wal.end
        assert marked > end
        await wal.mark()
        wal = await reopen()
        await wal.mark()
        assert wal.end == marked
        await wal.append([write(entry(1, 1), term=1)])
        assert (await reopen()).end > marked

    on(disk, body)


def test_one_append_is_one_synced_write() -> None:
    async def main() -> None:
        story = Story(1, groups=3, segment_size=1 << 16)
        await story.start()
        before = len(story.disk.trace)
        await story.append(*(write(*run(1, 50, 1, 100, group), term=1) for group in range(3)))
        assert [type(event).__name__ for event in story.disk.trace[before:]] == ["Wrote", "Synced"]
        await story.close()

    asyncio.run(main())


def test_the_next_segment_is_ready_before_it_is_needed() -> None:
    async def main() -> None:
        story = Story(1)
        wal = await story.start()
        assert await story.disk.names() == [segment_name(1), segment_name(2), "identity"]
        story.disk.hold("allocate")
        await story.append(write(entry(1, 1, size=1500), term=1))
        await story.append(write(entry(2, 1, size=1500)))  # rolls, while nothing can be allocated
        assert wal.end.segment == 2
        story.disk.release("allocate")
        assert await wal.make_room()
        assert segment_name(3) in await story.disk.names()
        await story.close()

    asyncio.run(main())


@contextmanager
def refused(words: str) -> Iterator[None]:
    with pytest.raises(AssertionError, match=words):
        yield


def test_what_must_not_be_recorded_is_refused_before_it_is_written() -> None:
    async def main() -> None:
        story = Story(1)
        wal = await story.start()
        await story.append(write(*run(1, 5, 2), term=3, vote=1, commit=2))
        events = len(story.disk.trace)
        other = entry(6, 2)
        wrong_sum = Entry(other.group, other.index, other.term, other.kind, other.log_time, 1, other.payload)
        for words, bad in (
            ("does not continue", write(entry(7, 2))),
            ("does not continue", write(entry(2, 3))),
            ("back in term", write(entry(6, 1))),
            ("back in term", write(entry(4, 1))),
            ("has not reached", write(entry(6, 4))),
            ("at place 1", write(entry(6, 2), entry(8, 2))),
            ("its checksum", write(wrong_sum)),
            ("at place 0", GroupWrite(G0, None, (entry(6, 2, group=9),))),
            ("never created", write(entry(1, 1, group=9))),
            ("term goes back", write(term=2)),
            ("vote of term 3 changes", write(term=3, vote=2, commit=2)),
            ("commit index goes back", write(term=3, vote=1, commit=1)),
            ("r6|committed and the log ends", write(term=3, vote=1, commit=6)),
        ):
            with refused(words):
                await wal.append([bad])
        assert len(story.disk.trace) == events, "something was written all the same"
        await story.close()

    asyncio.run(main())


def test_a_second_bootstrap_changes_nothing(disk: Disk) -> None:
    async def body(wal: Wal, reopen: Callable[[], Awaitable[Wal]]) -> None:
        await wal.make_room()
        identity = await load_or_create(disk, Entropy(Random(9)))
        names = await disk.names()
        with pytest.raises(StorageRefused, match="initialised already"):
            await Wal.bootstrap(disk, identity=identity, cluster_id=CLUSTER, groups={G0: membership(1)})
        assert await disk.names() == names

    on(disk, body)


def test_a_full_disk_is_a_state_that_passes() -> None:
    async def main() -> None:
        story = Story(1)
        wal = await story.start()
        story.disk.capacity = 512 + 2 * SEGMENT
        await story.append(write(entry(1, 1, size=1800), term=1))
        await story.append(write(entry(2, 1, size=1500)))
        assert not await wal.make_room()
        full = wal.full
        assert full
        before = story.disk.platter.fingerprint()
        with pytest.raises(DiskFull):
            await wal.append([write(entry(3, 1, size=600))])
        assert story.disk.platter.fingerprint() == before, "something was counted"
        assert await wal.read(G0, 1, 2, max_bytes=1 << 20) == (entry(1, 1, size=1800), entry(2, 1, size=1500))
        await story.append(write(term=2, vote=3))  # the last room is kept for this
        story.disk.capacity = None
        assert await wal.make_room()
        assert not wal.full
        await story.append(write(entry(3, 2, size=600)))
        await story.reopen()
        await story.close()

    asyncio.run(main())


def test_no_space_for_a_large_batch_costs_nothing_but_that_batch() -> None:
    async def main() -> None:
        story = Story(1)
        wal = await story.start()
        story.disk.capacity = 512 + 4 * SEGMENT
        await story.append(write(entry(1, 1, size=1800), term=1))
        with pytest.raises(DiskFull):
            await wal.append([write(entry(2, 1, size=4 * SEGMENT))])
        full = wal.full
        assert not full, "the small segment ahead was forgotten"
        story.disk.capacity = 0
        await story.append(write(entry(2, 1, size=1800)))  # goes into it
        assert wal.end.segment == 2
        await wal.make_room()
        full = wal.full
        assert full
        story.disk.capacity = None
        await story.append(write(entry(3, 1, size=4 * SEGMENT)))
        await story.reopen()
        await story.close()

    asyncio.run(main())


def test_a_segment_whose_name_is_in_doubt_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        story = Story(1)
        wal = await story.start()

        async def fail() -> None:
            monkeypatch.undo()
            raise DiskError("the directory could not be synced")

        monkeypatch.setattr(story.disk, "sync_names", fail)
        with pytest.raises(
            DiskError, match="directory"
        ):  # the larger file has taken the name of the smaller one
            await wal.append([write(entry(1, 1, size=2 * SEGMENT), term=1)])
        await story.append(write(entry(1, 1, size=1800), term=1))
        await story.append(write(entry(2, 1, size=1800)))
        assert wal.end.segment == 2
        await story.reopen()
        await story.close()

    asyncio.run(main())


def test_room_is_made_once_however_many_ask() -> None:
    async def main() -> None:
        story = Story(1)
        wal = await story.start()
        story.disk.capacity = 0
        await story.append(write(entry(1, 1, size=1800), term=1))
        await story.append(write(entry(2, 1, size=1800)))
        assert not await wal.make_room()
        story.disk.capacity = None
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(wal.make_room()) for _ in range(3)]
            group.create_task(story.append(write(entry(3, 1, size=1800))))
        assert [task.result() for task in asked] == [True] * 3
        await wal.make_room()
        assert wal.end.segment == 3
        assert await story.disk.names() == [*map(segment_name, (1, 2, 3, 4)), "identity"]
        await story.reopen()
        await story.close()

    asyncio.run(main())


def test_a_closed_log_takes_nothing() -> None:
    async def main() -> None:
        story = Story(1)
        wal = await story.start()
        await wal.close()
        with pytest.raises(DiskError, match="closed"):
            await wal.append([write(entry(1, 1), term=1)])

    asyncio.run(main())


def test_the_size_is_that_of_the_segments_there_are() -> None:
    async def main() -> None:
        story = Story(1)
        wal = await story.start()
        assert wal.size == wal.end.offset
        for index in range(1, 9):
            size = 3 * SEGMENT if index == 3 else 1500
            await story.append(write(entry(index, 1, size=size), term=1, commit=index - 1))

        async def used() -> int:
            current = wal.end.segment
            before = [segment_name(each) for each in range(1, current)]
            return sum([await story.disk.size(name) for name in before if name in await story.disk.names()])

        assert wal.size == await used() + wal.end.offset
        await story.snapshot(6)
        await story.compact(6)
        assert wal.pinning == (G0,)
        before = wal.size
        assert await story.purge() > 1
        assert wal.size == await used() + wal.end.offset < before
        await story.reopen()
        wal = story.wal
        assert wal.size == await used() + wal.end.offset
        await story.close()

    asyncio.run(main())
