"""No crash state of any recorded story loses what was acknowledged; without syncs, some do."""

import asyncio
from random import Random

import pytest

from raftlog.storage import LogDamaged
from tests.storage.crashes import CrashState, Lost, crash_states, examine
from tests.storage.scenarios import SCENARIOS
from tests.storage.story import Act, Story

SEED = 20_240_611
PER_STEP = 100

tried: dict[str, int] = {}


async def record(name: str, seed: int, *, syncs: bool = True) -> list[Act]:
    scenario, groups = SCENARIOS[name]
    story = Story(seed, groups=groups)
    if not syncs:
        story.disk.lies_about = lambda name: name.endswith(".seg")
    await scenario(story)
    return story.done()


async def try_all(name: str, seed: int) -> int:
    random = Random(seed)
    states = 0
    for state in crash_states(await record(name, seed), random, per_step=PER_STEP):
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
    tried[name] = asyncio.run(try_all(name, SEED))
    assert tried[name] >= 3, f"{name} has only {tried[name]} crash states: the story records nothing"


def test_enough_states_were_tried() -> None:
    if set(tried) != set(SCENARIOS):
        pytest.skip("counts the states of all scenarios: run the whole file")
    assert sum(tried.values()) >= 10_000, f"only {sum(tried.values())} states: {tried}"


@pytest.mark.parametrize(
    "name", ["append", "hard_state", "roll", "overwrite_tail", "many_groups", "large_entry"]
)
def test_without_syncs_something_is_lost(name: str) -> None:
    """The same check on a disk that does not sync segments: it must fail, or it proves nothing."""

    async def broken() -> None:
        random = Random(SEED)
        for state in crash_states(await record(name, SEED, syncs=False), random, per_step=PER_STEP):
            await examine(state, Random(SEED))

    with pytest.raises((Lost, LogDamaged)):
        asyncio.run(broken())
