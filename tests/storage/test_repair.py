"""Going on after damage (W4, W18): what is given up, what must never be, and who stays out instead."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from raftlog.core.durable import HardState
from raftlog.core.ids import EntryId, GroupId, NodeId
from raftlog.storage import DiskFull, GroupWrite, LogDamaged, StorageRefused, Wal, load_or_create
from raftlog.storage.disk import SECTOR
from raftlog.storage.format import Position, segment_name
from raftlog.storage.snapshots import SnapshotDamaged
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from tests.storage import test_walk
from tests.storage.scenarios import broken, missing, some_segments
from tests.storage.story import (
    G0,
    PART,
    SEGMENT,
    Entropy,
    Log,
    Logs,
    Story,
    entry,
    membership,
    meta,
    read_all,
    run,
    write,
)

Files = dict[str, bytes]


def go(tale: Coroutine[Any, Any, None]) -> None:
    asyncio.run(tale)


async def opened(disk: SimDisk, *, repair: bool = True, seed: int = 7) -> Wal:
    entropy = Entropy(Random(seed))
    identity = await load_or_create(disk, entropy)
    return await Wal.open(
        disk,
        identity=identity,
        segment_size=SEGMENT,
        entropy=entropy.entropy,
        part_size=PART,
        repair=repair,
    )


def on(files: Files) -> SimDisk:
    return SimDisk(Random(8), platter=Platter(files))


async def told(story: Story) -> Files:
    """The files after a clean stop."""
    await story.close()
    return story.disk.platter.contents()


def flipped(files: Files, at: Position, offset: int = 100) -> Files:
    return broken(segment_name(at.segment), at.offset + offset)(files)


async def refusal(files: Files) -> LogDamaged:
    """Mending was tried, and nothing was changed."""
    disk = on(files)
    with pytest.raises(LogDamaged, match="cannot be mended") as caught:
        await opened(disk)
    assert disk.platter.contents() == files, "the directory was changed"
    return caught.value


def test_w4_each_batch_damaged_in_turn_costs_what_follows_and_nothing_else() -> None:
    async def tale() -> None:
        story = Story(1)
        starts = await some_segments(story)
        log, files = story.account.logs[G0], await told(story)
        for index in range(1, 7):
            for offset in (0, 20, 60, 70):
                disk = on(flipped(files, starts[index], offset))
                wal = await opened(disk)
                # The batch before it says what was known to be decided there.
                assert await read_all(wal) == {G0: log.cut(index - 1, max(index - 3, 0))}
                (damage,) = wal.damage
                assert (damage.file, damage.offset) == (
                    segment_name(starts[index].segment),
                    starts[index].offset,
                )
                assert str(damage) == wal.impairment(G0)
                await wal.close()

    go(tale())


def test_what_is_out_of_the_log_is_kept_for_people() -> None:
    async def tale() -> None:
        story = Story(1)
        starts = await some_segments(story)
        files = flipped(await told(story), starts[3])
        disk = on(files)
        wal = await opened(disk)
        await wal.close()
        after = disk.platter.contents()
        for name in files:
            if name.endswith(".seg") and int(name[:16]) > starts[3].segment:
                assert after[f"{name}.bad"] == files[name]
                assert name not in after
            else:
                assert after[name] == files[name], f"{name} was changed"

    go(tale())


def test_an_impaired_log_stays_so_until_it_is_healed() -> None:
    async def tale() -> None:
        story = Story(1)
        starts = await some_segments(story)
        disk = on(flipped(await told(story), starts[3]))
        wal = await opened(disk)
        why = wal.impairment(G0)
        for index in range(3, 20):  # through several segments, and each restart
            await wal.append([write(entry(index, 5, size=1300), term=5, commit=index - 1)])
            await wal.close()
            wal = await opened(disk, repair=False)
            assert wal.recovered(G0).impaired
            assert wal.impairment(G0) == why
        await wal.append([GroupWrite(G0, healed=True)])
        assert not wal.recovered(G0).impaired
        for index in range(20, 24):
            await wal.append([write(entry(index, 5, size=1300))])
            await wal.close()
            wal = await opened(disk, repair=False)
            assert not wal.recovered(G0).impaired
        await wal.close()

    go(tale())


def test_w4_a_node_whose_newest_vote_may_be_lost_stays_out() -> None:
    """Only entries follow the damaged vote: the newest one that can be read is an older one."""

    async def tale() -> None:
        story = Story(2, segment_size=1 << 16)
        wal = await story.start()
        await story.append(write(entry(1, 5), term=6, vote=2))
        vote = wal.end
        await story.append(write(term=7, vote=3))
        await story.append(write(*run(2, 3, 6)))
        files = flipped(await told(story), vote, 70)
        error = await refusal(files)
        assert "may have held the newest vote of group 0" in str(error)
        with pytest.raises(LogDamaged, match="durable up to") as caught:
            await opened(on(files), repair=False)
        assert "mended" not in str(caught.value)

    go(tale())


def test_a_later_hard_state_or_standing_makes_the_vote_certain() -> None:
    async def tale() -> None:
        for size, later in ((1 << 16, write(term=7, vote=3)), (SEGMENT, write(entry(2, 6, size=3000)))):
            story = Story(2, segment_size=size)
            wal = await story.start()
            await story.append(write(entry(1, 5), term=6, vote=2))
            vote = wal.end
            await story.append(write(term=7, vote=3))
            await story.append(later)  # says it again, or a segment begins with it
            wal = await opened(on(flipped(await told(story), vote, 70)))
            assert wal.recovered(G0).hard_state == HardState(7, NodeId(3), 0)
            assert wal.recovered(G0).impaired

    go(tale())


def test_w4_damage_behind_the_last_standing_of_another_group_keeps_the_node_out() -> None:
    """A certain vote in one group does not make up for an uncertain one in another."""

    async def tale() -> None:
        story = Story(2, groups=2, segment_size=1 << 16)
        wal = await story.start()
        hole = wal.end
        await story.append(write(entry(1, 1), term=1), write(entry(1, 1, group=1), term=1))
        await story.append(write(term=2))
        error = await refusal(flipped(await told(story), hole, 70))
        assert "group 1" in str(error)

    go(tale())


def test_what_was_decided_behind_the_damage_is_not_decided_of_what_is_left() -> None:
    """The damaged batch replaced entries, and then they were committed: those that it replaced never were."""

    async def tale() -> None:
        story = Story(3, segment_size=1 << 16)
        wal = await story.start()
        await story.append(write(*run(1, 10, 1), term=1, commit=6))
        hole = wal.end
        await story.append(write(*run(8, 10, 2), term=2, commit=6))
        await story.append(write(entry(11, 2), term=2, commit=10))
        wal = await opened(on(flipped(await told(story), hole)))
        found = wal.recovered(G0)
        assert found.hard_state == HardState(2, None, 6)
        assert (found.last, found.runs[0].term) == (10, 1)

    go(tale())


def test_the_only_voter_stays_out() -> None:
    async def tale() -> None:
        story = Story(4)
        identity = await story.create()
        story.groups = {G0: membership(identity.node)}
        starts = await some_segments(story)
        error = await refusal(flipped(await told(story), starts[3]))
        assert "only voter of group 0" in str(error)

    go(tale())


def test_the_only_voter_does_not_begin_anew_without_its_state() -> None:
    async def tale() -> None:
        story = Story(4)
        identity = await story.create()
        story.groups = {G0: membership(identity.node)}
        await story.start()
        await story.append(write(*run(1, 4, 1), term=1, commit=4))
        await story.snapshot(4)
        await story.append(GroupWrite(G0, base=meta(EntryId(1, 4), identity.node)))
        (manifest,) = story.wal.snapshots.all(G0)
        with pytest.raises(StorageRefused, match="only voter"):
            await story.wal.snapshot_damaged(manifest)
        with pytest.raises(StorageRefused, match="begins after a snapshot at 4@1"):
            await opened(on(await told(story)))

    go(tale())


@pytest.mark.parametrize("repair", [False, True])
def test_s18_a_log_whose_state_is_gone(repair: bool) -> None:
    """Refused, or given up as a whole; never applied to an empty machine."""

    async def tale() -> None:
        story = Story(5)
        await story.start()
        await story.append(write(*run(1, 8, 1), term=1, vote=2, commit=7))
        await story.snapshot(6)
        await story.compact(6)
        (manifest,) = story.wal.snapshots.all(G0)
        disk = on(missing(manifest.name, *manifest.part_names)(await told(story)))
        if not repair:
            with pytest.raises(StorageRefused, match="begins after a snapshot at 6@1"):
                await opened(disk, repair=False)
            return
        wal = await opened(disk)
        assert await read_all(wal) == {G0: Log(HardState(1, NodeId(2), 0), impaired=True)}
        assert wal.recovered(G0).base.membership.membership == membership(1, 2, 3)
        assert "6@1" in str(wal.damage[0])
        assert (await read_all(await opened(disk, repair=False)))[G0].impaired

    go(tale())


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [0, SECTOR - 1, SECTOR, 1100, SEGMENT - 1])
def test_a_segment_that_is_cut_off_or_has_no_header(number: int, size: int) -> None:
    """Whichever segment it is: mended, harmless, or refused, and what is found is true."""

    async def tale() -> None:
        story = Story(1)
        await some_segments(story)
        truth, files = story.account.logs, await told(story)
        name = segment_name(number)
        for damaged in ({**files, name: files[name][:size]}, broken(name, 40)(files)):
            await judge(damaged, truth)

    go(tale())


def test_the_segment_that_mends_is_guarded_like_the_first() -> None:
    """Its first batch was synced before it had its name: unreadable, it is no torn tail."""

    async def tale() -> None:
        story = Story(1)
        starts = await some_segments(story)
        disk = on(flipped(await told(story), starts[3]))
        wal = await opened(disk)
        mending = wal.end.segment
        await wal.append([write(term=6, vote=1)])
        await wal.close()
        files = disk.platter.contents()
        with pytest.raises(LogDamaged, match="its first batch is unreadable"):
            await opened(on(broken(segment_name(mending), 600)(files)), repair=False)
        wal = await opened(on(broken(segment_name(mending), 600)(files)))
        assert wal.recovered(G0).hard_state == HardState(6, NodeId(1), 0)
        assert wal.recovered(G0).last == 2
        assert wal.recovered(G0).impaired

    go(tale())


def test_damage_before_the_break_is_seen() -> None:
    async def tale() -> None:
        story = Story(1)
        starts = await some_segments(story)
        disk = on(flipped(await told(story), starts[4]))
        await (await opened(disk)).close()
        files = disk.platter.contents()
        with pytest.raises(LogDamaged, match="no batch begins here"):
            await opened(on(flipped(files, starts[3])), repair=False)

    go(tale())


def test_no_space_to_mend_leaves_the_damage_as_it_is() -> None:
    async def tale() -> None:
        story = Story(1)
        starts = await some_segments(story)
        files = flipped(await told(story), starts[4])
        disk = on(files)
        disk.capacity = sum(map(len, files.values()))
        with pytest.raises(DiskFull):
            await opened(disk)
        assert disk.platter.contents() == files
        disk.capacity = None
        assert (await opened(disk)).recovered(G0).impaired

    go(tale())


def test_batches_that_contradict_each_other_are_not_mended() -> None:
    """No disk does that: a defect wrote it."""

    async def tale() -> None:
        story = Story(1)
        wal = await story.start()
        await story.append(write(entry(1, 1, size=1800), term=1))
        wal._groups[G0].hard_state = HardState(1, NodeId(3))
        await wal.append([write(entry(2, 1, size=1800))])
        await story.wal.make_room()
        files = story.disk.platter.contents()
        disk = on(files)
        with pytest.raises(LogDamaged, match="the segment opens with"):
            await opened(disk)
        assert disk.platter.contents() == files

    go(tale())


# -- any damage to any log


async def judge(files: Files, truth: Logs) -> str:
    """Open a damaged directory: what is found is the truth, or the part of it that an impaired node may go on from."""
    disk = on(files)
    try:
        wal = await opened(disk)
    except (LogDamaged, StorageRefused):
        return "refused"
    await restore(wal)
    found = await read_all(wal)
    assert found.keys() == truth.keys(), f"groups {sorted(truth)} became {sorted(found)}"
    for group, log in found.items():
        check(log, truth[group], wal)
    kept = disk.platter.contents()
    for name, content in files.items():
        aside = [kept[each] for each in kept if each.startswith(f"{name}.bad")]
        assert not aside or content in aside, f"{name} was changed before it was set aside"
    impaired = any(log.impaired for log in found.values())
    assert not impaired or wal.damage, "entries were given up in silence"
    await go_on(disk, wal, found)
    return "impaired" if impaired else "sound" if not wal.damage else "harmless"


async def restore(wal: Wal) -> None:
    """Read the state that each group starts from, and if it cannot be read, the one it starts from instead."""
    for group in wal.groups():
        while (newest := wal.snapshots.newest(group)) is not None:
            try:
                await wal.snapshots.verify(newest)
                break
            except SnapshotDamaged:
                found = await wal.snapshot_damaged(newest)
                assert found == wal.recovered(group)
        for manifest in wal.snapshots.all(group)[:-1]:
            with suppress(SnapshotDamaged):
                await wal.snapshots.verify(manifest)
                continue
            await wal.snapshots.quarantine(manifest)


def check(found: Log, truth: Log, wal: Wal) -> None:
    voted = (found.hard_state.term, found.hard_state.vote)
    assert voted == (truth.hard_state.term, truth.hard_state.vote), f"{voted} of {truth.hard_state}"
    if not found.impaired:
        assert found.entries == truth.entries, f"{found} for {truth}, and nobody is told"
        assert (found.hard_state, found.base) == (truth.hard_state, truth.base)
        assert found.snapshot == truth.snapshot or wal.snapshots.damage or found.snapshot == found.base
    assert found.hard_state.commit <= truth.hard_state.commit
    assert found.hard_state.commit <= found.last
    assert found.base.index <= max(truth.snapshot.index, truth.base.index)
    for each in found.entries:
        if truth.base.index < each.index <= found.hard_state.commit:
            assert each == truth.entries[each.index - truth.base.index - 1], f"{each.id} was never decided"


async def go_on(disk: SimDisk, wal: Wal, found: Logs) -> None:
    """The node lives on, heals, and starts again without any repair."""
    writes = []
    for group, log in sorted(found.items()):
        term = max(log.hard_state.term, log.base.term) + 1
        new = run(log.last + 1, log.last + 2, term, 700, group)
        writes.append(
            GroupWrite(group, HardState(term, None, log.hard_state.commit), new, None, log.impaired)
        )
    await wal.append(writes)
    await wal.close()
    again = await opened(disk, repair=False)
    assert await read_all(again) == {write.group: found[write.group].after(write) for write in writes}
    await again.close()


async def a_life(seed: int) -> tuple[Files, Logs]:
    random = Random(seed)
    story = Story(seed, groups=random.choice((1, 1, 2)))
    await story.start()
    steps: dict[str, Callable[[], Awaitable[object]]] = {
        "append": lambda: story.append(*test_walk.writes(story, random)),
        "snapshot": lambda: test_walk.snapshot(story, random),
        "compact": lambda: test_walk.compact(story, random),
        "purge": story.purge,
        "reopen": story.reopen,
    }
    for _ in range(random.randint(5, 25)):
        await steps[random.choices(list(steps), (12, 2, 2, 1, 1))[0]]()
    return await told(story), story.account.logs


def damage(files: Files, random: Random) -> tuple[str, Files]:
    segments = [name for name in sorted(files) if name.endswith(".seg")]
    others = [name for name in sorted(files) if name.endswith((".snap", ".part"))]
    name = random.choice(others if others and random.random() < 0.2 else segments)
    content = files[name]
    used = max(len(content.rstrip(b"\0")), 1)
    match random.choices(("flip", "zeros", "cut", "gone", "two"), (6, 3, 1, 1, 1))[0]:
        case "flip":
            return f"a flip in {name}", broken(name, random.randrange(used))(files)
        case "zeros":
            at = random.randrange(used) // SECTOR * SECTOR
            changed = content[:at] + bytes(len(content[at : at + SECTOR])) + content[at + SECTOR :]
            return f"zeros in {name} at {at}", {**files, name: changed}
        case "cut":
            return f"{name} cut off", {**files, name: content[: random.randrange(len(content))]}
        case "gone":
            return f"{name} gone", missing(name)(files)
        case _:
            other = random.choice(segments)
            at = random.randrange(max(len(files[other].rstrip(b"\0")), 1))
            return f"flips in {name} and {other}", broken(other, at)(
                broken(name, random.randrange(used))(files)
            )


outcomes: Counter[str] = Counter()


@pytest.mark.parametrize("seed", range(25))
def test_after_any_damage_what_is_found_is_true_and_the_rest_is_named(seed: int) -> None:
    async def tale() -> None:
        files, truth = await a_life(seed)
        for number in range(12):
            what, damaged = damage(files, Random(f"{seed}/{number}"))
            try:
                outcomes[await judge(damaged, truth)] += 1
            except Exception as error:
                raise AssertionError(f"seed {seed}, {number}, {what}: {error}") from error

    go(tale())


def test_every_outcome_was_met() -> None:
    if sum(outcomes.values()) < 300:
        pytest.skip("counts the outcomes of all seeds: run the whole file")
    for outcome in ("sound", "impaired", "refused", "harmless"):
        assert outcomes[outcome] >= 3, f"{outcome} was hardly met: {outcomes}"
    assert outcomes["impaired"] > outcomes["refused"], f"little is mended: {outcomes}"


def test_a_crash_at_any_step_of_mending_leaves_the_damage_or_the_mended_log() -> None:
    """Only with `repair` is it gone on from; without, a half-mended directory is as damaged as before or mended."""

    async def tale() -> None:
        story = Story(1, groups=2)
        await story.start()
        hole = story.wal.end
        for index in range(1, 6):
            hole = story.wal.end if index == 3 else hole
            await story.append(*(write(entry(index, 1, 600, group), term=1) for group in range(2)))
        await story.append(*(GroupWrite(GroupId(group), HardState(2, NodeId(1), 0)) for group in range(2)))
        files = flipped(await told(story), hole)
        disk = on(files)
        mended = await read_all(await opened(disk))
        platter, outcomes = Platter(files), Counter[str]()
        for event in disk.trace:
            platter.perform(event)
            for state in platter.crash_states(Random(2), most=40):
                with suppress(LogDamaged):
                    found = await read_all(await opened(SimDisk(Random(1), platter=state), repair=False))
                    assert found == mended
                    outcomes["mended"] += 1
                    continue
                outcomes["damaged"] += 1
                assert await read_all(await opened(SimDisk(Random(1), platter=state))) == mended
        assert min(outcomes["damaged"], outcomes["mended"]) >= 5, f"the crash was not exercised: {outcomes}"

    go(tale())


def test_what_is_lost_of_a_snapshot_is_named_when_it_is_read() -> None:
    async def tale() -> None:
        story = Story(1)
        await story.start()
        await story.append(write(*run(1, 6, 1), term=1, commit=6))
        for index in (3, 5):
            await story.snapshot(index)
        older, newest = story.wal.snapshots.all(G0)
        recovered = await story.wal.snapshot_damaged(newest)
        assert (recovered.snapshot, recovered.impaired, recovered.last) == (EntryId(1, 3), False, 6)
        recovered = await story.wal.snapshot_damaged(older)
        assert (recovered.snapshot, recovered.impaired, recovered.last) == (None, False, 6)
        assert len([name for name in await story.disk.names() if ".bad" in name]) == 8
        await story.wal.close()

    go(tale())
