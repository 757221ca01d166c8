"""One server inside the test's own event loop: waiting, initialised once, stopped cleanly, started again."""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from raftlog.admin import Member, Operator, Refused, StatusReply, Unreachable
from raftlog.bootstrap import ask_all, carry_out, plan
from raftlog.core.entry import Command
from raftlog.core.ids import ClusterId
from raftlog.core.settings import Settings
from raftlog.machine.calls import encode_call
from raftlog.pb import client_pb2, client_pb2_grpc
from raftlog.server import Address, CannotServe, ServeOptions, Server
from raftlog.storage import DiskFull, Identity, LocalDisk, LogDamaged, StorageRefused
from raftlog.storage.identity import load, save
from raftlog.transport.client_frames import (
    ClientFrame,
    decode_node_frame,
    decode_runs,
    encode_client_frame,
    encode_rows,
)
from raftlog.transport.grpc_link import GrpcDialer
from raftlog.transport.handshake import NO_CLUSTER
from raftlog.transport.link import LinkBroken
from statemachines.counter import Counter
from statemachines.kv import KeyValue

pytestmark = [pytest.mark.real, pytest.mark.asyncio]

QUICK = Settings(election_timeout=30_000, heartbeat=10_000)
CLUSTER = ClusterId(7)


def options(directory: Path, port: int = 0) -> ServeOptions:
    return ServeOptions(
        data_dir=directory, listen=Address("127.0.0.1", port), machine=Counter, settings=QUICK
    )


async def until(what: str, true: Callable[[], Awaitable[bool]]) -> None:
    """Asks again and again; the deadline is only for what never comes."""
    async with asyncio.timeout(20):
        while not await true():  # noqa: ASYNC110 - the other side is a server, which sets no event of ours
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(directory: Path, port: int = 0) -> AsyncIterator[tuple[Server, str]]:
    async with Server(options(directory, port)) as server:
        yield server, str(server.address)


async def initialise(address: str) -> None:
    async with Operator() as operator:
        await carry_out(plan(await ask_all(operator, [address]), CLUSTER), operator)


async def serving(address: str) -> StatusReply:
    """What it says of itself at a moment when it serves: with timeouts as short as these, a slow sync ends that."""
    said: list[StatusReply] = []
    async with Operator() as operator:

        async def serves() -> bool:
            said.append(await operator.status(address))
            return said[-1].serving

        await until("a server that serves", serves)
    return said[-1]


async def add(address: str, amount: int) -> client_pb2.CallReply:
    """The first answer that is no definite refusal: after those it may be asked again."""
    request = client_pb2.CallRequest(method="add", arguments_json=f"[{amount}]")
    said: list[client_pb2.CallReply] = []
    async with grpc.aio.insecure_channel(address) as channel:

        async def answered() -> bool:
            said.append(await client_pb2_grpc.LogStub(channel).Call(request))
            return said[-1].outcome != client_pb2.OUTCOME_FAILED

        await until("an answer that is no refusal", answered)
    return said[-1]


async def healthy(address: str) -> None:
    async def serves() -> bool:
        return await health(address, "") == "SERVING"

    await until("a server whose health is good", serves)


async def health(address: str, service: str) -> str:
    async with grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        reply: health_pb2.HealthCheckResponse = await stub.Check(request)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


async def test_a_fresh_directory_waits_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (server, address), Operator() as operator:
        status = await operator.status(address)
        assert (status.cluster_id, status.name, status.node_id) == (NO_CLUSTER, "n1", server.node_id)
        assert server.waiting
        assert server.node is None
        assert not status.serving
        assert [await health(address, service) for service in ("", "raftlog.pb.Log", "raftlog.pb.Admin")] == [
            "NOT_SERVING",
            "NOT_SERVING",
            "SERVING",
        ]
        with pytest.raises(grpc.aio.AioRpcError, match=r"waits to be initialised.*raftlog init") as refused:
            await add(address, 1)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_log_is_applied_by_the_machine_that_it_was_begun_with(tmp_path: Path) -> None:
    directory = tmp_path / "n1"
    async with running(directory):
        pass
    other = dataclasses.replace(options(directory), machine=KeyValue)
    async with Server(other) as server:  # no log yet: nothing speaks against it
        assert server.waiting
    async with running(directory) as (_, address):
        await initialise(address)
        await serving(address)
    with pytest.raises(StorageRefused, match=r"by the machine 'Counter'.*started with 'KeyValue'"):
        async with Server(other):
            pass
    async with running(directory) as (_, address):
        await serving(address)


