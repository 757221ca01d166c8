"""Both kinds of link keep the contract; the twin keeps it in several weathers, and breaks when it is cut off."""

import asyncio
from contextlib import AsyncExitStack
from random import Random
from typing import cast

import grpc
import grpc.aio
import pytest

from raftlog.server.rpc import LogRpc
from raftlog.service import Service
from raftlog.testing.link import SimDialer, SimLinkServer
from raftlog.testing.loop import SimLoop, run
from raftlog.testing.network import SimNetwork, Weather
from raftlog.transport.grpc_link import CallFailed, GrpcDialer
from raftlog.transport.grpc_options import server_options
from raftlog.transport.link import Dialer, Link, LinkBroken
from tests.transport.contract import LIMITS
from tests.transport.link_contract import STORIES, LinkStory, Serve, echo, soon
from tests.transport.worlds import nothing_is_left

told = pytest.mark.parametrize("story", STORIES, ids=[story.__name__ for story in STORIES])


class _Serving:
    """Stands for the service of a node."""

    def __init__(self, serve: Serve) -> None:
        self.serve_link = serve


class GrpcLinkWorld:
    """A node's stream service on loopback."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._server = grpc.aio.server(options=server_options(LIMITS))
        self.defects: list[BaseException] = []

    async def serve(self, serve: Serve) -> str:
        rpc = LogRpc("waiting", self.defects.append)
        rpc.open(cast("Service", _Serving(serve)))
        self._server.add_generic_rpc_handlers((rpc.handlers(),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self._stack.push_async_callback(self._server.stop, 0.2)
        self._stack.push_async_callback(rpc.close)
        return f"127.0.0.1:{port}"

    def dialer(self) -> Dialer:
        dialer = GrpcDialer(limits=LIMITS)
        self._stack.push_async_callback(dialer.close)
        return dialer

    def nobody(self) -> str:
        return "127.0.0.1:1"

    async def kill(self) -> None:
        await self._server.stop(None)


class SimLinkWorld:
    """A node on the host "node", each client on a host of its own."""

    def __init__(self, stack: AsyncExitStack, network: SimNetwork) -> None:
        self.network = network
        self._stack = stack
        self._clients = 0

    async def serve(self, serve: Serve) -> str:
        await self._stack.enter_async_context(
            SimLinkServer(self.network, "node:1", lambda link, peer: serve(link))
        )
        return "node:1"

    def dialer(self) -> Dialer:
        self._clients += 1
        dialer = SimDialer(self.network, f"client{self._clients}")
        self._stack.push_async_callback(dialer.close)
        return dialer

    def nobody(self) -> str:
        return "nowhere:1"

    async def kill(self) -> None:
        self.network.crash("node")


@pytest.mark.real
@told
def test_grpc(story: LinkStory) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            world = GrpcLinkWorld(stack)
            await story(world)
        assert world.defects == []
        await nothing_is_left()

    asyncio.run(main())


@told
@pytest.mark.parametrize("seed", range(5))
def test_twin(story: LinkStory, seed: int) -> None:
    simulated(story, seed, Weather(delay=(1, 50_000), loss=0.05))


def simulated(story: LinkStory, seed: int, weather: Weather | None = None) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        async with AsyncExitStack() as stack:
            await story(SimLinkWorld(stack, SimNetwork(Random(seed), loop, weather)))

    run(main(), seed=seed)


def network_of(world: object) -> SimNetwork:
    assert isinstance(world, SimLinkWorld)
    return world.network


def test_a_short_cut_delays_and_loses_nothing() -> None:
    async def story(world: SimLinkWorld) -> None:
        network, link = world.network, await world.dialer().dial(await world.serve(echo))
        await link.send(b"1")
        network.cut("client1", "node")
        await link.send(b"2")
        await asyncio.sleep(1)
        network.heal()
        await link.send(b"3")
        assert [await soon(link.receive()) for _ in range(3)] == [b"re: 1", b"re: 2", b"re: 3"]

    simulated(story, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", [("client1", "node"), ("node", "client1")])
def test_a_lasting_cut_breaks_the_link_at_both_ends(way: tuple[str, str]) -> None:
    async def story(world: SimLinkWorld) -> None:
        broken = asyncio.Event()

        async def serve(link: Link) -> None:
            try:
                await echo(link)
            except LinkBroken:
                broken.set()
                raise

        link = await world.dialer().dial(await world.serve(serve))
        await link.send(b"1")
        assert await link.receive() == b"re: 1"
        world.network.cut(*way)
        with pytest.raises(LinkBroken, match="nothing got from"):
            await soon(link.receive())
        await soon(broken.wait())
        assert asyncio.get_running_loop().time() < 4

    simulated(story, 1)  # type: ignore[arg-type]


def test_a_hung_node_answers_when_it_goes_on() -> None:
    async def story(world: SimLinkWorld) -> None:
        link = await world.dialer().dial(await world.serve(echo))
        world.network.hang("node")
        await link.send(b"1")
        await asyncio.sleep(60)
        world.network.resume("node")
        assert await soon(link.receive()) == b"re: 1"
        world.network.hang("node")
        with pytest.raises(LinkBroken, match="did not answer in"):
            await world.dialer().dial("node:1")
        world.network.resume("node")

    simulated(story, 1)  # type: ignore[arg-type]


def test_the_word_of_a_crash_may_get_lost_and_keepalive_finds_out() -> None:
    async def story(world: SimLinkWorld) -> None:
        link = await world.dialer().dial(await world.serve(echo))
        world.network.cut("node", "client1")
        world.network.crash("node")
        await asyncio.sleep(1)
        world.network.heal()
        with pytest.raises(LinkBroken, match="node is gone"):
            await soon(link.receive())

    simulated(story, 1)  # type: ignore[arg-type]


@pytest.mark.real
def test_a_single_call_fails_with_a_code_and_a_sentence() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            address = await GrpcLinkWorld(stack).serve(echo)
            dialer = GrpcDialer(limits=LIMITS)
            with pytest.raises(CallFailed) as nowhere:
                await dialer.call("127.0.0.1:1", "/raftlog.pb.Admin/Status", b"", timeout=10)
            assert nowhere.value.code is grpc.StatusCode.UNAVAILABLE
            assert "Connection refused" in nowhere.value.details
            with pytest.raises(CallFailed) as nothing:
                await dialer.call(address, "/raftlog.pb.Admin/Status", b"", timeout=10)
            assert nothing.value.code is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(main())
