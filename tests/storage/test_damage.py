"""Damage at rest: detected, named, never cut as if torn (W4, W11, W12, W17, S10, S18, R6)."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from raftlog.core.durable import HardState, SnapshotMeta, TermRun
from raftlog.core.ids import EntryId, Index, NodeId, Term
from raftlog.core.membership import MembershipAt
from raftlog.storage import DiskError, LogDamaged, StorageRefused, Wal, load_or_create
from raftlog.storage.batch import Body
from raftlog.storage.disk import SECTOR
from raftlog.storage.format import BATCH_HEADER, Position, segment_name
from raftlog.storage.records import Kind, encode_entry, encode_hard_state, encode_truncation
from raftlog.storage.recovery import examine
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from tests.storage.story import G0, SEGMENT, Entropy, Logs, Story, entry, membership, run, write

ONE = segment_name(1)


def go(tale: Coroutine[Any, Any, None]) -> None:
    asyncio.run(tale)


async def opened(files: dict[str, bytes]) -> Wal:
    disk = SimDisk(Random(8), platter=Platter(files))
    entropy = Entropy(Random(7))
    identity = await load_or_create(disk, entropy)
    return await Wal.open(disk, identity=identity, segment_size=SEGMENT, entropy=entropy.entropy)


async def damage_of(files: dict[str, bytes]) -> LogDamaged:
    with pytest.raises(LogDamaged) as caught:
        await opened(files)
    assert caught.value.damage.file in str(caught.value)
    return caught.value


def changed(files: dict[str, bytes], name: str, at: int, new: bytes) -> dict[str, bytes]:
    content = files[name]
    return {**files, name: content[:at] + new + content[at + len(new) :]}


async def small_log(*, close: bool = True) -> tuple[dict[str, bytes], Logs, list[Position]]:
    """A log of three batches; where each of them, and the mark after them, begins."""
    story = Story(11)
    wal = await story.start()
    starts = []
    for step in (
        write(*run(1, 2, 1), term=1, vote=2),
        write(entry(3, 1)),
        write(entry(2, 2), entry(3, 2), term=2),
    ):
        starts.append(wal.end)
        await story.append(step)
    starts.append(wal.end)
    await wal.make_room()
    if close:
        await story.close()
    return story.disk.platter.contents(), story.account.logs, starts


def test_w4_damage_below_a_sync_is_refused_and_named() -> None:
    async def tale() -> None:
        files, _, starts = await small_log()
        for start, affected in zip(
            starts[:3], ("entries 1 to 1", "entries 3 on", "entries 4 on"), strict=True
        ):
            for at in (0, 8, 20, 33, 60, BATCH_HEADER, BATCH_HEADER + 30):
                byte = files[ONE][start.offset + at]
                error = await damage_of(changed(files, ONE, start.offset + at, bytes([byte ^ 4])))
                assert (error.damage.file, error.damage.offset) == (ONE, start.offset)
                assert affected in error.damage.affected
                assert "durable up to" in error.damage.reason

    go(tale())


def test_w4_a_lost_sector_in_the_middle_is_no_end_of_the_log() -> None:
    async def tale() -> None:
        story = Story(12)
        await story.start()
        for index in range(1, 9):
            await story.append(write(entry(index, 1, size=900), term=1))
        await story.close()
        files = story.disk.platter.contents()
        segments = sorted(name for name in files if name.endswith(".seg"))
        assert len(segments) >= 4
        for name in segments[:-2]:
            used = len(files[name].rstrip(b"\0"))
            for sector in range(SECTOR, used - used % SECTOR, SECTOR):
                error = await damage_of(changed(files, name, sector, bytes(SECTOR)))
                assert error.damage.file == name
                assert error.damage.offset <= sector

    go(tale())


def test_w11_every_bit_of_a_small_log_is_covered() -> None:
    async def tale() -> None:
        files, logs, starts = await small_log()
        mark = starts[-1].offset
        content = files[ONE]
        for bit in range((mark + 2 * SECTOR) * 8):
            if bit % 8 and not content[bit // 8]:
                continue  # of a zero byte one bit is enough
            flipped = bytes([content[bit // 8] ^ 1 << bit % 8])
            disk = SimDisk(Random(0), platter=Platter(changed(files, ONE, bit // 8, flipped)))
            try:
                found = await examine(disk)
            except (LogDamaged, StorageRefused):
                assert bit // 8 < mark, f"bit {bit} carries nothing, and the log was refused"
                continue
            assert bit // 8 >= mark, f"bit {bit} was flipped and nobody noticed"
            expected, log = logs[G0], found.groups[G0]
            assert (log.hard_state, log.last) == (expected.hard_state, expected.entries[-1].id), (
                f"bit {bit} changed the log"
            )

    go(tale())


def test_without_a_mark_a_flip_in_the_very_last_batch_looks_torn() -> None:
    """What the format does not promise, and why marks are written."""

    async def tale() -> None:
        files, logs, starts = await small_log(close=False)
        wal = await opened(changed(files, ONE, starts[2].offset + 70, b"\xff"))
        assert wal.recovered(G0).hard_state.term == 1
        assert wal.recovered(G0).last == 3
        assert logs[G0].hard_state.term == 2
        await wal.close()

    go(tale())


@pytest.mark.parametrize(
    "bits", [pytest.param(range(64), id="magic"), pytest.param(range(128, 640), id="fields")]
)
def test_a_flip_in_any_segment_header_is_refused(bits: range) -> None:
    async def tale() -> None:
        files, _, _ = await small_log()
        for name in (ONE, segment_name(2)):
            for bit in bits:
                flipped = bytes([files[name][bit // 8] ^ 1 << bit % 8])
                error = await damage_of(changed(files, name, bit // 8, flipped))
                assert (error.damage.file, error.damage.offset) == (name, 0)

    go(tale())


def test_w17_equal_records_in_each_others_place_are_detected() -> None:
    async def tale() -> None:
        story = Story(13)
        wal = await story.start()
        starts = []
        await story.append(write(*run(1, 2, 1, size=100), term=1))
        for index in (3, 4):
            starts.append(wal.end.offset)
            await story.append(write(entry(index, 1, size=100)))
        await story.close()
        files = story.disk.platter.contents()
        content = files[ONE]
        first, second = (content[start : start + SECTOR] for start in starts)
        # Two batches swapped: each is whole, and in the wrong place.
        swapped = changed(changed(files, ONE, starts[0], second), ONE, starts[1], first)
        assert (await damage_of(swapped)).damage.offset == starts[0]
        # One batch written to another place as well.
        assert (await damage_of(changed(files, ONE, starts[1], first))).damage.offset == starts[1]
        # Two entries of one batch swapped.
        one, two = (b"".join(encode_entry(each)) for each in run(1, 2, 1, size=100))
        at, after = content.index(one), content.index(two)
        both = changed(changed(files, ONE, at, two), ONE, after, one)
        assert (await damage_of(both)).damage.file == ONE
        # A whole segment under another's name.
        renamed = {**files, ONE: files[segment_name(2)], segment_name(2): files[ONE]}
        assert "not what its name says" in str(await damage_of(renamed))

    go(tale())


def test_w17_a_misdirected_or_flipped_read_is_detected_and_remembered() -> None:
    async def tale() -> None:
        story = Story(14)
        wal = await story.start()
        await story.append(write(*run(1, 4, 1, size=100), term=1))
        content = story.disk.platter.contents()[ONE]
        records = [b"".join(encode_entry(each)) for each in run(1, 4, 1, size=100)]
        at = [content.index(record) for record in records]
        story.disk.platter.replace(ONE, at[1], records[2])  # whole, and another entry
        story.disk.platter.flip(ONE, (at[3] + 80) * 8)
        assert await wal.read(G0, 1, 1, max_bytes=1) == run(1, 1, 1, size=100)
        assert await wal.read(G0, 3, 3, max_bytes=1) == run(3, 3, 1, size=100)
        for index in (2, 4):
            with pytest.raises(LogDamaged, match=f"entry {index}"):
                await wal.read(G0, index, 4, max_bytes=1 << 20)
        assert [(hole.file, hole.offset) for hole in wal.damage] == [(ONE, at[1]), (ONE, at[3])]
        story.disk.fail_once("read")
        with pytest.raises(DiskError, match="Input/output"):
            await wal.read(G0, 1, 1, max_bytes=1)
        await wal.close()

    go(tale())


@pytest.mark.parametrize("size", [0, 100, SECTOR, SECTOR + 1, 2000, SEGMENT - 1])
def test_a_cut_off_segment_is_refused(size: int) -> None:
    async def tale() -> None:
        files, _, _ = await small_log()
        for name in (ONE, segment_name(2)):
            error = await damage_of({**files, name: files[name][:size]})
            assert error.damage.file == name
            assert "cut off" in error.damage.reason or "its header says" in error.damage.reason

    go(tale())


def test_missing_segments_are_refused() -> None:
    async def tale() -> None:
        story = Story(12)
        await story.start()
        for index in range(1, 9):
            await story.append(write(entry(index, 1, size=900), term=1))
        await story.close()
        files = story.disk.platter.contents()
        segments = sorted(name for name in files if name.endswith(".seg"))
        for missing in segments[:-1]:
            error = await damage_of({name: content for name, content in files.items() if name != missing})
            assert "missing" in error.damage.reason
        # The last one with a batch and the empty one ahead of it.
        error = await damage_of(
            {name: content for name, content in files.items() if name not in segments[-2:]}
        )
        assert "there is none" in error.damage.reason

    go(tale())


async def written(*bodies: Callable[[Body], object], segment_size: int = 8 * SEGMENT) -> Story:
    """A log into which these records were written, whatever they say."""
    story = Story(15, segment_size=segment_size)
    wal = await story.start()
    for fill in bodies:
        body = Body()
        fill(body)
        await wal._commit(body, "append", keeps_room=True, groups=1)
        await wal.make_room()
        if segment_size == SEGMENT:  # the next segment opens with what these records say
            wal._groups = (await examine(story.disk)).groups
    return story


def entries_of(first: Index, last: Index, term: Term, *, size: int = 20) -> Callable[[Body], object]:
    def fill(body: Body) -> None:
        body.add(encode_hard_state(G0, HardState(term)))
        for each in run(first, last, term, size=size):
            body.add(*encode_entry(each))

    return fill


def truncation(index: Index, term: Term) -> Callable[[Body], object]:
    base = SnapshotMeta(EntryId(term, index), MembershipAt(0, membership(1, 2, 3)), index)
    return lambda body: body.add(encode_truncation(G0, base))


def hard_state(value: HardState) -> Callable[[Body], object]:
    return lambda body: body.add(encode_hard_state(G0, value))


@pytest.mark.parametrize(
    "bodies, words",
    [
        pytest.param(
            [hard_state(HardState(1, None, 1))], "are committed and the log ends at 0", id="r6-commit"
        ),
        pytest.param([hard_state(HardState(2)), hard_state(HardState(1))], "term goes back", id="term"),
        pytest.param([entries_of(1, 2, 1), entries_of(4, 4, 1)], "4@1 .* cannot follow 2@1", id="gap"),
        pytest.param([entries_of(1, 2, 2), hard_state(HardState(1))], "term goes back", id="lower-term"),
        pytest.param(
            [entries_of(1, 3, 1), truncation(2, 1), entries_of(2, 2, 1)], "entry 2 .* anew", id="below-base"
        ),
        pytest.param(
            [
                entries_of(1, 3, 1),
                hard_state(HardState(1, None, 2)),
                lambda body: body.add(*encode_entry(entry(2, 1))),
            ],
            "entry 2 .* although 2 is committed",
            id="committed",
        ),
        pytest.param([lambda body: body.add(*encode_entry(entry(1, 3)))], "in term 0", id="term-ahead"),
        pytest.param([lambda body: body.add(*encode_entry(entry(1, 0, group=5)))], "not exist", id="group"),
    ],
)
def test_records_that_contradict_what_was_recorded_are_refused(
    bodies: list[Callable[[Body], object]], words: str
) -> None:
    async def tale() -> None:
        story = await written(*bodies)
        with pytest.raises(LogDamaged, match=words):
            await examine(story.disk)

    go(tale())


def test_a_segment_that_opens_with_another_standing_is_refused() -> None:
    async def tale() -> None:
        story = Story(16)
        wal = await story.start()
        await story.append(write(entry(1, 1, size=1800), term=1))
        wal._groups[G0].hard_state = HardState(1, NodeId(3))
        await wal.append([write(entry(2, 1, size=1800))])
        with pytest.raises(LogDamaged, match="the segment opens with"):
            await examine(story.disk)

    go(tale())


def test_a_record_of_a_later_version_is_refused_by_its_kind() -> None:
    async def tale() -> None:
        later = max(Kind) + 1
        story = await written(lambda body: body.add(bytes([later]) + bytes(15)))
        with pytest.raises(StorageRefused, match=f"kind {later}"):
            await examine(story.disk)

    go(tale())


def test_s10_no_overwritten_entry_comes_back_below_a_snapshot() -> None:
    async def tale() -> None:
        for base in (4, 3, 2):
            story = await written(
                entries_of(1, 6, 1, size=300), entries_of(3, 4, 2), truncation(base, 2 if base > 2 else 1)
            )
            log = (await examine(story.disk)).groups[G0]
            assert log.last == EntryId(2, 4)
            runs = log.recovered().runs
            assert runs == ((TermRun(base + 1, 2),) if base < 4 else ())

    go(tale())


def test_s2_a_snapshot_from_another_log_leaves_nothing_of_this_one() -> None:
    async def tale() -> None:
        story = await written(entries_of(1, 6, 1), truncation(4, 3), entries_of(5, 5, 3))
        log = (await examine(story.disk)).groups[G0]
        assert (log.base.last, log.last) == (EntryId(3, 4), EntryId(3, 5))
        assert log.recovered().runs == (TermRun(5, 3),)
        story = await written(entries_of(1, 6, 1), truncation(4, 3))
        log = (await examine(story.disk)).groups[G0]
        assert (log.last, log.recovered().runs) == (EntryId(3, 4), ())
        story = await written(entries_of(1, 6, 1), truncation(9, 3))
        log = (await examine(story.disk)).groups[G0]
        assert (log.last, log.recovered().runs) == (EntryId(3, 9), ())

    go(tale())


def test_s18_a_log_that_begins_after_a_snapshot_is_refused_without_it() -> None:
    async def tale() -> None:
        story = await written(entries_of(1, 6, 1), truncation(4, 1))
        with pytest.raises(StorageRefused, match="begins after a snapshot at 4@1"):
            await opened(story.disk.platter.contents())

    go(tale())


def test_w12_a_removed_segment_that_comes_back_is_ignored() -> None:
    async def tale() -> None:
        story = await written(
            entries_of(1, 1, 1, size=1800),
            entries_of(2, 2, 1, size=1800),
            entries_of(3, 3, 1, size=1800),
            truncation(3, 1),
            entries_of(4, 5, 1),
            entries_of(6, 6, 1, size=1800),
            segment_size=SEGMENT,
        )
        files = story.disk.platter.contents()
        assert story.wal.end.segment == 4

        async def without(*names: str) -> tuple[EntryId, EntryId]:
            kept = {name: content for name, content in files.items() if name not in names}
            log = (await examine(SimDisk(Random(0), platter=Platter(kept)))).groups[G0]
            return log.base.last, log.last

        whole = await without()
        assert whole == (EntryId(1, 3), EntryId(1, 6))
        assert await without(ONE, segment_name(2)) == whole
        assert await without(segment_name(2)) == whole
        with pytest.raises(LogDamaged, match="missing"):
            await without(segment_name(4))

    go(tale())


def test_w12_whichever_removed_segments_come_back_the_log_is_the_same() -> None:
    """Some of them began with entries that were replaced since: the log must not seem to begin with one of those."""

    async def tale() -> None:
        story = Story(17)
        wal = await story.start()
        for index in range(1, 8):
            await story.append(write(entry(index, 1, size=1500), term=1))
        for index in range(3, 10):
            await story.append(write(entry(index, 2, size=1500), term=2, commit=index - 1))
        await story.snapshot(6)
        await story.compact(6)
        platter, before = Platter(story.disk.platter.contents()), len(story.disk.trace)
        assert await wal.purge() >= 3
        came_back = set()
        for event in story.disk.trace[before:]:
            platter.perform(event)
            for state in platter.crash_states(Random(1), most=100):
                came_back.add(tuple(name for name in state.names if name.endswith(".seg")))
                try:
                    again = await opened(state.contents())
                except LogDamaged as error:
                    raise AssertionError(f"with {sorted(state.names)}: {error}") from error
                found = again.recovered(G0)
                assert (found.base.last, found.last, found.hard_state.commit) == (EntryId(2, 6), 9, 8)
                assert await again.read(G0, 7, 9, max_bytes=1 << 20) == run(7, 9, 2, size=1500)
                await again.close()
        assert len(came_back) >= 4, f"few segments came back: {sorted(came_back)}"
        await wal.close()

    go(tale())
