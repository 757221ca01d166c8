"""The stories whose every crash state is tried: each one a function that tells its story to the end."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from raftlog.core.durable import HardState
from raftlog.core.ids import EntryId, GroupId, NodeId
from raftlog.storage import DiskError, GroupWrite
from raftlog.storage.format import Position, segment_name
from raftlog.testing.disk import Operation
from tests.storage.story import (
    G0,
    PART,
    SEGMENT,
    Log,
    Story,
    a_snapshot,
    entry,
    membership_entry,
    meta,
    run,
    write,
)

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
        ends = {group: story.account.logs[GroupId(group)].last for group in chosen}
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


async def snapshots(story: Story) -> None:
    """A snapshot, more entries, a later snapshot; both stay."""
    await story.start()
    await story.append(write(*run(1, 6, 1), term=1, vote=1, commit=5))
    await story.snapshot(4)
    await story.append(write(*run(7, 9, 2), term=2, commit=9))
    await story.snapshot(8)
    await story.reopen()


async def snapshot_then_truncation(story: Story) -> None:
    """The log is cut, and its segments removed, when the snapshot that stands for them is durable (S3)."""
    await story.start()
    for index in range(1, 7):
        await story.append(write(entry(index, 1, size=1500), term=1, commit=index - 1))
    await story.snapshot(5)
    await story.compact(5)
    await story.purge()
    await story.append(write(entry(7, 1, size=1500), term=1, commit=6))


async def truncation_of_everything(story: Story) -> None:
    """The last entry is in the snapshot and no entry is left; then the log goes on."""
    await story.start()
    await story.append(write(*run(1, 4, 3, size=900), term=3, vote=2, commit=4))
    await story.snapshot(4)
    await story.compact(4)
    await story.purge()
    await story.reopen()
    await story.append(write(term=5, vote=3, commit=4))
    await story.power_failure()
    await story.append(write(entry(5, 5), term=5, vote=3, commit=4))


async def retention_window(story: Story) -> None:
    """Some entries are kept behind the snapshot, round after round."""
    await story.start()
    for first in range(1, 13, 3):
        await story.append(write(*run(first, first + 2, 1, size=600), term=1, commit=first + 1))
        await story.snapshot(first + 1)
        if first > 3:
            await story.compact(first - 2)
        await story.wal.snapshots.keep_newest(G0)
        await story.purge()


async def two_quick_snapshots(story: Story) -> None:
    """A second snapshot right after the first, and the first is dropped (S6)."""
    await story.start()
    await story.append(write(*run(1, 6, 1), term=1, commit=6))
    await story.snapshot(5)
    await story.snapshot(6)
    await story.wal.snapshots.keep_newest(G0)
    await story.compact(6)


async def snapshots_dropped(story: Story) -> None:
    """Three snapshots, of which two go at once."""
    await story.start()
    await story.append(write(*run(1, 9, 1), term=1, commit=9))
    for index in (3, 6, 9):
        await story.snapshot(index)
    await story.wal.snapshots.keep_newest(G0)
    await story.reopen()


async def snapshot_overtaken(story: Story) -> None:
    """A fetched snapshot is durable before an older one of the node's own is: the newer one counts (S6)."""
    await story.start()
    await story.append(write(*run(1, 8, 1), term=1, commit=8))
    await story.fetch(8, 1)
    await story.snapshot(6)
    await story.compact(7)
    await story.reopen()


async def installation_beyond_the_log(story: Story) -> None:
    """A snapshot of what the log has not reached; the log begins after it."""
    await story.start()
    await story.append(write(*run(1, 5, 1, size=700), term=1, commit=2))
    await story.begin_after(await story.fetch(9, 2))
    await story.purge()
    await story.append(write(*run(10, 11, 2), term=2, commit=9))


