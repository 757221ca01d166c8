"""Where the stories of the contract are told: on loopback over gRPC, and in a simulated network."""

import asyncio
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import grpc
import grpc.aio

from raftlog.core.ids import Boot, NodeId
from raftlog.testing.loop import SimLoop, run
from raftlog.testing.network import SimNetwork, Weather, host_of
from raftlog.testing.transport import SimTransport
from raftlog.transport.codec import encode_welcome
from raftlog.transport.grpc_options import server_options
from raftlog.transport.grpc_peer import GrpcTransport
from raftlog.transport.handshake import PROTOCOL_VERSION, Identity, Welcome
from raftlog.transport.tls import TlsFiles
from tests.transport.contract import CLUSTER, LIMITS, PATIENCE, Chronicle, Deaf, Mailbox, Party, Story


class GrpcWorld:
    """Nodes on loopback, each with a server of its own."""

    def __init__(self, stack: AsyncExitStack, tls: TlsFiles | None = None) -> None:
        self._stack = stack
        self._tls = tls
        self.limits = LIMITS

    async def start(self, identity: Identity, address: str | None = None) -> Party:
        inbox, events = Mailbox(), Chronicle()
        transport = GrpcTransport(identity, tls=self._tls, limits=self.limits, on_event=events.write)
        server = grpc.aio.server(options=server_options(LIMITS))
        server.add_generic_rpc_handlers((transport.handlers(),))
        port = self._bind(server, address or "127.0.0.1:0")
        await self._stack.enter_async_context(transport)
        transport.bind(inbox)
        await server.start()

        async def stop() -> None:
            await transport.close()
            await server.stop(0.2)

        self._stack.push_async_callback(stop)
        return Party(identity.node, f"127.0.0.1:{port}", transport, inbox, events, stop)

    async def deaf(self, node: NodeId, friend: Party) -> Deaf:
        ended = asyncio.Event()

        async def welcome_and_read_nothing(_: object, context: Any) -> None:
            await context.read()
            await context.write(encode_welcome(Welcome(PROTOCOL_VERSION, node, Boot(3))))
            await ended.wait()

        server = grpc.aio.server(options=server_options(LIMITS))
        deliver: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(
            welcome_and_read_nothing
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("raftlog.pb.Peer", {"Deliver": deliver}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()

        async def end() -> None:
            ended.set()
            await server.stop(None)

        self._stack.push_async_callback(end)
        return Deaf(f"127.0.0.1:{port}", lambda: None, end)

    def _bind(self, server: grpc.aio.Server, address: str) -> int:
        if self._tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self._tls.server_credentials())


class SimWorld:
    """Nodes on hosts of one simulated network, named by the order of their start."""

    def __init__(self, stack: AsyncExitStack, network: SimNetwork) -> None:
        self.network = network
        self._stack = stack
        self._hosts = 0

    async def start(self, identity: Identity, address: str | None = None) -> Party:
        self._hosts += 1
        address = address or f"host{self._hosts}:7000"
        inbox, events = Mailbox(), Chronicle()
        transport = SimTransport(self.network, identity, address, limits=LIMITS, on_event=events.write)
        await self._stack.enter_async_context(transport)
        transport.bind(inbox)
        return Party(identity.node, address, transport, inbox, events, transport.close)

    async def deaf(self, node: NodeId, friend: Party) -> Deaf:
        party = await self.start(Identity(node, CLUSTER, Boot(3)))
        party.knows(friend)
        host = host_of(party.address)

        async def end() -> None:
            self.network.crash(host)

        return Deaf(party.address, lambda: self.network.hang(host), end)


def tell_over_grpc(story: Story, *, tls: TlsFiles | None = None) -> None:
    """Tell a story to the real transport."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await story(GrpcWorld(stack, tls))
        await nothing_is_left()

    asyncio.run(main())


async def nothing_is_left() -> None:
    """Every task has ended, gRPC's own included, which may take a few turns of the loop."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=PATIENCE)
    assert not left, f"the story left tasks behind: {left}"


def tell_in_simulation(story: Story, *, seed: int = 1, weather: Weather | None = None) -> None:
    """Tell a story to the twin."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        async with AsyncExitStack() as stack:
            await story(SimWorld(stack, SimNetwork(Random(seed), loop, weather)))

    run(main(), seed=seed)
