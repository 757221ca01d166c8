"""What every Transport promises, as stories that are told to the real one and to its in-memory twin."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from raftlog.core.ids import Boot, ClusterId, NodeId
from raftlog.transport.handshake import NO_CLUSTER, Identity
from raftlog.transport.limits import Limits
from raftlog.transport.port import Lane, Transport

CLUSTER = ClusterId(0xC1)
OTHER_CLUSTER = ClusterId(0xC2)
N1, N2, N3 = NodeId(0xA1), NodeId(0xA2), NodeId(0xA3)

LIMITS = Limits(
    urgent_bytes=64 << 10,
    bulk_bytes=1 << 20,
    packet_bytes=64 << 10,
    message_bytes=512 << 10,
    handshake_timeout=2.0,
)

PATIENCE = 30.0
"""Seconds before a story that does not move is a failure; no story waits for it to pass."""


class Stirred:
    """Lets a test wait until what it watches has become true."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def stir(self) -> None:
        self._changed.set()

    async def until(self, true: Callable[[], bool], what: object = "") -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"it did not happen: {what}") from None


@dataclass(slots=True)
class Mailbox(Stirred):
    """An Inbox that keeps what it gets."""

    frames: list[tuple[NodeId, Lane, bytes]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def receive(self, peer: NodeId, lane: Lane, frame: bytes) -> None:
        self.frames.append((peer, lane, frame))
        self.stir()

    async def holds(self, count: int) -> None:
        await self.until(lambda: len(self.frames) >= count, f"{count} frames, there are {len(self.frames)}")

    def bodies(self, lane: Lane | None = None) -> list[bytes]:
        return [frame for _, at, frame in self.frames if lane in (None, at)]


@dataclass(slots=True)
class Chronicle(Stirred):
    """Takes the transport's events."""

    lines: list[str] = field(default_factory=list)
    on_line: Callable[[str], object] = lambda line: None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, text: str, fields: Mapping[str, object]) -> None:
        self.lines.append(f"{text} [{fields['lane']}]")
        self.on_line(self.lines[-1])
        self.stir()

    async def says(self, *fragments: str, times: int = 1) -> None:
        def told() -> bool:
            return sum(all(part in line for part in fragments) for line in self.lines) >= times

        await self.until(told, f"{fragments} in {self.lines}")


class Joinable(Transport, Protocol):
    """A transport of a node that may have been initialised late."""

    def join(self, cluster: ClusterId) -> None: ...


@dataclass(slots=True)
class Party:
    """One node of a story, up and reachable."""

    id: NodeId
    address: str
    transport: Joinable
    inbox: Mailbox
    events: Chronicle
    stop: Callable[[], Awaitable[None]]
    """Close the transport, then whatever it was reachable by."""

    def knows(self, *others: "Party") -> None:
        self.transport.connect({other.id: other.address for other in others})

    async def reaches(self, other: "Party", *, times: int = 1) -> None:
        """Both lanes are connected, for the `times`th time."""
        for lane in Lane:
            await self.events.says(f"connected to node {other.id:x}", f"[{lane.value}]", times=times)