async def installation_over_a_conflicting_tail(story: Story) -> None:
    """The snapshot ends within the log, with another entry: nothing of the log survives (S2)."""
    await story.start()
    await story.append(write(*run(1, 8, 1, size=700), term=1, commit=2))
    await story.begin_after(await story.fetch(5, 3))
    await story.append(write(*run(6, 7, 3, size=700), term=3, commit=5))
    await story.purge()
    await story.power_failure()
    await story.append(write(entry(8, 3), term=3, commit=6))


async def installation_within_the_log(story: Story) -> None:
    """The snapshot ends with an entry of the log: what follows it stays."""
    await story.start()
    await story.append(write(*run(1, 8, 1, size=500), term=1, commit=2))
    await story.begin_after(await story.fetch(5, 1))
    await story.purge()
    await story.append(write(entry(9, 1), term=1, commit=8))


async def installation_at_the_end(story: Story) -> None:
    """The snapshot ends where the log does, in a later term."""
    await story.start()
    await story.append(write(*run(1, 5, 1), term=1, commit=4))
    await story.begin_after(await story.fetch(5, 2))
    await story.append(write(entry(6, 2), term=2, commit=5))


async def installation_left_to_the_next_start(story: Story) -> None:
    """The power fails, or the process ends, between the snapshot and the log that begins after it (W16)."""
    await story.start()
    await story.append(write(*run(1, 5, 1, size=900), term=1, commit=2))
    await story.fetch(7, 2)
    await story.power_failure()
    await story.append(write(*run(8, 9, 2), term=2, commit=7))
    await story.fetch(8, 3)
    await story.kill()
    await story.append(write(entry(9, 3), term=3, commit=8))
    await story.fetch(20, 4)
    await story.reopen()


async def installation_in_two_steps(story: Story) -> None:
    """A second snapshot comes before the log begins after the first."""
    await story.start()
    await story.append(write(*run(1, 5, 1), term=1, commit=2))
    await story.fetch(9, 2)
    await story.begin_after(await story.fetch(12, 2))
    await story.wal.snapshots.keep_newest(G0)
    await story.purge()


async def installation_with_all_that_follows(story: Story) -> None:
    """Base, entries and hard state in one step (W16)."""
    await story.start()
    await story.append(write(*run(1, 5, 1, size=600), term=1, vote=1, commit=2))
    at = await story.fetch(7, 2)
    everything = write(*run(8, 10, 3, size=600), term=4, vote=2, commit=9)
    await story.append(GroupWrite(G0, everything.hard_state, everything.entries, meta(at)))
    await story.append(write(*run(10, 11, 5), term=5, commit=9))


async def truncation_that_rolls(story: Story) -> None:
    """The truncation record, with entries, opens a segment, and the next one too."""
    await story.start()
    await story.append(write(*run(1, 6, 1, size=500), term=1, commit=6))
    for index in (4, 6):
        await story.snapshot(index)
        last = story.wal.recovered(G0).last
        await story.append(
            GroupWrite(G0, None, run(last + 1, last + 2, 1, size=1500), meta(EntryId(1, index)))
        )
    await story.purge()


async def purge_after_a_replaced_tail(story: Story) -> None:
    """A segment began with entries that were replaced later: the log must not begin with it alone (W12)."""
    await story.start()
    await story.append(write(entry(1, 1, size=1500), term=1))
    for index in range(2, 7):
        await story.append(write(entry(index, 1, size=1500)))
    await story.append(write(*run(3, 4, 2, size=900), term=2, commit=2))
    await story.append(write(*run(5, 6, 2, size=900), term=2, commit=4))
    await story.snapshot(4)
    await story.compact(4)
    await story.purge()
    await story.append(write(*run(7, 8, 2, size=900), term=2, commit=6))


async def purge_after_an_installation(story: Story) -> None:
    """Segments that began with a longer log than the one that took its place (W12)."""
    await story.start()
    for index in range(1, 8):
        await story.append(write(entry(index, 1, size=1500), term=1))
    await story.begin_after(await story.fetch(4, 2))
    for index in range(5, 9):
        await story.append(write(entry(index, 2, size=1500), term=2, commit=index - 1))
    await story.snapshot(7)
    await story.compact(7)
    await story.purge()
    await story.append(write(entry(9, 2)))


