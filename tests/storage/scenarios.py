"""The stories whose every crash state is tried: each one a function that tells its story to the end."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from raftlog.core.ids import GroupId
from tests.storage.story import SEGMENT, Story, entry, membership_entry, run, write

Scenario: TypeAlias = Callable[[Story], Awaitable[None]]


async def identity_creation(story: Story) -> None:
    """A directory becomes a node."""
    await story.create()
    await story.create()


async def bootstrap(story: Story) -> None:
    """A waiting node is initialised."""
    await story.start()


async def append(story: Story) -> None:
    """Entries of growing size, one by one, then several at once."""
    await story.start()
    await story.append(write(term=1, vote=1))
    for index in range(1, 15):
        await story.append(write(entry(index, 1, size=index * 110)))
    await story.append(write(*run(15, 20, 1, size=200), term=1, vote=1, commit=14))
    await story.append(write(*run(21, 26, 1, size=300), term=1, vote=1, commit=20))


async def hard_state(story: Story) -> None:
    """Terms and votes without entries."""
    await story.start()
    for term in range(1, 12):
        await story.append(write(term=term))
        await story.append(write(term=term, vote=term % 3 + 1))


async def roll(story: Story) -> None:
    """Appends that fill several segments."""
    await story.start()
    await story.append(write(term=1, vote=1))
    for index in range(1, 13):
        await story.append(write(entry(index, 1, size=900)))


async def roll_with_one_large_batch(story: Story) -> None:
    """Batches of more than one sector at the end of a segment."""
    await story.start()
    await story.append(write(*run(1, 4, 1, size=300), term=1))
    for first in range(5, 21, 5):
        await story.append(write(*run(first, first + 4, 1, size=350), term=1, commit=first - 1))


async def overwrite_tail(story: Story) -> None:
    """New leaders replace uncommitted entries, again and again."""
    await story.start()
    await story.append(write(*run(1, 5, 1, size=200), term=1))
    await story.append(write(*run(3, 4, 2, size=500), term=2, commit=2))
    await story.append(write(entry(5, 2, size=1500)))
    await story.append(write(*run(3, 6, 4, size=600), term=4, commit=2))
    await story.append(write(*run(5, 9, 5, size=300), term=5, commit=4))
    await story.append(write(entry(7, 6, size=900), term=6, commit=6))


async def overwrite_across_segments(story: Story) -> None:
    """What is replaced lies in earlier segments."""
    await story.start()
    await story.append(write(entry(1, 1, size=800), term=1))
    for index in range(2, 7):
        await story.append(write(entry(index, 1, size=800)))
    await story.append(write(entry(2, 2, size=800), term=2, commit=1))
    for index in range(3, 6):
        await story.append(write(entry(index, 2, size=800)))
    await story.append(write(entry(3, 3, size=40), term=3, commit=2))


async def many_groups(story: Story) -> None:
    """Five groups share each sync, some silent, some with a vote only."""
    await story.start()
    await story.append(*(write(*run(1, 2, 1, group=group), term=1) for group in range(5)))
    for term in range(3, 8):
        chosen = [group for group in range(5) if (group + term) % 3]
        ends = {group: len(story.account.logs[GroupId(group)][1]) for group in chosen}
        await story.append(*(write(entry(ends[group] + 1, term, 450, group), term=term) for group in chosen))


async def large_entry(story: Story) -> None:
    """An entry larger than a segment gets a segment of its own size."""
    await story.start()
    await story.append(write(entry(1, 1), term=1))
    await story.append(write(entry(2, 1, size=3 * SEGMENT)))
    await story.append(write(entry(3, 1)))
    await story.append(write(entry(4, 1, size=2 * SEGMENT)))


async def zeros_in_payloads(story: Story) -> None:
    """Payloads of zeros look like space that was never written."""
    await story.start()
    await story.append(write(entry(1, 1, size=1500, filler=0), term=1))
    await story.append(write(entry(2, 1, size=1100, filler=0)))
    await story.append(write(entry(3, 1, size=700, filler=0)))


async def restart_in_between(story: Story) -> None:
    """Clean restarts between appends."""
    await story.start()
    await story.append(write(*run(1, 3, 1), term=1))
    await story.reopen()
    await story.append(write(*run(4, 6, 2, size=700), term=2, vote=2, commit=3))
    await story.reopen()
    await story.reopen()
    await story.append(write(entry(7, 2)))


async def killed_in_between(story: Story) -> None:
    """Processes killed before their sync: what the next one reads may be in the page cache only."""
    await story.start()
    await story.append(write(*run(1, 3, 1), term=1))
    for index in range(4, 8):
        await story.append_cut_short(write(entry(index, index, size=700), term=index))
        await story.kill()
        last = story.wal.recovered(GroupId(0)).last
        await story.append(write(entry(last + 1, index + 1, size=2000), term=index + 1))


async def torn_then_append(story: Story) -> None:
    """Power failures that tear writes, each recovered from and written over."""
    await story.start()
    await story.append(write(entry(1, 1), term=1))
    for term in range(2, 7):
        last = story.wal.recovered(GroupId(0)).last
        await story.append_cut_short(write(*run(last + 1, last + 3, term, size=500), term=term))
        await story.power_failure()
        last = story.wal.recovered(GroupId(0)).last
        now = story.wal.recovered(GroupId(0)).hard_state.term
        await story.append(write(*run(last + 1, last + 3, now + 1, size=600), term=now + 1))


async def torn_roll(story: Story) -> None:
    """The power fails while a segment begins."""
    await story.start()
    await story.append(write(entry(1, 1, size=2000), term=1))
    for term in range(2, 6):
        last = story.wal.recovered(GroupId(0)).last
        await story.append_cut_short(write(entry(last + 1, term, size=1400), term=term))
        await story.power_failure()
        last = story.wal.recovered(GroupId(0)).last
        now = story.wal.recovered(GroupId(0)).hard_state.term
        await story.append(write(entry(last + 1, now, size=1400), term=now))


async def marks(story: Story) -> None:
    """Idle marks between appends, and a clean close."""
    await story.start()
    for index in range(1, 10):
        await story.append(write(entry(index, 1, size=1300), term=1, commit=index - 1))
        await story.mark()
    await story.close()


async def membership_change(story: Story) -> None:
    """A membership entry is appended, replaced, and carried into the next segment."""
    await story.start()
    await story.append(write(entry(1, 1), membership_entry(2, 1, 1, 2), term=1))
    await story.append(write(entry(2, 2, size=300), term=2, commit=1))
    await story.append(write(membership_entry(3, 2, 1, 2, 3, 4)))
    for index in range(4, 8):
        await story.append(write(entry(index, 2, size=900)))


async def failed_sync(story: Story) -> None:
    """A sync fails once; the process stops promising and starts again."""
    await story.start()
    await story.append(write(*run(1, 2, 1), term=1))
    story.disk.fail_once("sync")
    await story.append_failing(write(*run(3, 4, 1, size=600)))
    await story.kill()
    last = story.wal.recovered(GroupId(0)).last
    await story.append(write(entry(last + 1, 2), term=2))


async def no_space_in_a_write(story: Story) -> None:
    """A write ends in the middle; the process starts again."""
    await story.start()
    await story.append(write(*run(1, 2, 1, size=1200), term=1))
    for size in (0, 30, 511, 600, 1100):
        last = story.wal.recovered(GroupId(0)).last
        await story.wal.make_room()  # or its preparation would meet the fault
        story.disk.fail_write_after(size)
        await story.append_failing(write(*run(last + 1, last + 2, 1, size=500)))
        await story.kill()
        last = story.wal.recovered(GroupId(0)).last
        await story.append(write(entry(last + 1, 1)))


async def full_disk(story: Story) -> None:
    """No space for another segment; then there is."""
    await story.start()
    story.disk.capacity = 512 + 2 * SEGMENT
    await story.append(write(entry(1, 1, size=1800), term=1))
    await story.append(write(entry(2, 1, size=1900)))
    await story.append_refused(write(entry(3, 1)))
    await story.append(write(term=2, vote=1))
    story.disk.capacity = None
    await story.append(write(entry(3, 2, size=2000)))


async def short_writes(story: Story) -> None:
    """A device that takes 100 bytes at a time."""
    story.disk.piece = 100
    await story.start()
    await story.append(write(*run(1, 4, 1, size=200), term=1))
    await story.append(write(*run(3, 4, 2, size=500), term=2))


SCENARIOS: dict[str, tuple[Scenario, int]] = {
    scenario.__name__: (scenario, groups)
    for scenario, groups in (
        (identity_creation, 1),
        (bootstrap, 3),
        (append, 1),
        (hard_state, 1),
        (roll, 1),
        (roll_with_one_large_batch, 1),
        (overwrite_tail, 1),
        (overwrite_across_segments, 1),
        (many_groups, 5),
        (large_entry, 1),
        (zeros_in_payloads, 1),
        (restart_in_between, 1),
        (killed_in_between, 1),
        (torn_then_append, 1),
        (torn_roll, 1),
        (marks, 1),
        (membership_change, 1),
        (failed_sync, 1),
        (no_space_in_a_write, 1),
        (full_disk, 1),
        (short_writes, 1),
    )
}
"""By name: the story, and how many groups its node has."""
