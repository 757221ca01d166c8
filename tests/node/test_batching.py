"""How commands share entries: many under load, none held back for long, a lone one never."""

import asyncio

from raftlog.node.replica import GATHER_AT_MOST, GATHER_BEHIND
from raftlog.testing.network import Weather
from tests.simulation.asking import adds, led, play, running, submit
from tests.simulation.world import World

FAR = Weather(delay=(100_000, 100_000))
"""A tenth of a second each way: much longer than commands may gather."""


def test_under_load_many_commands_share_an_entry() -> None:
    async def story(world: World) -> None:
        node = running(await led(world))
        before = node.status().last
        answers = []
        for _ in range(50):
            answers.append(submit(node, adds(GATHER_BEHIND)))
            await asyncio.sleep(0.000_1)
        for answer in answers:
            await answer.wait()
        entries = node.status().last - before
        assert entries <= 15, f"fifty batches that came close together took {entries} entries"

    play(story)


def test_on_a_far_network_entries_follow_each_other_without_waiting_for_answers() -> None:
    async def story(world: World) -> None:
        node = running(await led(world))
        world.network.weather = FAR
        before, began = node.status().last, world.loop.time()
        while world.loop.time() < began + 0.15:  # before any answer can be back
            submit(node, adds(GATHER_BEHIND))
            await asyncio.sleep(0.001)
        entries = node.status().last - before
        assert entries >= 0.15 * 1_000_000 / GATHER_AT_MOST - 2, f"only {entries} entries in 0.15 s"
        await asyncio.sleep(2)

    play(story)


def test_few_commands_are_never_held_back() -> None:
    async def story(world: World) -> None:
        node = running(await led(world))
        world.network.weather = FAR
        before = node.status().last
        for n in range(1, 6):
            submit(node, adds(1))
            await asyncio.sleep(0.03)  # longer than a write takes
            assert node.status().last == before + n
        await asyncio.sleep(2)

    play(story)