async def purge_up_to_the_segment_of_an_installation(story: Story) -> None:
    """The segment in which the log began anew began itself with a longer one: the log cannot begin there (W12)."""
    await story.start()
    await story.append(write(entry(1, 1, size=1500), term=1))
    for index in range(2, 8):
        await story.append(write(entry(index, 1, size=1300)))
    await story.begin_after(await story.fetch(4, 2))
    await story.append(write(*run(5, 8, 2), term=2, commit=7))
    await story.snapshot(7)
    await story.compact(7)
    await story.purge()
    await story.reopen()
    await story.append(write(entry(9, 2)))


async def purge_bit_by_bit(story: Story) -> None:
    """One segment at a time, with restarts in between."""
    await story.start()
    for index in range(1, 9):
        await story.append(write(entry(index, 1, size=1800), term=1, commit=index - 1))
    await story.snapshot(7)
    for index in (3, 4, 6):
        await story.compact(index)
        await story.purge()
        await (story.power_failure() if index % 2 else story.reopen())


async def purge_in_doubt(story: Story) -> None:
    """Names cannot be synced, so nobody knows which segments are gone; the process ends and starts again."""
    await story.start()
    for index in range(1, 9):
        await story.append(write(entry(index, 1, size=1500), term=1, commit=index - 1))
    await story.snapshot(7)
    await story.compact(7)
    for _ in range(3):
        story.disk.fail_once("names")
        with suppress(DiskError):
            await story.purge()
    await story.kill()
    await story.power_failure()
    await story.append(write(entry(9, 1)))


async def idle_group(story: Story) -> None:
    """A group that is never written to keeps what it needs, until it has a snapshot as well."""
    await story.start()
    await story.append(*(write(*run(1, 3, 1, size=200, group=group), term=1, commit=3) for group in range(2)))
    for index in range(4, 9):
        await story.append(write(entry(index, 1, size=1500), term=1, commit=index))
    await story.snapshot(8)
    await story.compact(8)
    assert not await story.purge(), "a segment went that the idle group needs"
    assert story.wal.pinning == (GroupId(1),)
    await story.snapshot(3, group=1)
    await story.compact(3, group=1)
    await story.append(write(*run(9, 10, 1, size=1500), term=1, commit=8))
    assert await story.purge(), "an idle group keeps segments for ever"


async def groups_cut_in_turn(story: Story) -> None:
    """Three groups share segments and are cut at different times."""
    await story.start()
    for index in range(1, 6):
        await story.append(
            *(write(entry(index, 1, 450, group), term=1, commit=index - 1) for group in range(3))
        )
    for group, index in ((1, 4), (0, 3), (2, 2), (0, 4)):
        await story.snapshot(index, group)
        await story.compact(index, group)
        await story.purge()
    await story.append(*(write(entry(6, 1, 450, group), term=1, commit=5) for group in range(3)))


async def memberships_before_the_base(story: Story) -> None:
    """Membership entries end up before the base, one truncation after the other, across segments."""
    await story.start()
    changes = [
        membership_entry(index, 1, *nodes) for index, nodes in ((2, (1, 2)), (4, (1, 2, 3)), (6, (2, 3)))
    ]
    await story.append(
        write(entry(1, 1), changes[0], entry(3, 1), changes[1], entry(5, 1), changes[2], term=1)
    )
    await story.append(write(entry(7, 1, size=1800), term=1, commit=7))
    await story.append(write(entry(8, 1, size=1800), term=1, commit=7))
    await story.snapshot(7)
    for index in (3, 5, 7):
        await story.compact(index)
        last = story.wal.recovered(G0).last
        await story.append(write(entry(last + 1, 1, size=1300)))
        await story.purge()
    await story.reopen()