class World(Protocol):
    """Starts nodes that can reach each other."""

    async def start(self, identity: Identity, address: str | None = None) -> Party: ...

    async def deaf(self, node: NodeId, friend: Party) -> "Deaf":
        """A peer that welcomes the streams of `friend`; once it hangs it reads nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Deaf:
    """A peer that will hang."""

    address: str
    hang: Callable[[], None]
    end: Callable[[], Awaitable[None]]


Story: TypeAlias = Callable[[World], Awaitable[None]]
STORIES: list[Story] = []


def story(told: Story) -> Story:
    STORIES.append(told)
    return told


def who(node: NodeId, *, cluster: ClusterId = CLUSTER, boot: int = 1) -> Identity:
    return Identity(node, cluster, Boot(boot))


async def pair(world: World) -> tuple[Party, Party]:
    one, two = await world.start(who(N1)), await world.start(who(N2, boot=2))
    one.knows(two)
    two.knows(one)
    await one.reaches(two)
    await two.reaches(one)
    return one, two


@story
async def frames_arrive_in_order_within_a_lane(world: World) -> None:
    one, two = await pair(world)
    sent = [number.to_bytes(4, "big") * (1 + number % 50) for number in range(300)]
    for frame in sent:
        for lane in Lane:
            assert one.transport.send(N2, lane, frame)
    await two.inbox.holds(600)
    assert two.inbox.bodies(Lane.URGENT) == sent
    assert two.inbox.bodies(Lane.BULK) == sent
    assert {peer for peer, _, _ in two.inbox.frames} == {N1}
    assert one.inbox.frames == []


@story
async def both_ways_at_once(world: World) -> None:
    one, two = await pair(world)
    assert one.transport.send(N2, Lane.URGENT, b"ping")
    assert two.transport.send(N1, Lane.URGENT, b"pong")
    await one.inbox.holds(1)
    await two.inbox.holds(1)
    assert (one.inbox.bodies(), two.inbox.bodies()) == ([b"pong"], [b"ping"])


@story
async def nobody_is_reached_before_the_handshake_or_without_being_named(world: World) -> None:
    one, two = await world.start(who(N1)), await world.start(who(N2, boot=2))
    assert not one.transport.send(N2, Lane.URGENT, b"not named")
    two.knows(one)
    one.knows(two)
    assert not one.transport.send(N2, Lane.URGENT, b"no stream yet")
    assert not one.transport.send(N3, Lane.URGENT, b"a stranger")
    assert not one.transport.send(N1, Lane.URGENT, b"to itself")
    await one.reaches(two)
    assert one.transport.send(N2, Lane.URGENT, b"now")
    await two.inbox.holds(1)
    assert two.inbox.bodies() == [b"now"]


@story
async def a_frame_larger_than_a_message_is_refused_at_once(world: World) -> None:
    one, two = await pair(world)
    assert not one.transport.send(N2, Lane.BULK, bytes(LIMITS.frame_bytes + 1))
    assert one.transport.send(N2, Lane.BULK, bytes(LIMITS.frame_bytes))
    await two.inbox.holds(1)
    assert two.inbox.bodies() == [bytes(LIMITS.frame_bytes)]


@story
async def another_cluster_is_refused_by_name(world: World) -> None:
    one = await world.start(who(N1))
    two = await world.start(who(N2, cluster=OTHER_CLUSTER, boot=2))
    one.knows(two)
    two.knows(one)
    await one.events.says(f"node {N1:x} of cluster {CLUSTER:x} was refused by node {N2:x}", "[urgent]")
    await two.events.says(f"node {N1:x} of cluster {CLUSTER:x} was refused by node {N2:x}")
    await one.events.says(f"node {N2:x} of cluster {OTHER_CLUSTER:x} was refused by node {N1:x}")
    assert not one.transport.send(N2, Lane.URGENT, b"?")
    assert one.inbox.frames == two.inbox.frames == []


@story
async def another_node_at_the_address_is_refused_by_name(world: World) -> None:
    one, three = await world.start(who(N1)), await world.start(who(N3, boot=3))
    three.knows(one)
    one.transport.connect({N2: three.address})
    await one.events.says(f"it asked for node {N2:x}, which is not here")
    assert not one.transport.send(N2, Lane.URGENT, b"?")
    assert three.inbox.frames == []


@story
async def a_stranger_is_refused_until_the_membership_names_it(world: World) -> None:
    one, two = await world.start(who(N1)), await world.start(who(N2, boot=2))
    one.knows(two)
    two.knows()
    await one.events.says(f"node {N1:x}", f"refused by node {N2:x}, whose membership does not name it")
    two.knows(one)
    await one.reaches(two)
    assert one.transport.send(N2, Lane.URGENT, b"hello")
    await two.inbox.holds(1)


@story
async def a_removed_node_is_hung_up_on_and_refused(world: World) -> None:
    one, two = await pair(world)
    two.knows()
    await one.events.says(f"refused by node {N2:x}, whose membership does not name it", "[urgent]")
    await one.events.says(f"refused by node {N2:x}, whose membership does not name it", "[bulk]")
    assert not one.transport.send(N2, Lane.URGENT, b"?")
    assert not two.transport.send(N1, Lane.URGENT, b"?")
    assert two.inbox.frames == []


@story
async def a_waiting_node_admits_nobody_until_it_joins(world: World) -> None:
    one, two = await world.start(who(N1)), await world.start(who(N2, cluster=NO_CLUSTER, boot=2))
    one.knows(two)
    await one.events.says(f"refused by node {N2:x}, which waits to be initialised")
    two.transport.join(CLUSTER)
    two.knows(one)
    await one.reaches(two)
    await two.reaches(one)
    assert two.transport.send(N1, Lane.URGENT, b"initialised")
    await one.inbox.holds(1)


@story
async def a_peer_that_restarts_at_its_address_is_found_again(world: World) -> None:
    one, two = await pair(world)
    await two.stop()
    await one.events.says(f"node {N2:x}", "[urgent]", times=2)
    assert not one.transport.send(N2, Lane.URGENT, b"to nobody")
    again = await world.start(who(N2, boot=22), two.address)
    again.knows(one)
    await one.reaches(again, times=2)
    await again.reaches(one)
    assert one.transport.send(N2, Lane.URGENT, b"welcome back")
    assert again.transport.send(N1, Lane.BULK, b"thank you")
    await again.inbox.holds(1)
    await one.inbox.holds(1)
    assert again.inbox.bodies() == [b"welcome back"]
    assert two.inbox.frames == []


@story
async def an_earlier_boot_is_stale_once_a_later_one_has_spoken(world: World) -> None:
    one, two = await pair(world)
    assert one.transport.send(N2, Lane.URGENT, b"early")
    await two.inbox.holds(1)
    later = await world.start(who(N1, boot=11))
    # The earlier one still lives here and fights for its stream until the later one gets a word in.
    later.events.on_line = lambda line: later.transport.send(N2, Lane.URGENT, b"late")
    later.knows(two)
    await two.inbox.holds(2)
    await one.events.says("boot 1 was followed by a later start of the same node", "[urgent]")
    await one.events.says("boot 1 was followed by a later start of the same node", "[bulk]")
    assert not one.transport.send(N2, Lane.URGENT, b"?")
    assert set(two.inbox.bodies()) == {b"early", b"late"}


@story
async def a_hung_peer_fills_its_own_queues_and_nobody_elses(world: World) -> None:
    one, two = await world.start(who(N1)), await world.start(who(N2, boot=2))
    deaf = await world.deaf(N3, one)
    two.knows(one)
    one.transport.connect({N2: two.address, N3: deaf.address})
    await one.reaches(two)
    for lane in Lane:
        await one.events.says(f"connected to node {N3:x}", f"[{lane.value}]")
    deaf.hang()
    frame = bytes(32 << 10)
    most = (LIMITS.bulk_bytes + (32 << 20)) // len(frame)  # what is queued, and more than gRPC may buffer
    taken = 0
    for lane in (Lane.BULK, Lane.URGENT):
        refused = 0
        while refused < 3:
            if one.transport.send(N3, lane, frame):
                taken += 1
                refused = 0
                await asyncio.sleep(0)
            else:
                refused += 1
                assert one.transport.send(N2, Lane.URGENT, b"while it hangs")
                await two.inbox.holds(len(two.inbox.frames) + 1)
            assert taken < 2 * most, "a hung peer takes without bound"
    assert one.transport.send(N2, Lane.BULK, frame)
    await two.inbox.until(lambda: two.inbox.bodies(Lane.BULK) == [frame], "the bulk lane to the other peer")
    await deaf.end()


@story
async def a_peer_that_moves_is_dialed_at_its_new_address(world: World) -> None:
    one, two = await pair(world)
    await two.stop()
    moved = await world.start(who(N2, boot=22))
    assert moved.address != two.address
    moved.knows(one)
    one.knows(moved)
    await one.events.says(f"connected to node {N2:x} at {moved.address}", "[urgent]")
    assert one.transport.send(N2, Lane.URGENT, b"found you")
    await moved.inbox.holds(1)


@story
async def a_closed_transport_sends_nothing(world: World) -> None:
    one, two = await pair(world)
    await one.transport.close()
    await one.transport.close()
    assert not one.transport.send(N2, Lane.URGENT, b"?")
    await two.events.says(f"node {N1:x}", "[urgent]", times=2)
    assert two.inbox.frames == []
