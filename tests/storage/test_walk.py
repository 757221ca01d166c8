"""Random lives of a node's log against the plainest account of it."""

import asyncio
from random import Random

import pytest

from raftlog.core.ids import GroupId
from raftlog.storage import GroupWrite
from tests.storage.story import Story, entry, write

STEPS = 60


async def live(seed: int) -> None:
    random = Random(seed)
    story = Story(seed, groups=random.choice((1, 1, 3)), segment_size=random.choice((4096, 8192)))
    story.disk.piece = random.choice((None, None, 100))
    await story.start()
    for _ in range(STEPS):
        match random.choices(("append", "mark", "reopen", "cut", "fail", "power"), (20, 2, 1, 1, 1, 1))[0]:
            case "append":
                await story.append(*writes(story, random))
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


def writes(story: Story, random: Random) -> list[GroupWrite]:
    chosen = [group for group in sorted(story.account.logs) if random.random() < 0.7] or [GroupId(0)]
    return [write_of(story, group, random) for group in chosen]


def write_of(story: Story, group: GroupId, random: Random) -> GroupWrite:
    hard_state, entries = story.account.logs[group]
    term = hard_state.term + random.choice((0, 0, 1))
    kept = max(hard_state.commit, len(entries) - random.choice((0, 0, 0, 1, 4)))
    term = max(term, 1, entries[-1].term if entries else 1)
    new = [
        entry(kept + n, term, random.choice((10, 300, 1500)), group)
        for n in range(1, random.randint(1, 4) + 1)
    ]
    commit = random.choice((hard_state.commit, kept))
    made = write(*new, term=term, commit=commit)
    return GroupWrite(group, made.hard_state, made.entries)


@pytest.mark.parametrize("seed", range(60))
def test_a_random_life_loses_nothing(seed: int) -> None:
    asyncio.run(live(seed))