async def snapshots_given_up(story: Story) -> None:
    """Snapshots that are begun and not finished: abandoned, cut off by a kill or by a power failure."""
    await story.start()
    await story.append(write(*run(1, 3, 1), term=1, commit=3))
    for after in ("abandon", "kill", "power"):
        writer = story.wal.snapshots.begin(G0, meta(EntryId(1, 2)))
        await writer.write(bytes(2 * PART + 5))
        match after:
            case "abandon":
                await writer.abandon()
            case "kill":
                await story.kill()
            case _:
                await story.power_failure()
    await story.snapshot(3)


async def transfers_given_up(story: Story) -> None:
    """A transfer breaks off, a restart forgets it, another one succeeds."""
    await story.start()
    await story.append(write(*run(1, 3, 1), term=1, commit=1))
    manifest, parts = a_snapshot(story.clock, G0, EntryId(2, 9))
    for after in ("abandon", "kill", "power"):
        receiver = story.wal.snapshots.receive(manifest)
        await receiver.put(3, parts[2])
        await receiver.put(1, parts[0])
        match after:
            case "abandon":
                await receiver.abandon()
            case "kill":
                await story.kill()
            case _:
                await story.power_failure()
    await story.fetch(9, 2)


async def full_disk_under_snapshots(story: Story) -> None:
    """No space for a part, or for the manifest; then there is."""
    await story.start()
    await story.append(write(*run(1, 4, 1), term=1, commit=4))
    used = sum(len(content) for content in story.disk.platter.contents().values())
    for room in (0, PART, 2 * PART, 2 * PART + 60):
        story.disk.capacity = used + room
        await story.snapshot_refused(4)
    story.disk.capacity = None
    await story.snapshot(4)
    await story.compact(4)
    story.disk.capacity = 0
    await story.purge()
    await story.snapshot_refused(4)


async def failing_disk_under_snapshots(story: Story) -> None:
    """Each kind of step fails once; the snapshot is given up or the process ends."""
    await story.start()
    await story.append(write(*run(1, 4, 1), term=1, commit=4))
    await story.wal.make_room()
    operations: tuple[Operation, ...] = ("allocate", "write", "sync", "names")
    for operation in operations:
        story.disk.fail_once(operation)
        await story.snapshot_refused(4)
    story.disk.fail_once("sync")
    writer = story.wal.snapshots.begin(G0, meta(EntryId(1, 4)))
    with suppress(DiskError):
        await writer.write(bytes(PART))
    await story.kill()
    await story.snapshot(4)


async def a_long_life(story: Story) -> None:
    """Append, snapshot, cut, purge, drop, with restarts of every kind in between."""
    await story.start()
    for turn in range(6):
        term, last = turn + 1, story.wal.recovered(G0).last
        await story.append(
            write(*run(last + 1, last + 4, term, size=700), term=term, vote=1, commit=last + 3)
        )
        await story.snapshot(last + 3)
        await story.compact(last + turn % 3 + 1)
        await story.wal.snapshots.keep_newest(G0)
        await story.purge()
        match turn % 3:
            case 0:
                await story.power_failure()
            case 1:
                await story.kill()
            case _:
                await story.reopen()


async def large_entries_behind_a_snapshot(story: Story) -> None:
    """Segments of different sizes come and go."""
    await story.start()
    await story.append(write(entry(1, 1, size=2 * SEGMENT), term=1, commit=0))
    await story.append(write(entry(2, 1), term=1, commit=1))
    await story.append(write(entry(3, 1, size=2 * SEGMENT), term=1, commit=2))
    await story.snapshot(3)
    await story.compact(2)
    await story.purge()
    await story.compact(3)
    await story.append(write(entry(4, 1, size=2 * SEGMENT), term=1, commit=3))
    await story.purge()


def broken(name: str, at: int) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    """A byte of a file changes."""

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        content = files[name]
        return {**files, name: content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]}

    return change


