"""The minority side of a partition answers no linearizable read and accepts no write, and says why and whom to ask.

The old leader is on that side, with a client of its own that can reach nobody else, while the majority goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from raftlog.client import Client, Level
from raftlog.machine.calls import CallFailed, CallUnknown
from raftlog.testing.link import SimDialer
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from statemachines.kv import KeyValue, Versioned
from tests.simulation.world import World

NO_MAJORITY = "a majority of the nodes cannot be reached"


@asynccontextmanager
async def client_at(world: World, host: str, *addresses: str) -> AsyncIterator[Client]:
    """A client on a host of its own."""
    dialer = SimDialer(world.network, host)
    async with Client(
        addresses, dialer=dialer, random=Random(world.random.getrandbits(64)), deadline=8.0
    ) as client:
        yield client
    await dialer.close()


async def leader_of(world: World, among: set[str]) -> str:
    """The host whose node leads, once one of these does."""
    while True:
        for host in world.hosts:
            if host.name in among and host.node is not None and host.node.status().role == "leader":
                return host.name
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(12))
def test_a_leader_without_its_majority_promises_nothing(seed: int) -> None:
    run(story(seed), seed=seed)


async def story(seed: int) -> None:
    """Cut the leader off with one client, let the majority go on, ask on both sides, heal."""
    world = World(seed, machine=KeyValue, weather=Weather())
    try:
        await world.start()
        names = {host.name for host in world.hosts}
        old = await leader_of(world, names)
        rest = sorted(names - {old})
        async with (
            client_at(world, "minority", f"{old}:2") as cut_off,
            client_at(world, "majority", *(f"{name}:2" for name in rest)) as connected,
        ):
            await cut_off.call(KeyValue.put, "key", b"old")
            await connected.call(KeyValue.put, "other", b"old")
            world.network.partition([old, "minority"], [*rest, "majority"])
            # At once, while it still believes that it leads: nobody confirms it.
            asked = [
                asyncio.create_task(cut_off.outcome(KeyValue.get, "key")),
                asyncio.create_task(cut_off.outcome(KeyValue.put, "key", b"minority")),
            ]
            await leader_of(world, set(rest))
            await connected.call(KeyValue.put, "key", b"new")
            read, write = await asyncio.gather(*asked)
            assert isinstance(read, CallFailed), f"the minority answered a read: {read}"
            assert isinstance(write, CallFailed | CallUnknown), f"the minority accepted a write: {write}"
            late = await cut_off.outcome(KeyValue.put, "late", b"minority")
            assert isinstance(late, CallFailed), f"a node that knows it is cut off took a write: {late}"
            for error in (read, write, late):
                assert NO_MAJORITY in str(error), error
            stale = await cut_off.options(level=Level.LOCAL).call(KeyValue.get, "key")
            assert stale == Versioned(b"old", 1), "what is asked for by name as maybe stale is answered"
            world.network.heal()
            found = await cut_off.call(KeyValue.get, "key")
            assert found is not None
            assert found.value == b"new"
            assert await connected.call(KeyValue.get, "late") is None
    except BaseException as error:
        error.add_note("\n".join(world.log[-60:]))
        raise
    await world.stop()
