"""The simulated network does what its weather and its cuts say, equally under equal seeds."""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from random import Random

import pytest

from raftlog.core.ids import NodeId
from raftlog.testing.loop import SimLoop, run
from raftlog.testing.network import SimNetwork, Weather
from raftlog.testing.transport import SimTransport
from raftlog.transport.limits import FRAME_OVERHEAD
from raftlog.transport.port import Lane
from tests.transport.contract import LIMITS, N1, N2, N3, Chronicle, Mailbox, Party, pair, who
from tests.transport.worlds import SimWorld, tell_in_simulation


def sim(world: object) -> SimNetwork:
    assert isinstance(world, SimWorld)
    return world.network


async def send_many(one: Party, count: int) -> list[bytes]:
    frames = [number.to_bytes(4, "big") for number in range(count)]
    for frame in frames:
        assert one.transport.send(N2, Lane.BULK, frame)
    await asyncio.sleep(1)
    return frames


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_is_one_way_and_what_is_sent_meanwhile_is_lost(seed: int) -> None:
    async def story(world: SimWorld) -> None:
        one, two = await pair(world)
        network = sim(world)
        network.cut("host1", "host2")
        assert one.transport.send(N2, Lane.URGENT, b"lost")
        assert two.transport.send(N1, Lane.URGENT, b"arrives")
        await one.inbox.holds(1)
        await asyncio.sleep(1)
        network.heal()
        assert one.transport.send(N2, Lane.URGENT, b"after")
        await two.inbox.holds(1)
        assert two.inbox.bodies() == [b"after"]

    tell_in_simulation(story, seed=seed)  # type: ignore[arg-type]


def test_streams_broken_by_a_lasting_cut_are_back_soon_after_it_is_healed() -> None:
    async def story(world: SimWorld) -> None:
        one, two = await pair(world)
        network, loop = sim(world), asyncio.get_running_loop()
        network.cut("host1", "host2")
        await one.events.says("hung up: nothing got from host1 to host2", "[urgent]")
        await two.events.says("hung up: nothing got from host1 to host2", "[urgent]")
        assert not one.transport.send(N2, Lane.URGENT, b"?")
        await asyncio.sleep(600)
        network.heal()
        healed = loop.time()
        await one.reaches(two, times=2)
        await two.reaches(one, times=2)
        # An attempt that was under way when it healed waits for its answer in vain, then a second passes at most.
        assert loop.time() - healed < LIMITS.handshake_timeout + 1.1

    tell_in_simulation(story)  # type: ignore[arg-type]


def test_loss_duplication_and_reordering_happen_as_often_as_drawn() -> None:
    async def story(world: SimWorld) -> None:
        one, two = await pair(world)
        network = sim(world)
        network.weather = Weather(loss=0.2, duplicate=0.2, reorder=0.2)
        sent = await send_many(one, 2_000)
        got = two.inbox.bodies()
        assert 1_500 < len(set(got)) < 1_700
        assert 250 < len(got) - len(set(got)) < 500
        assert set(got) < set(sent)
        assert sum(later < earlier for earlier, later in pairwise(got)) > 100

    tell_in_simulation(story)  # type: ignore[arg-type]


def test_a_fine_day_loses_nothing_and_keeps_the_order() -> None:
    async def story(world: SimWorld) -> None:
        one, two = await pair(world)
        sent = await send_many(one, 2_000)
        assert two.inbox.bodies() == sent

    tell_in_simulation(story)  # type: ignore[arg-type]


def test_streams_that_break_are_dialed_again() -> None:
    async def story(world: SimWorld) -> None:
        one, two = await pair(world)
        sim(world).weather = Weather(breaks=0.2)
        for _ in range(200):
            one.transport.send(N2, Lane.URGENT, b"x")
            await asyncio.sleep(0.1)
        broken = sum("the stream broke" in line for line in one.events.lines)
        assert broken > 10
        sim(world).weather = Weather()
        await asyncio.sleep(2)
        assert one.transport.send(N2, Lane.URGENT, b"last")
        await two.inbox.until(lambda: b"last" in two.inbox.bodies(), "the last frame")

    tell_in_simulation(story)  # type: ignore[arg-type]


def test_a_hung_host_reads_on_in_order_and_within_the_bound_of_the_queue() -> None:
    async def story(world: SimWorld) -> None:
        one, two = await pair(world)
        sim(world).hang("host2")
        frame, taken = bytes(1_000), 0
        while one.transport.send(N2, Lane.URGENT, taken.to_bytes(4, "big") + frame):
            taken += 1
        assert taken == LIMITS.urgent_bytes // (1_004 + FRAME_OVERHEAD)
        assert two.transport.send(N1, Lane.URGENT, b"its own words get out")
        await one.inbox.holds(1)
        assert two.inbox.frames == []
        sim(world).resume("host2")
        await two.inbox.holds(taken)
        assert [int.from_bytes(body[:4], "big") for body in two.inbox.bodies()] == list(range(taken))
        assert one.transport.send(N2, Lane.URGENT, b"room again")

    tell_in_simulation(story)  # type: ignore[arg-type]


