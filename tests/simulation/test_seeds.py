"""Three whole nodes and counters that show each command that is lost or happens twice, in crashes and bad weather.

Run one seed with: make test ARGS="tests/simulation -k seed0007"
"""

import asyncio
from random import Random

import pytest

from raftlog.client import Client
from raftlog.core.settings import Settings
from raftlog.storage import LogDamaged, StorageRefused
from raftlog.testing.link import SimDialer
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.simulation.checks import Watch
from tests.simulation.tally import Tally
from tests.simulation.workload import Account, read, write
from tests.simulation.world import Host, World

SEEDS = range(8)
LENGTH = 15.0
"""Virtual seconds under faults."""
TIMEOUT = Settings().election_timeout / 1e6


@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"seed{seed:04d}") for seed in SEEDS])
def test_nothing_acknowledged_is_lost_and_nothing_happens_twice(seed: int) -> None:
    run(story(seed), seed=seed)


def test_disks_that_only_pretend_to_sync_are_found_out() -> None:
    """The test itself is tested: without fsync it must fail, and soon."""
    for seed in range(5):
        try:
            run(story(seed, lying=True), seed=seed)
        except (AssertionError, LogDamaged, StorageRefused):
            return
    pytest.fail("five runs on disks that lose synced writes, and nothing was noticed")


async def story(seed: int, *, lying: bool = False) -> World:
    """Faults for a while, then peace; everything must hold all along, and everyone must recover."""
    random = Random(seed)
    world = World(seed, machine=Tally, weather=storm(random), lying=lying)
    watch = Watch(world)
    try:
        await world.start()
        accounts = [Account(f"c{n}") for n in range(6)]
        looking = asyncio.get_running_loop().create_task(keep_looking(watch))
        await asyncio.gather(live(world, accounts, random), trouble(world, random))
        looking.cancel()
        await asyncio.wait((looking,))
        if not looking.cancelled():
            looking.result()
        await peace(world, watch, accounts)
    except BaseException as error:
        error.add_note("\n".join(world.log[-60:]))
        raise
    await world.stop()
    return world


def storm(random: Random) -> Weather:
    """How bad the network is in this run."""
    return Weather(
        delay=(100, random.choice((1_000, 5_000, 20_000))),
        loss=random.choice((0.0, 0.01, 0.05)),
        duplicate=random.choice((0.0, 0.05)),
        reorder=random.choice((0.0, 0.05)),
        breaks=random.choice((0.0, 0.0005)),
    )


async def live(world: World, accounts: list[Account], random: Random) -> None:
    """Clients work until the trouble is over."""
    until = world.loop.time() + LENGTH
    addresses = [f"{host.name}:2" for host in world.hosts]
    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(visit(world, n, addresses, accounts, Random(random.getrandbits(64)), until))


async def visit(
    world: World, n: int, addresses: list[str], accounts: list[Account], random: Random, until: float
) -> None:
    """One client process: two writers, each with a counter of its own, and a reader of everyone's."""
    dialer = SimDialer(world.network, f"client{n}")
    async with (
        Client(addresses, dialer=dialer, random=random, deadline=5.0) as client,
        asyncio.TaskGroup() as group,
    ):
        for account in accounts[2 * n : 2 * n + 2]:
            group.create_task(write(client, account, random, until))
        group.create_task(read(client, accounts, random, until))


async def trouble(world: World, random: Random) -> None:
    """Crashes, partitions and hung hosts, one after the other; a majority may be down for a moment."""
    until = world.loop.time() + LENGTH
    names = [host.name for host in world.hosts]
    clients = [f"client{n}" for n in range(3)]
    await asyncio.sleep(random.uniform(2.0, 5.0))
    while world.loop.time() < until:
        await asyncio.sleep(random.uniform(1.0, 5.0))
        host = random.choice(world.hosts)
        match random.choice(("crash", "crash", "crash all", "partition", "partition", "island", "hang")):
            case "crash":
                await bounce(world, [host], random)
            case "crash all":
                await bounce(world, world.hosts, random)
            case "partition":
                world.network.partition([host.name], [name for name in names if name != host.name])
            case "island":
                world.network.partition([host.name], [name for name in names + clients if name != host.name])
            case "hang":
                world.network.hang(host.name)
                await asyncio.sleep(random.uniform(0.1, 3.0))
                world.network.resume(host.name)
        await asyncio.sleep(random.uniform(0.0, 3.0))
        world.network.heal()


async def bounce(world: World, hosts: list[Host], random: Random) -> None:
    """Crash and restart."""
    for host in hosts:
        await host.crash()
    await asyncio.sleep(random.uniform(0.0, 2.0))
    for host in hosts:
        await host.start()


async def keep_looking(watch: Watch) -> None:
    """Check the nodes again and again while the faults run."""
    while True:
        watch.look()
        await asyncio.sleep(0.023)


async def peace(world: World, watch: Watch, accounts: list[Account]) -> None:
    """After the faults: one leader and equal states within 20 election timeouts, and every account in order."""
    world.network.heal()
    world.network.weather = Weather()
    for _ in range(40):
        await asyncio.sleep(TIMEOUT / 2)
        if agreed(world):
            break
    watch.look()
    assert agreed(world), [host.node and host.node.status() for host in world.hosts]
    for host in world.hosts:
        dialer = SimDialer(world.network, "auditor")
        async with Client(
            [f"{host.name}:2"], dialer=dialer, random=Random(1), deadline=5.0, follow=False
        ) as client:
            for account in accounts:
                account.saw(await client.call(Tally.read, account.name), account.least)
    wrong = [line for account in accounts for line in account.wrong]
    assert wrong == [], wrong
    assert sum(account.acknowledged for account in accounts) >= 10, (
        "hardly anything was written: no test at all"
    )


def agreed(world: World) -> bool:
    """Every node runs, one of them leads, and all have applied the same."""
    statuses = [host.node.status() for host in world.hosts if host.node is not None]
    states = {(status.term, status.last, status.applied, status.digest) for status in statuses}
    leaders = [status for status in statuses if status.role == "leader"]
    return len(statuses) == len(world.hosts) and len(leaders) == 1 and len(states) == 1
