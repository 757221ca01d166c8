"""No crash state of any recorded story loses what was acknowledged; without syncs, some do."""

import asyncio
from collections.abc import Iterator
from random import Random

import pytest

from raftlog.storage import LogDamaged
from tests.storage.crashes import CrashState, Lost, crash_states, examine
from tests.storage.scenarios import SCENARIOS
from tests.storage.story import Act, Story

SEED = 20_240_611
PER_STEP = 100


async def record(name: str, seed: int, *, syncs: bool = True) -> list[Act]:
    scenario, groups = SCENARIOS[name]
    story = Story(seed, groups=groups)
    if not syncs:
        story.disk.lies_about = lambda name: name.endswith(".seg")
    await scenario(story)
    return story.done()


async def states_of(name: str, seed: int) -> Iterator[CrashState]:
    return crash_states(await record(name, seed), Random(seed), per_step=PER_STEP)


async def try_all(name: str, seed: int) -> int:
    states = 0
    for state in await states_of(name, seed):
        states += 1
        try:
            await examine(state, Random(seed))
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}, {where(state)}: {error}") from error
    return states


def where(state: CrashState) -> str:
    return f"act {state.act} after event {state.events}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_acknowledged_is_lost(name: str) -> None:
    tried = asyncio.run(try_all(name, SEED))
    assert tried >= 3, f"{name} has only {tried} crash states: the story records nothing"


def test_enough_states_are_tried() -> None:
    """Counted here anew and not in the tests above, which may run in several processes. Making them is cheap."""
    counts = {name: sum(1 for _ in asyncio.run(states_of(name, SEED))) for name in SCENARIOS}
    assert sum(counts.values()) >= 10_000, f"only {sum(counts.values())} states: {counts}"


@pytest.mark.parametrize(
    "name", ["append", "hard_state", "roll", "overwrite_tail", "many_groups", "large_entry"]
)
def test_without_syncs_something_is_lost(name: str) -> None:
    """The same check on a disk that does not sync segments: it must fail, or it proves nothing."""

    async def broken() -> None:
        acts = await record(name, SEED, syncs=False)
        for state in crash_states(acts, Random(SEED), per_step=PER_STEP):
            await examine(state, Random(SEED))

    with pytest.raises((Lost, LogDamaged)):
        asyncio.run(broken())