def missing(*names: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    """Files are gone."""
    return lambda files: {name: content for name, content in files.items() if name not in names}


async def some_segments(story: Story, count: int = 7) -> list[Position]:
    """A log of several segments, one entry a batch; where each entry's batch begins, from index 1."""
    await story.start()
    starts = [story.wal.end]
    for index in range(1, count):
        starts.append(story.wal.end)
        await story.append(write(entry(index, 1, size=1100), term=1, commit=max(index - 2, 0)))
    await story.append(write(term=4, vote=3, commit=count - 3))
    return starts


async def repair_of_a_hole(story: Story) -> None:
    """A batch in the middle is damaged: the log ends before it, its term and vote stay, its node is impaired."""
    starts = await some_segments(story)
    log = story.account.logs[G0]
    await story.damaged(broken(segment_name(starts[4].segment), starts[4].offset + 100), {G0: log.cut(3, 1)})
    await story.append(write(*run(4, 6, 5, size=700), term=5, commit=5))
    await story.append(GroupWrite(G0, healed=True))
    await story.append(write(entry(7, 5)))
    await story.reopen()


async def repair_twice(story: Story) -> None:
    """The mended log is damaged in turn, before the break and where it goes on."""
    starts = await some_segments(story, 9)
    log = story.account.logs[G0].cut(6, 4)
    await story.damaged(broken(segment_name(starts[7].segment), starts[7].offset + 3), {G0: log})
    await story.append(write(term=6, vote=1, commit=4))
    await story.append(write(*run(7, 8, 6, size=900), term=6, vote=1, commit=4))
    log = story.account.logs[G0].cut(2, 0)
    await story.damaged(broken(segment_name(starts[3].segment), starts[3].offset + 90), {G0: log})
    await story.append(write(*run(3, 5, 7, size=900), term=7, commit=4))


async def repair_of_the_first_segment(story: Story) -> None:
    """Nothing is left to begin with: the group begins anew, knowing term, vote and members."""
    await some_segments(story)
    after = Log(HardState(4, NodeId(3), 0), impaired=True)
    await story.damaged(broken(segment_name(1), 600), {G0: after})
    await story.append(write(*run(1, 3, 5, size=900), term=5, commit=2))
    await story.power_failure()
    await story.append(GroupWrite(G0, healed=True))


async def repair_of_the_first_segment_with_a_snapshot(story: Story) -> None:
    """The log begins anew after the newest snapshot."""
    await some_segments(story)
    at = await story.snapshot(4)
    after = Log(HardState(4, NodeId(3), 0), (), at, at, True)
    await story.damaged(broken(segment_name(1), 8), {G0: after})
    await story.append(write(*run(5, 7, 5, size=900), term=5, commit=5))


async def repair_after_a_truncation(story: Story) -> None:
    """The truncation that let the first segments go is behind the damage: what is before it reaches nothing."""
    await some_segments(story, 9)
    at = await story.snapshot(6)
    await story.compact(6)
    await story.append(write(*run(9, 12, 4, size=1100), term=4, vote=3, commit=8))
    await story.purge()
    first = next(name for name in await story.disk.names() if name.endswith(".seg"))
    after = Log(HardState(4, NodeId(3), 0), (), at, at, True)
    await story.damaged(broken(first, 3 * 512), {G0: after})
    await story.append(write(entry(7, 4), term=4, vote=3, commit=7))


async def repair_of_missing_segments(story: Story) -> None:
    """Files are gone that the log needs."""
    await some_segments(story)
    after = Log(HardState(4, NodeId(3), 0), impaired=True)
    await story.damaged(missing(segment_name(1), segment_name(2)), {G0: after})
    await story.append(write(*run(1, 3, 5, size=900), term=5))


async def repair_of_a_segment_that_was_never_begun(story: Story) -> None:
    """The header of the segment ahead is damaged: nothing is lost and nobody is impaired."""
    await some_segments(story)
    ahead = segment_name(story.wal.end.segment + 1)
    await story.damaged(broken(ahead, 33), story.account.logs)
    await story.append(write(*run(7, 9, 4, size=1300)))


async def repair_behind_the_base(story: Story) -> None:
    """What is damaged is not needed any more, but was not removed yet."""
    starts = await some_segments(story, 9)
    await story.snapshot(6)
    await story.compact(6)
    last = story.wal.recovered(G0).last
    await story.append(write(*run(last + 1, last + 3, 4, size=1300), term=4, vote=3, commit=6))
    await story.damaged(broken(segment_name(starts[2].segment), starts[2].offset + 90), story.account.logs)
    await story.append(write(entry(12, 4)))


async def repair_of_many_groups(story: Story) -> None:
    """One damaged batch cuts the log of each group; groups heal one by one."""
    await story.start()
    before, end = story.account.logs, story.wal.end
    for index in range(1, 6):
        await story.append(
            *(write(entry(index, 1, 500, group), term=1, commit=index - 1) for group in range(3))
        )
        if index == 3:
            before, end = story.account.logs, story.wal.end
    await story.append(
        *(GroupWrite(GroupId(group), HardState(2, NodeId(group + 1), 4)) for group in range(3))
    )
    file, at = segment_name(end.segment), end.offset
    after = {
        group: Log(HardState(2, NodeId(group + 1), 2), log.entries, impaired=True)
        for group, log in before.items()
    }
    await story.damaged(broken(file, at + 70), after)
    for group in (1, 0, 2):
        await story.append(write(*run(4, 6, 3, 900, group), term=3, commit=2))
        await story.append(GroupWrite(GroupId(group), healed=True))


async def a_life_after_damage(story: Story) -> None:
    """An impaired log rolls, is cut and purged, until the broken segment itself is set aside."""
    starts = await some_segments(story)
    log = story.account.logs[G0].cut(3, 1)
    await story.damaged(broken(segment_name(starts[4].segment), starts[4].offset + 100), {G0: log})
    for index in range(4, 10):
        await story.append(write(entry(index, 5, size=1500), term=5, commit=index - 1))
    await story.snapshot(8)
    await story.compact(7)
    await story.purge()
    assert f"{segment_name(starts[4].segment)}.bad" in await story.disk.names()
    await story.power_failure()
    await story.append(GroupWrite(G0, healed=True))


async def a_fence(story: Story) -> None:
    """A group is fenced over several segments and let out again, beside one that is not."""
    await story.start()
    await story.append(*(write(*run(1, 3, 1, 300, group), term=1, vote=2, commit=3) for group in range(2)))
    await story.append(GroupWrite(G0, fenced="its state differs"))
    for index in range(4, 10):
        await story.append(write(entry(index, 1, size=1500), commit=index - 1, term=1, vote=2))
    await story.power_failure()
    await story.snapshot(8)
    await story.compact(7)
    await story.purge()
    await story.append(GroupWrite(G0, fenced=""), write(entry(4, 1, 600, 1)))
    for index in range(10, 14):
        await story.append(write(entry(index, 1, size=1500)))


async def damage_behind_a_fence(story: Story) -> None:
    """A log that is mended is still fenced."""
    await story.start()
    await story.append(write(*run(1, 3, 1, size=300), term=1, vote=2, commit=3))
    await story.append(GroupWrite(G0, fenced="its state differs"))
    await story.append(write(entry(4, 1)))
    place = story.wal.end
    await story.append(write(entry(5, 1)))
    await story.append(write(entry(6, 2), term=2, vote=1, commit=3))
    log = story.account.logs[G0].cut(4, 3)
    await story.damaged(broken(segment_name(place.segment), place.offset + 100), {G0: log})
    await story.append(write(entry(5, 2), term=2, vote=1, commit=3))
    await story.append(GroupWrite(G0, healed=True, fenced=""))


async def a_damaged_snapshot(story: Story) -> None:
    """An older one serves, then none, since the log reaches back to both."""
    await story.start()
    await story.append(write(*run(1, 8, 1, size=300), term=1, vote=2, commit=8))
    for index in (3, 6):
        await story.snapshot(index)
    await story.lose_snapshot()
    await story.append(write(entry(9, 1)))
    await story.lose_snapshot()
    await story.reopen()


async def a_lost_state(story: Story) -> None:
    """The log begins after what only a damaged snapshot stood for: it is given up, back to an older one."""
    await story.start()
    await story.append(write(*run(1, 8, 1, size=300), term=1, vote=2, commit=8))
    for index in (3, 6):
        await story.snapshot(index)
    await story.compact(5)
    await story.lose_snapshot()
    await story.append(write(*run(4, 9, 2, size=600), term=2, commit=6))
    await story.begin_after(await story.fetch(12, 2))
    await story.append(GroupWrite(G0, healed=True))
    await story.purge()


async def a_lost_state_and_no_other(story: Story) -> None:
    """No other snapshot is there: the group begins with nothing, beside one that has lost nothing."""
    await story.start()
    await story.append(*(write(*run(1, 5, 1, 300, group), term=1, vote=2, commit=5) for group in range(2)))
    await story.snapshot(5)
    await story.compact(4)
    await story.purge()
    await story.lose_snapshot()
    await story.append(write(*run(1, 3, 2, size=600), term=2, commit=2), write(entry(6, 1, 600, 1)))
    await story.power_failure()
    await story.append(write(*run(4, 6, 2, size=1200)), GroupWrite(G0, healed=True))


async def a_snapshot_that_is_gone(story: Story) -> None:
    """A manifest is unreadable, or its file is missing: found by the start itself."""
    await story.start()
    await story.append(write(*run(1, 5, 1), term=1, vote=2, commit=5))
    await story.snapshot(5)
    await story.compact(4)
    manifest = story.wal.snapshots.newest(G0)
    assert manifest is not None, "it was just taken"
    await story.damaged(broken(manifest.name, 30), {G0: Log(HardState(1, NodeId(2), 0), impaired=True)})
    await story.append(write(*run(1, 4, 2), term=2, commit=3))
    await story.snapshot(3)
    await story.compact(3)
    manifest = story.wal.snapshots.newest(G0)
    assert manifest is not None, "it was just taken"
    await story.damaged(
        missing(manifest.name, *manifest.part_names), {G0: Log(HardState(2, None, 0), impaired=True)}
    )


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
        (snapshots, 1),
        (snapshot_then_truncation, 1),
        (truncation_of_everything, 1),
        (retention_window, 1),
        (two_quick_snapshots, 1),
        (snapshots_dropped, 1),
        (snapshot_overtaken, 1),
        (installation_beyond_the_log, 1),
        (installation_over_a_conflicting_tail, 1),
        (installation_within_the_log, 1),
        (installation_at_the_end, 1),
        (installation_left_to_the_next_start, 1),
        (installation_in_two_steps, 1),
        (installation_with_all_that_follows, 1),
        (truncation_that_rolls, 1),
        (purge_after_a_replaced_tail, 1),
        (purge_after_an_installation, 1),
        (purge_up_to_the_segment_of_an_installation, 1),
        (purge_bit_by_bit, 1),
        (purge_in_doubt, 1),
        (idle_group, 2),
        (groups_cut_in_turn, 3),
        (memberships_before_the_base, 1),
        (snapshots_given_up, 1),
        (transfers_given_up, 1),
        (full_disk_under_snapshots, 1),
        (failing_disk_under_snapshots, 1),
        (a_long_life, 1),
        (large_entries_behind_a_snapshot, 1),
        (repair_of_a_hole, 1),
        (repair_twice, 1),
        (repair_of_the_first_segment, 1),
        (repair_of_the_first_segment_with_a_snapshot, 1),
        (repair_after_a_truncation, 1),
        (repair_of_missing_segments, 1),
        (repair_of_a_segment_that_was_never_begun, 1),
        (repair_behind_the_base, 1),
        (repair_of_many_groups, 3),
        (a_life_after_damage, 1),
        (a_fence, 2),
        (damage_behind_a_fence, 1),
        (a_damaged_snapshot, 1),
        (a_lost_state, 1),
        (a_lost_state_and_no_other, 2),
        (a_snapshot_that_is_gone, 1),
    )
}
"""By name: the story, and how many groups its node has."""
