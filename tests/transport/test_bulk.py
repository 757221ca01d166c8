"""Both adapters of the Bulk port keep its contract: over gRPC on loopback, and in a simulated network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import grpc.aio
import pytest

from raftlog.core.ids import Boot, ClusterId, GroupId, NodeId
from raftlog.testing.bulk import SimBulk
from raftlog.testing.loop import SimLoop, run
from raftlog.testing.network import SimNetwork, Weather
from raftlog.transport.bulk import Bulk, ManifestWanted, NotThere, PieceWanted, Throttle, Unreachable, Wanted
from raftlog.transport.grpc_bulk import GrpcBulk
from raftlog.transport.grpc_options import server_options
from raftlog.transport.handshake import Doorkeeper, Identity
from raftlog.transport.limits import Limits

CLUSTER = ClusterId(0xC)
A, B = NodeId(1), NodeId(2)
LIMITS = Limits(stall_timeout=2.0)


class Shelf:
    """A source of two things."""

    def __init__(self) -> None:
        self.asked: list[Wanted] = []

    async def give(self, wanted: Wanted) -> bytes | None:
        """See `Source.give`."""
        self.asked.append(wanted)
        match wanted:
            case ManifestWanted(group=0):
                return b"deed"
            case PieceWanted(snapshot=7, part=1, offset=offset, length=length):
                return bytes(range(200))[offset : offset + length]
            case _:
                return None


@dataclass
class Pair:
    """Two nodes: `ask` is A's end."""

    ask: Bulk
    shelf: Shelf
    doors: dict[NodeId, Doorkeeper]
    end: Callable[[], Awaitable[None]]
    """B goes."""


World: TypeAlias = Callable[[], AbstractAsyncContextManager[Pair]]


def _door(node: NodeId, cluster: ClusterId = CLUSTER) -> Doorkeeper:
    door = Doorkeeper(Identity(node, cluster, Boot(9)))
    door.allow([A, B])
    return door


def _never(error: BaseException) -> None:
    raise AssertionError("a defect") from error


@asynccontextmanager
async def over_grpc() -> AsyncIterator[Pair]:
    doors, shelf = {A: _door(A), B: _door(B)}, Shelf()
    asking, giving = (GrpcBulk(doors[node], limits=LIMITS, fail=_never) for node in (A, B))
    giving.serve(shelf)
    server = grpc.aio.server(options=server_options(LIMITS))
    server.add_generic_rpc_handlers((giving.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    asking.connect({B: f"127.0.0.1:{port}"})

    async def end() -> None:
        await giving.close()
        await server.stop(0)

    try:
        yield Pair(asking, shelf, doors, end)
    finally:
        await asking.close()
        await end()


@asynccontextmanager
async def simulated() -> AsyncIterator[Pair]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    network = SimNetwork(Random(1), loop, Weather(delay=(1, 50_000)))
    doors, shelf = {A: _door(A), B: _door(B)}, Shelf()
    asking = SimBulk(network, doors[A], "a:1", limits=LIMITS)
    giving = SimBulk(network, doors[B], "b:1", limits=LIMITS)
    giving.serve(shelf)
    asking.connect({B: "b:1"})

    async def end() -> None:
        network.crash("b")

    try:
        yield Pair(asking, shelf, doors, end)
    finally:
        await asking.close()
        await giving.close()


def told(story: Callable[[Pair], Awaitable[None]], how: str) -> None:
    async def main() -> None:
        async with (over_grpc if how == "grpc" else simulated)() as pair:
            await story(pair)

    run(main()) if how == "simulated" else asyncio.run(main())


ways = pytest.mark.parametrize("how", [pytest.param("grpc", marks=pytest.mark.real), "simulated"])


@ways
def test_pieces_come_as_they_are(how: str) -> None:
    async def story(pair: Pair) -> None:
        assert await pair.ask.fetch(B, ManifestWanted(GroupId(0))) == b"deed"
        assert await pair.ask.fetch(B, PieceWanted(7, 1, 10, 4)) == bytes((10, 11, 12, 13))
        assert pair.shelf.asked == [ManifestWanted(GroupId(0)), PieceWanted(7, 1, 10, 4)]

    told(story, how)


@ways
def test_what_is_not_there_is_said_to_be(how: str) -> None:
    async def story(pair: Pair) -> None:
        with pytest.raises(NotThere):
            await pair.ask.fetch(B, PieceWanted(8, 1, 0, 4))

    told(story, how)


@ways
def test_a_stranger_gets_nothing_and_hears_why(how: str) -> None:
    async def story(pair: Pair) -> None:
        pair.doors[B].allow([])
        with pytest.raises(Unreachable, match="does not name it"):
            await pair.ask.fetch(B, ManifestWanted(GroupId(0)))
        assert pair.shelf.asked == []

    told(story, how)


@ways
def test_a_peer_that_is_gone_is_unreachable_and_so_is_one_that_never_was(how: str) -> None:
    async def story(pair: Pair) -> None:
        with pytest.raises(Unreachable, match="no peer"):
            await pair.ask.fetch(NodeId(3), ManifestWanted(GroupId(0)))
        await pair.end()
        with pytest.raises(Unreachable):
            await pair.ask.fetch(B, ManifestWanted(GroupId(0)))

    told(story, how)


@pytest.mark.real
def test_a_question_beyond_the_bound_is_refused() -> None:
    async def story(pair: Pair) -> None:
        with pytest.raises(Unreachable, match="is asked for"):
            await pair.ask.fetch(B, PieceWanted(7, 1, 0, 1 << 30))
        assert pair.shelf.asked == []

    told(story, "grpc")


def test_giving_keeps_to_its_rate() -> None:
    async def main() -> None:
        loop, throttle = asyncio.get_running_loop(), Throttle(1_000)
        await asyncio.sleep(10)
        start = loop.time()
        for _ in range(50):
            await throttle.take(100)
        assert loop.time() - start == pytest.approx(4.0), (
            "5,000 bytes at 1,000 a second, one second's worth free"
        )

    run(main())
