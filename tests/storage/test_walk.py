"""Random lives of a node's log against the plainest account of it."""

import asyncio
from random import Random

import pytest

from raftlog.core.ids import GroupId
from raftlog.storage import GroupWrite
from tests.storage.story import Log, Story, entry, write

STEPS = 80
WHAT = ("append", "snapshot", "compact", "purge", "drop", "fetch", "mark", "reopen", "cut", "fail", "power")
LIKELY = (20, 3, 6, 4, 2, 1, 2, 1, 1, 1, 1)


async def live(seed: int) -> None:
    random = Random(seed)
    story = Story(seed, groups=random.choice((1, 1, 3)), segment_size=random.choice((4096, 8192)))
    story.disk.piece = random.choice((None, None, 100))
    await story.start()
    for _ in range(STEPS):
        match random.choices(WHAT, LIKELY)[0]:
            case "append":
                await story.append(*writes(story, random))
            case "snapshot":
                await snapshot(story, random)
            case "fetch":
                await fetch(story, random)
            case "compact":
                await compact(story, random)
            case "purge":
                await story.purge()
            case "drop":
                await story.wal.snapshots.keep_newest(random.choice(sorted(story.account.logs)))
            case "mark":
                await story.mark()
            case "reopen":
                await story.reopen()
            case "cut":
                await story.wal.make_room()
                await story.append_cut_short(*writes(story, random))
                await (story.kill() if random.random() < 0.5 else story.power_failure())
            case "fail":
                await story.wal.make_room()
                story.disk.fail_once("sync")
                await story.append_failing(*writes(story, random))
                await (story.kill() if random.random() < 0.5 else story.power_failure())
            case _:
                await story.power_failure()
    await story.close()
    await story.open()
    await story.close()


def one_of(story: Story, random: Random) -> tuple[GroupId, Log]:
    group = random.choice(sorted(story.account.logs))
    return group, story.account.logs[group]


async def snapshot(story: Story, random: Random) -> None:
    """Of what is decided, as far as anyone knows, and newer than the last one."""
    group, log = one_of(story, random)
    first = max(log.base.index, log.snapshot.index) + 1
    if first <= log.hard_state.commit:
        await story.snapshot(random.randint(first, log.hard_state.commit), group)


async def fetch(story: Story, random: Random) -> None:
    """From a leader whose log may differ from what is not committed here; installed at once, or by the next start."""
    group, log = one_of(story, random)
    index = random.randint(max(log.hard_state.commit, log.snapshot.index), log.last + 3) + 1
    at = log.id_at(index)
    if at is None or random.random() < 0.5:
        at = await story.fetch(
            index, max(log.hard_state.term, log.base.term, at.term if at else 0) + 1, group
        )
    else:
        await story.fetch(at.index, at.term, group)
    match random.choice(("install", "install", "reopen", "power")):
        case "install":
            await story.begin_after(at, group)
        case "reopen":
            await story.reopen()
        case _:
            await story.power_failure()


async def compact(story: Story, random: Random) -> None:
    """Up to the snapshot, or not quite."""
    group, log = one_of(story, random)
    if log.snapshot.index > log.base.index:
        kept = random.choice((0, 0, 3))
        await story.compact(max(log.base.index, log.snapshot.index - kept), group)


def writes(story: Story, random: Random) -> list[GroupWrite]:
    chosen = [group for group in sorted(story.account.logs) if random.random() < 0.7] or [GroupId(0)]
    return [write_of(story, group, random) for group in chosen]


def write_of(story: Story, group: GroupId, random: Random) -> GroupWrite:
    log = story.account.logs[group]
    hard_state = log.hard_state
    # What a snapshot stands for is decided, whatever the hint says.
    decided = max(hard_state.commit, log.base.index, log.snapshot.index)
    kept = max(decided, log.last - random.choice((0, 0, 0, 1, 4)))
    last = log.id_at(log.last)
    assert last is not None, f"no last entry in {log}"
    term = max(hard_state.term + random.choice((0, 0, 1)), 1, last.term)
    new = [
        entry(kept + n, term, random.choice((10, 300, 1500)), group)
        for n in range(1, random.randint(1, 4) + 1)
    ]
    commit = random.choice((hard_state.commit, kept))
    made = write(*new, term=term, commit=max(commit, hard_state.commit))
    return GroupWrite(group, made.hard_state, made.entries)


@pytest.mark.parametrize("seed", range(60))
def test_a_random_life_loses_nothing(seed: int) -> None:
    asyncio.run(live(seed))
