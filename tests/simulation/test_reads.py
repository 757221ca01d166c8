"""Reads through different nodes, one after the other, never go back: what one has shown, none hides afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest

from raftlog.client import Client
from raftlog.machine.calls import CallError
from raftlog.testing.link import SimDialer
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from statemachines.kv import KeyValue
from tests.simulation.world import World

READS = 150


@asynccontextmanager
async def through(world: World, host: str) -> AsyncIterator[Client]:
    """A client that hears this one node only."""
    random = Random(world.random.getrandbits(64))
    dialer = SimDialer(world.network, f"at-{host}")
    async with Client([f"{host}:2"], dialer=dialer, random=random, deadline=5.0, follow=False) as client:
        yield client
    await dialer.close()


async def write(client: Client, done: asyncio.Event) -> None:
    """Change the key all the time."""
    number = 0
    while not done.is_set():
        number += 1
        await client.outcome(KeyValue.put, "key", b"%d" % number)


async def lag(world: World, random: Random, done: asyncio.Event) -> None:
    """Now and then a node falls silent for a while, so that it has less than the others."""
    while not done.is_set():
        host = random.choice(world.hosts).name
        world.network.hang(host)
        await asyncio.sleep(random.uniform(0.01, 0.6))
        world.network.resume(host)
        await asyncio.sleep(random.uniform(0.01, 0.3))


async def story(seed: int) -> tuple[int, int]:
    """Answered reads, and how many of them showed something new."""
    random = Random(seed)
    world = World(seed, machine=KeyValue, weather=Weather(delay=(100, 20_000)))
    await world.start()
    done = asyncio.Event()
    answered = news = seen = 0
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(through(world, host.name)) for host in world.hosts]
        await clients[0].call(KeyValue.put, "key", b"0")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write(random.choice(clients), done))
            tasks.create_task(lag(world, random, done))
            while answered < READS:
                try:
                    found = await random.choice(clients).call(KeyValue.get, "key")
                except CallError:
                    continue
                assert found is not None, "the key was there"
                assert found.version >= seen, (
                    f"a read showed version {found.version} after another showed {seen}"
                )
                news += found.version > seen
                seen, answered = found.version, answered + 1
            done.set()
    await world.stop()
    return answered, news


@pytest.mark.parametrize("seed", range(10))
def test_a_later_read_through_another_node_sees_no_less(seed: int) -> None:
    answered, news = run(story(seed), seed=seed)
    assert answered == READS
    assert news > 10, "the key hardly changed: that shows nothing"