def test_what_a_crashed_node_sent_may_still_arrive_and_what_was_sent_to_it_does_not() -> None:
    async def story(world: SimWorld) -> None:
        one, two = await pair(world)
        network = sim(world)
        network.weather = Weather(delay=(1_000, 1_000))
        assert one.transport.send(N2, Lane.URGENT, b"my last words")
        assert two.transport.send(N1, Lane.URGENT, b"to the dead")
        network.crash("host1")
        assert not one.transport.send(N2, Lane.URGENT, b"?")
        await two.inbox.holds(1)
        await two.events.says("node a1 is gone", "[urgent]")
        again = await world.start(who(N1, boot=11), one.address)
        again.knows(two)
        await again.reaches(two)
        await two.reaches(again, times=2)
        assert one.inbox.frames == again.inbox.frames == []

    tell_in_simulation(story)  # type: ignore[arg-type]


def test_an_address_is_taken_once() -> None:
    async def story(world: SimWorld) -> None:
        one = await world.start(who(N1))
        with pytest.raises(AssertionError, match="host1:7000 serves peer already"):
            await world.start(who(N2), one.address)
        await one.stop()
        await world.start(who(N2), one.address)

    tell_in_simulation(story)  # type: ignore[arg-type]


def turmoil(seed: int) -> list[tuple[int, str]]:
    """Three nodes that come, go, cut and hang at random for a minute, then peace; what happened, and when."""
    trace: list[tuple[int, str]] = []

    async def story(world: SimWorld) -> None:
        network, random = sim(world), Random(seed)
        loop = network.loop
        hosts = {N1: "h1", N2: "h2", N3: "h3"}
        addresses = {node: f"{host}:1" for node, host in hosts.items()}
        living: dict[NodeId, SimTransport] = {}
        inboxes: dict[NodeId, Mailbox] = {}
        boots = 0

        def up(node: NodeId) -> None:
            nonlocal boots
            boots += 1
            events = Chronicle(on_line=lambda line: trace.append((loop.micros, f"{node:x}: {line}")))
            identity = who(node, boot=boots)
            living[node] = SimTransport(
                network, identity, addresses[node], limits=LIMITS, on_event=events.write
            )
            inboxes[node] = Mailbox()
            living[node].bind(inboxes[node])
            living[node].connect(addresses)

        for node in hosts:
            up(node)
        for _ in range(200):
            await asyncio.sleep(random.random() * 0.3)
            node, other = random.sample(list(hosts), 2)
            match random.choice(
                ["crash", "close", "cut", "heal", "hang", "resume", "forget", "send", "send"]
            ):
                case "crash":
                    network.crash(hosts[node])
                    up(node)
                case "close":
                    await living[node].close()
                    up(node)
                case "cut":
                    network.cut(hosts[node], hosts[other])
                case "heal":
                    network.heal()
                case "hang":
                    network.hang(hosts[node])
                case "resume":
                    network.resume(hosts[node])
                case "forget":
                    living[node].connect({})
                    living[node].connect(addresses)
                case _:
                    sent = living[node].send(other, random.choice(list(Lane)), b"noise")
                    trace.append((loop.micros, f"{node:x} to {other:x}: {sent}"))
        network.heal()
        for host in hosts.values():
            network.resume(host)
        network.weather = Weather()
        # Long enough for every timeout and back-off that was under way.
        await asyncio.sleep(2 * network.weather.patience / 1e6 + LIMITS.handshake_timeout + 2)
        for inbox in inboxes.values():
            inbox.frames.clear()
        for node, transport in living.items():
            for other in hosts:
                for lane in Lane:
                    assert other == node or transport.send(other, lane, b"peace"), (node, other, lane)
        await asyncio.sleep(1)
        for node, inbox in inboxes.items():
            assert sorted(inbox.bodies()) == [b"peace"] * 4, f"node {node:x} after the turmoil"
            await living[node].close()

    weather = Weather(delay=(1, 20_000), loss=0.05, duplicate=0.05, reorder=0.05, breaks=0.02)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        async with AsyncExitStack() as stack:
            await story(SimWorld(stack, SimNetwork(Random(seed), loop, weather)))

    run(main(), seed=seed)
    return trace


@pytest.mark.parametrize("seed", range(30))
def test_after_any_turmoil_everybody_reaches_everybody(seed: int) -> None:
    trace = turmoil(seed)
    assert sum("connected" in line for _, line in trace) > 20, "the turmoil exercised nothing"


def test_equal_seeds_make_equal_turmoil() -> None:
    assert turmoil(7) == turmoil(7)
    assert turmoil(7) != turmoil(8)