async def test_a_directory_that_knows_no_machine_takes_the_one_it_is_started_with(tmp_path: Path) -> None:
    """As the first releases made them."""
    directory = tmp_path / "n1"
    async with running(directory) as (_, address):
        await initialise(address)
    disk = LocalDisk(directory)
    found = await load(disk)
    assert found is not None
    assert found.machine == "Counter"
    await save(disk, Identity(found.node, found.cluster))
    await disk.close()
    async with running(directory) as (_, address):
        await serving(address)
    disk = LocalDisk(directory)
    assert await load(disk) == found
    await disk.close()


async def test_one_initialise_makes_it_a_member_in_the_same_process(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (server, address):
        await initialise(address)
        status = await serving(address)
        assert status.cluster_id == CLUSTER
        assert status.groups[0].role == "leader"
        assert status.groups[0].voters == [server.node_id]
        assert (await add(address, 3)).result_json == "3"
        await healthy(address)


async def test_the_same_record_again_is_answered_alike_and_any_other_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (server, address), Operator() as operator:
        me = Member(id=server.node_id, name="n1", peer_address=address, client_address=address)
        other = Member(id=server.node_id ^ 1, name="n2", peer_address="x:1", client_address="x:1")
        with pytest.raises(Refused, match="not among the voters"):
            await operator.initialise(address, CLUSTER, [other])
        with pytest.raises(Refused, match="at least one voter"):
            await operator.initialise(address, CLUSTER, [])
        with pytest.raises(Refused, match="cluster id of 0"):
            await operator.initialise(address, NO_CLUSTER, [me])
        assert server.waiting
        async with asyncio.TaskGroup() as tasks:  # at one moment: one record all the same
            for _ in range(3):
                tasks.create_task(operator.initialise(address, CLUSTER, [me]))
        await operator.initialise(address, CLUSTER, [me])
        with pytest.raises(Refused, match=f"belongs to cluster {CLUSTER:016x} already"):
            await operator.initialise(address, ClusterId(8), [me])
        with pytest.raises(Refused, match="nothing was changed"):
            await operator.initialise(address, CLUSTER, [me, other])


async def test_what_was_answered_is_there_after_a_clean_stop(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (server, address):
        node = server.node_id
        await initialise(address)
        await serving(address)
        await add(address, 3)
        port = server.address.port
    async with running(tmp_path / "n1", port) as (server, address):
        assert server.node_id == node
        await serving(address)
        assert (await add(address, 4)).result_json == "7"


async def test_leaving_ends_watches_and_frees_port_and_directory(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (server, address):
        channel = grpc.aio.insecure_channel(address)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=""))
        first = await watch.read()
        assert isinstance(first, health_pb2.HealthCheckResponse)
        assert first.status == health_pb2.HealthCheckResponse.NOT_SERVING
        port = server.address.port
    assert await watch.read() is grpc.aio.EOF
    await channel.close()
    async with running(tmp_path / "n1", port):
        pass


async def test_a_port_in_use_is_a_clear_error_and_leaves_the_directory_free(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CannotServe, match="Address already in use; choose another --listen"):
            async with running(tmp_path / "n1", taken.getsockname()[1]):
                pass
    async with running(tmp_path / "n1"):
        pass


async def test_a_directory_in_use_is_refused_by_the_process_that_has_it(tmp_path: Path) -> None:
    async with running(tmp_path / "n1"):
        with pytest.raises(StorageRefused, match="in use by process"):
            async with running(tmp_path / "n1"):
                pass


async def test_a_member_whose_log_is_gone_does_not_start(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (_, address):
        await initialise(address)
    for segment in (tmp_path / "n1").glob("*.seg"):
        segment.unlink()
    with pytest.raises(StorageRefused, match="its log is gone"):
        async with running(tmp_path / "n1"):
            pass


async def test_a_damaged_log_is_named_with_its_place(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (_, address):
        await initialise(address)
        await serving(address)
    first = tmp_path / "n1" / "0000000000000001.seg"
    content = bytearray(first.read_bytes())
    content[600] ^= 1
    first.write_bytes(content)
    with pytest.raises(LogDamaged, match=r"0000000000000001.seg at byte 512.*cannot be mended"):
        async with running(tmp_path / "n1"):
            pass


async def test_a_node_started_elsewhere_says_so(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (_, address):
        await initialise(address)
    with socket.socket() as held:  # so that the next free port is another one
        held.bind(("127.0.0.1", int(address.split(":")[1])))
        async with running(tmp_path / "n1") as (_, elsewhere), Operator() as operator:
            (impairment,) = (await operator.status(elsewhere)).impairments
    assert f"looks for this node (n1) at {address}, and it advertises {elsewhere}" in impairment


class NoSecondSegment(LocalDisk):
    """A disk that has space for one segment of the log."""

    async def allocate(self, name: str, size: int) -> None:
        """See `Disk.allocate`."""
        if name.startswith("0000000000000002"):
            raise DiskFull(f"there is no space to create {name}")
        await super().allocate(name, size)


async def test_a_node_without_space_for_the_next_segment_says_so(tmp_path: Path) -> None:
    full = dataclasses.replace(options(tmp_path / "n1"), disk_factory=NoSecondSegment)
    async with Server(full) as server, Operator() as operator:
        address = str(server.address)
        await initialise(address)
        await serving(address)

        async def says_so() -> bool:
            return any("no space" in each for each in (await operator.status(address)).impairments)

        await until("an impairment", says_so)


async def throw(garbage: bytes, port: int) -> None:
    """Send it and wait until the server has hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(OSError):
        writer.write(garbage)
        writer.write_eof()
        await reader.read()
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


async def test_garbage_on_the_port_harms_nobody(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (server, address):
        await initialise(address)
        await serving(address)
        for garbage in (
            b"\0" * 1000,
            b"GET / HTTP/1.1\r\n\r\n",
            bytes(range(256)) * 40,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff",
        ):
            await throw(garbage, server.address.port)
        assert (await add(address, 1)).result_json == "1"


@pytest.mark.parametrize(
    "method",
    [
        "raftlog.pb.Log/Call",
        "raftlog.pb.Admin/Status",
        "raftlog.pb.Admin/Initialise",
        "grpc.health.v1.Health/Check",
    ],
)
async def test_bytes_that_are_no_request_are_an_invalid_argument(tmp_path: Path, method: str) -> None:
    async with running(tmp_path / "n1") as (_, address):
        await initialise(address)
        async with grpc.aio.insecure_channel(address) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{method}")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(b"\xff\xff\xff\xff")
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "are no" in (refused.value.details() or "")


async def test_grpcurl_finds_the_services(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (_, address), grpc.aio.insecure_channel(address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast(grpc.Channel, channel))
        call = stub.ServerReflectionInfo(
            iter(
                [
                    reflection_pb2.ServerReflectionRequest(list_services=""),
                    reflection_pb2.ServerReflectionRequest(file_containing_symbol="raftlog.pb.Log"),
                ]
            )
        )
        listed, described = [reply async for reply in call]
    names = {service.name for service in listed.list_services_response.service}
    assert {"raftlog.pb.Log", "raftlog.pb.Admin", "raftlog.pb.Peer", "grpc.health.v1.Health"} <= names
    assert described.file_descriptor_response.file_descriptor_proto


async def test_nobody_at_an_address_is_said_with_the_address() -> None:
    async with Operator() as operator:
        with pytest.raises(Unreachable, match=r"no node answers at 127\.0\.0\.1:1: "):
            await operator.status("127.0.0.1:1")


async def test_a_stream_is_taken_at_once_answered_and_ended_with_a_reason(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (_, address):
        await initialise(address)
        await serving(address)
        dialer = GrpcDialer()
        link = await dialer.dial(address)
        bodies = [Command(0, 0, 0, 1, 1, encode_call(Counter.add, 1)) for _ in range(100)]
        await link.send(encode_client_frame(ClientFrame(commands=encode_rows(bodies), first_call=1)))
        frame = await link.receive()
        assert frame is not None
        while sum(len(results) for _, results in decode_runs(decode_node_frame(frame).replies)) < 100:
            more = await link.receive()
            assert more is not None
            frame = more
        idle = await dialer.dial(address)
    for open_link in (link, idle):
        with pytest.raises(LinkBroken, match="shutting down"):
            await open_link.receive()
    await dialer.close()


async def test_a_stream_of_nonsense_ends_with_an_invalid_argument(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (_, address):
        await initialise(address)
        dialer = GrpcDialer()
        link = await dialer.dial(address)
        await link.send(b"\xff\xff\xff")
        with pytest.raises(LinkBroken, match=r"cut off|wire type"):
            await link.receive()
        await dialer.close()
        assert (await serving(address)).serving


async def test_a_stream_to_a_waiting_node_hears_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path / "n1") as (_, address):
        dialer = GrpcDialer()
        with pytest.raises(LinkBroken, match="run `raftlog init`"):
            await dialer.dial(address)
        await dialer.close()
