"""Crashes and errors at every failpoint of the storage, in every story that reaches it: nothing acknowledged is lost.

A crash takes the power away at that line. Several of the states that this may leave are recovered, held to what the
story had been promised, written to and crashed once more (see `tests.storage.crashes`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from random import Random
from typing import Any

import msgspec
import pytest

from raftlog.failpoints import ALL, Action, Crash, Delay, Fail, FailpointCrash, Failpoints, Rule
from raftlog.storage import DiskError
from raftlog.testing.platter import Platter
from tests.storage.crashes import CrashState, examine
from tests.storage.scenarios import SCENARIOS
from tests.storage.story import Account, Story, entry, run, write

SEED = 7_301
STATES = 10
"""Of those that one crash may leave."""
STORIES = 6
"""In which one point is tried, if so many reach it."""
PARTS = ("identity", "leftovers", "bootstrap", "ahead", "recovery", "wal", "snapshot", "purge", "quarantine")
STORAGE = [name for name in ALL if name.split(".")[0] in PARTS]


class Moment(msgspec.Struct):
    """What a process that ended at a failpoint left behind."""

    states: list[Platter]
    allowed: tuple[Account, ...]


async def half_made_files(story: Story) -> None:
    """A process that was killed while it made a segment; the next one finds the half-made file."""
    story.disk.hold("sync")
    starting = asyncio.create_task(story.create())
    for _ in range(20):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    story.disk = story.disk.after_kill()
    await story.start()
    await story.append(write(entry(1, 1), term=1))


async def torn_openings(story: Story) -> None:
    """The power fails while a segment's first batch is written, so that part of it lies where no log has been yet."""
    await story.start()
    await story.append(write(entry(1, 1, size=2000), term=1))
    for term in range(2, 8):
        last = story.wal.recovered(story.wal.groups()[0]).last
        await story.append_cut_short(write(entry(last + 1, term, size=3000), term=term))
        await story.kill()
        last = story.wal.recovered(story.wal.groups()[0]).last
        now = story.wal.recovered(story.wal.groups()[0]).hard_state.term
        await story.append_cut_short(write(entry(last + 1, now, size=3000), term=now))
        await story.power_failure()
        last = story.wal.recovered(story.wal.groups()[0]).last
        await story.append(write(entry(last + 1, now + 1, size=2000), term=now + 1))


async def damaged_snapshots(story: Story) -> None:
    """Two snapshots are set aside as damaged, one after the other, and an older one serves."""
    await story.start()
    await story.append(write(*run(1, 6, 1), term=1, commit=6))
    for index in (2, 3, 5):
        await story.snapshot(index)
    await story.quarantine()
    await story.quarantine()
    await story.append(write(entry(7, 1)))


TOLD: dict[str, tuple[Callable[[Story], Awaitable[None]], int]] = {
    **SCENARIOS,
    "half_made_files": (half_made_files, 1),
    "torn_openings": (torn_openings, 1),
    "damaged_snapshots": (damaged_snapshots, 1),
}


def watching(name: str, counts: dict[str, int]) -> Failpoints:
    """Counts, and looks between write and sync as well."""
    between = [Rule(point, Delay(0)) for point in STORAGE if point.endswith(".before_sync")]

    def count(point: str, action: Action | None) -> None:
        counts[point] = counts.get(point, 0) + 1

    return Failpoints(between, on_hit=count)


@cache
def reached() -> dict[str, dict[str, int]]:
    """By failpoint: how often each story comes by."""
    found: dict[str, dict[str, int]] = {name: {} for name in STORAGE}
    for story in TOLD:
        counts: dict[str, int] = {}
        asyncio.run(tell(story, watching(story, counts)))
        for point, count in counts.items():
            found[point][story] = count
    return found


async def tell(name: str, points: Failpoints) -> None:
    """One story to its end."""
    scenario, groups = TOLD[name]
    story = Story(SEED, groups=groups, failpoints=points)
    await scenario(story)
    if story.opened:
        await story.close()


def moments(point: str) -> list[tuple[str, int]]:
    """The stories and hits to try: the first hit, the last and one drawn, in each of some stories."""
    random = Random(f"{SEED}/{point}")
    stories = sorted(reached()[point].items())
    chosen = random.sample(stories, min(STORIES, len(stories)))
    return sorted({(story, hit) for story, count in chosen for hit in (1, random.randint(1, count), count)})


async def interrupted(name: str, rule: Rule) -> Moment | None:
    """Tell a story until a rule strikes; what that left. None: the error was no reason to stop."""
    scenario, groups = TOLD[name]
    found: list[Moment] = []
    random = Random(f"{SEED}/{name}/{rule}")

    def look() -> None:
        found.append(Moment(list(story.disk.platter.crash_states(random, most=STATES)), story.allowed))

    def crash(point: str) -> None:
        look()
        story.disk.power_off()
        telling.cancel()  # a story may have reckoned with errors; this one is its end

    asyncio.get_running_loop().set_exception_handler(_report)
    story = Story(SEED, groups=groups, failpoints=Failpoints((rule,), crash=crash))
    telling = asyncio.create_task(_to_its_end(scenario, story))
    await asyncio.wait([telling])
    if telling.cancelled() or isinstance(telling.exception(), FailpointCrash):
        assert found, "the story ended, and not by the crash"
        return found[0]
    if (error := telling.exception()) is None:
        return None
    if not isinstance(error, DiskError) or not story.failpoints.fired:
        raise error
    look()
    found[0].states.append(
        Platter(story.disk.platter.contents())
    )  # the process alone ends: what it wrote stays
    return found[0]


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A log that crashed in the background was closed by nobody: it is not missed."""
    if not isinstance(context.get("exception"), FailpointCrash):
        loop.default_exception_handler(context)


async def _to_its_end(scenario: Callable[[Story], Awaitable[None]], story: Story) -> None:
    await scenario(story)
    if story.opened:
        await story.close()


@pytest.mark.parametrize("point", STORAGE)
def test_every_failpoint_of_the_storage_is_reached(point: str) -> None:
    assert reached()[point], f"no story comes by {point}: is it dead?"


@pytest.mark.parametrize("action", [Crash(), Fail()], ids=str)
@pytest.mark.parametrize("point", STORAGE)
def test_nothing_acknowledged_is_lost(point: str, action: Action) -> None:
    states = 0
    for story, hit in moments(point):
        rule = Rule(point, action, first=hit, times=1)
        left = asyncio.run(interrupted(story, rule))
        for number, platter in enumerate(left.states if left is not None else ()):
            states += 1
            assert left is not None, "counted above"
            state = CrashState(0, 0, platter, left.allowed)
            try:
                asyncio.run(examine(state, Random(SEED)))
            except Exception as error:
                raise AssertionError(f"seed {SEED}, {story} with {rule}, state {number}: {error}") from error
    if isinstance(action, Crash):
        assert states >= 2, f"{states} states were tried: the crash leaves nothing to look at"
