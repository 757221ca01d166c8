"""The gRPC transport among the hostile and the broken: each of them hurts only itself."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
import uvloop

from raftlog.core.ids import Boot, NodeId
from raftlog.pb import client_pb2, raft_pb2
from raftlog.transport.codec import decode_welcome, encode_hello, encode_packet
from raftlog.transport.grpc_link import STREAM
from raftlog.transport.grpc_options import open_channel, server_options
from raftlog.transport.grpc_peer import GrpcTransport
from raftlog.transport.grpc_sender import DELIVER
from raftlog.transport.handshake import PROTOCOL_VERSION, Hello
from raftlog.transport.port import Lane
from tests.transport.contract import (
    CLUSTER,
    LIMITS,
    N1,
    N2,
    N3,
    PATIENCE,
    STORIES,
    Chronicle,
    Mailbox,
    Party,
    pair,
    who,
)
from tests.transport.worlds import GrpcWorld

pytestmark = pytest.mark.real

Call = grpc.aio.StreamStreamCall[bytes, bytes]
GENEROUS = replace(LIMITS, message_bytes=64 << 20, bulk_bytes=64 << 20)
HELLO = Hello(PROTOCOL_VERSION, CLUSTER, N3, N1, Boot(3), Lane.URGENT)


def told(story: Callable[[GrpcWorld], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(2 * PATIENCE), AsyncExitStack() as stack:
            await story(GrpcWorld(stack))

    asyncio.run(main())


async def still_talk(one: Party, two: Party) -> None:
    """Neither has noticed anything."""
    for party, other in ((one, two), (two, one)):
        for lane in Lane:
            count = len(other.inbox.frames)
            assert party.transport.send(other.id, lane, b"are you there?")
            await other.inbox.holds(count + 1)
        assert not any("hung up" in line for line in party.events.lines)


async def status_after(address: str, *packets: bytes) -> tuple[grpc.StatusCode, str]:
    """How the node ends a stream on which these bytes come."""
    channel = open_channel(address, None, GENEROUS)
    call: Call = channel.stream_stream(DELIVER)()
    try:
        for packet in packets:
            await call.write(packet)
        async with asyncio.timeout(PATIENCE):
            while isinstance(await call.read(), bytes):
                pass
    except (grpc.RpcError, asyncio.InvalidStateError):
        pass
    finally:
        code, details = await call.code(), await call.details()
        await channel.close()
    return code, details


@pytest.mark.parametrize(
    "packets, code, words",
    [
        ([b"\xff\xff garbage"], grpc.StatusCode.INVALID_ARGUMENT, "no Packet"),
        ([encode_packet([b"x"])], grpc.StatusCode.INVALID_ARGUMENT, "frames before the hello"),
        ([encode_hello(HELLO)] * 2, grpc.StatusCode.INVALID_ARGUMENT, "node a3 said hello twice"),
        ([encode_hello(HELLO), b"\xff"], grpc.StatusCode.INVALID_ARGUMENT, "no Packet"),
        (
            [encode_hello(Hello(7, CLUSTER, N3, N1, Boot(3), Lane.URGENT))],
            grpc.StatusCode.FAILED_PRECONDITION,
            "speaks protocol version 7, here is 1",
        ),
        (
            [encode_hello(Hello(PROTOCOL_VERSION, CLUSTER, NodeId(9), N1, Boot(3), Lane.URGENT))],
            grpc.StatusCode.FAILED_PRECONDITION,
            "whose membership does not name it",
        ),
        ([encode_hello(HELLO), bytes(LIMITS.message_bytes + 1)], grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
    ],
)
def test_a_bad_stream_gets_its_status_and_nobody_else_notices(
    packets: list[bytes], code: grpc.StatusCode, words: str
) -> None:
    async def story(world: GrpcWorld) -> None:
        one, two = await pair(world)
        one.transport.connect({N2: two.address, N3: "127.0.0.1:1"})
        got, details = await status_after(one.address, *packets)
        assert got is code
        assert words in details
        await still_talk(one, two)
        assert all(peer == N2 for peer, _, _ in one.inbox.frames)

    told(story)


def test_garbage_sent_to_the_port_hurts_nobody() -> None:
    async def story(world: GrpcWorld) -> None:
        one, two = await pair(world)
        host, port = one.address.split(":")
        for garbage in (
            b"\x00" * 4096,
            b"GET / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4096,
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(garbage)
            writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                while await reader.read(65536):
                    pass  # until the server hangs up
            writer.close()
        await still_talk(one, two)

    told(story)


def test_a_newer_stream_replaces_the_older_one_of_its_lane() -> None:
    async def story(world: GrpcWorld) -> None:
        one = await world.start(who(N1))
        one.transport.connect({N3: "127.0.0.1:1"})
        channel = open_channel(one.address, None, LIMITS)
        calls: list[Call] = []
        for boot in (3, 3, 4):
            call: Call = channel.stream_stream(DELIVER)()
            await call.write(encode_hello(Hello(PROTOCOL_VERSION, CLUSTER, N3, N1, Boot(boot), Lane.URGENT)))
            answer = await call.read()
            assert isinstance(answer, bytes)
            assert decode_welcome(answer).node == N1
            calls.append(call)
        for old in calls[:2]:
            assert await old.code() is grpc.StatusCode.ABORTED
            assert "has opened a newer urgent stream" in await old.details()
        await calls[2].write(encode_packet([b"newest"]))
        await one.inbox.holds(1)
        assert one.inbox.bodies() == [b"newest"]
        await channel.close()

    told(story)


def test_a_stream_that_says_nothing_is_ended() -> None:
    async def story(world: GrpcWorld) -> None:
        world.limits = replace(LIMITS, handshake_timeout=0.05)
        one = await world.start(who(N1))
        code, details = await status_after(one.address)
        assert (code, details) == (grpc.StatusCode.DEADLINE_EXCEEDED, "no hello came")

    told(story)


def test_a_peer_that_reads_nothing_is_hung_up_on_and_dialed_again() -> None:
    async def story(world: GrpcWorld) -> None:
        world.limits = replace(LIMITS, stall_timeout=0.1)
        one = await world.start(who(N1))
        deaf = await world.deaf(N3, one)
        one.transport.connect({N3: deaf.address})
        await one.events.says(f"connected to node {N3:x}", "[bulk]")

        async def flood() -> None:
            while True:
                one.transport.send(N3, Lane.BULK, bytes(32 << 10))
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        await one.events.says("took nothing for 0.1 s", "[bulk]")
        flooding.cancel()
        await one.events.says(f"connected to node {N3:x}", "[bulk]", times=2)
        assert one.transport.send(N3, Lane.BULK, b"the queue is empty again")

    told(story)


def test_whoever_answers_but_is_no_node_is_reported() -> None:
    async def story(world: GrpcWorld) -> None:
        one = await world.start(who(N1))
        stranger = grpc.aio.server(options=server_options(LIMITS))
        port = stranger.add_insecure_port("127.0.0.1:0")
        await stranger.start()
        one.transport.connect({N2: f"127.0.0.1:{port}"})
        await one.events.says(f"no stream to node {N2:x}", "Method not found!")
        await stranger.stop(None)

    told(story)


def test_an_inbox_that_raises_takes_the_owner_down() -> None:
    class Broken(Mailbox):
        def receive(self, peer: NodeId, lane: Lane, frame: bytes) -> None:
            raise KeyError("a defect of the node")

    async def serve(ready: asyncio.Future[str]) -> None:
        transport = GrpcTransport(who(N1), limits=LIMITS)
        server = grpc.aio.server(options=server_options(LIMITS))
        server.add_generic_rpc_handlers((transport.handlers(),))
        port = server.add_insecure_port("127.0.0.1:0")
        try:
            async with transport:
                transport.bind(Broken())
                await server.start()
                transport.connect({N3: "127.0.0.1:1"})
                ready.set_result(f"127.0.0.1:{port}")
                await asyncio.sleep(PATIENCE)
        finally:
            await server.stop(None)

    async def story(_: GrpcWorld) -> None:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(ready))
        code, _details = await status_after(await ready, encode_hello(HELLO), encode_packet([b"x"]))
        assert code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(ExceptionGroup) as caught:
            await serving
        assert caught.group_contains(KeyError, match="a defect of the node")

    told(story)


def test_a_port_in_use_is_not_shared() -> None:
    async def story(world: GrpcWorld) -> None:
        one = await world.start(who(N1))
        with pytest.raises(RuntimeError):
            await world.start(who(N2), one.address)

    told(story)


def test_a_connection_that_never_speaks_does_not_hold_up_closing() -> None:
    async def story(world: GrpcWorld) -> None:
        one, two = await pair(world)
        host, port = one.address.split(":")
        with socket.create_connection((host, int(port))):
            await two.stop()
            await one.stop()
        assert not one.transport.send(N2, Lane.URGENT, b"?")

    told(story)


@pytest.mark.parametrize("story", STORIES[:2], ids=[story.__name__ for story in STORIES[:2]])
def test_the_contract_holds_under_uvloop(story: Any) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            await story(GrpcWorld(stack))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_events_name_the_peer_and_its_address() -> None:
    fields: list[dict[str, object]] = []

    async def story(world: GrpcWorld) -> None:
        events = Chronicle()

        def note(text: str, given: Mapping[str, object]) -> None:
            fields.append(dict(given))
            events.write(text, given)

        async with GrpcTransport(who(N1), limits=LIMITS, on_event=note) as transport:
            transport.bind(Mailbox())
            transport.connect({N2: "127.0.0.1:1"})
            await events.says("no stream to node a2 at 127.0.0.1:1", "Connection refused")

    told(story)
    assert fields[0]["peer"] == "a2"
    assert fields[0]["address"] == "127.0.0.1:1"


def test_methods_are_spelled_as_in_the_proto_files() -> None:
    spelled = {
        f"/{service.full_name}/{method.name}"
        for file in (raft_pb2.DESCRIPTOR, client_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert {DELIVER, STREAM} <= spelled
