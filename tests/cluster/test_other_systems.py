"""The adapter of examples/pysyncobj tells apart what failed and what nobody knows; it needs no PySyncObj for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from examples.pysyncobj.system import OnSyncObj, SyncObjClient
from jepsen_like.workloads.registers import Registers
from jepsen_like.workloads.workload import Request
from raftlog import CallFailed, CallUnknown
from raftlog.cluster import free_ports

pytestmark = [pytest.mark.real, pytest.mark.asyncio]


@asynccontextmanager
async def node(*answers: dict[str, object] | None) -> AsyncIterator[str]:
    """A node that answers so, one question after the other, and hangs up on None."""
    left = list(answers)
    asking: list[asyncio.Task[None]] = []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None, "streams are served by tasks"
        asking.append(this)
        while line := await reader.readline():
            answer = left.pop(0)
            if answer is None:
                break
            number = msgspec.json.decode(line)["id"]
            stale = {"id": number - 1, "ok": "of an earlier question"}
            for each in (stale, {"id": number, **answer}):
                writer.write(msgspec.json.encode(each) + b"\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*asking)


async def test_every_answer_becomes_its_outcome() -> None:
    answers: tuple[dict[str, object] | None, ...] = (
        {"ok": 7},
        {"failed": "queue full"},
        {"unknown": "fail reason 5"},
        None,
        {"ok": None},
    )
    async with node(*answers) as address, SyncObjClient([address]) as client:
        workload = OnSyncObj(Registers())
        assert await workload.perform(client, Request("write", 7, "r0"), 0) == 7
        with pytest.raises(CallFailed, match="queue full"):
            await client.ask("write", 8, "r0")
        with pytest.raises(CallUnknown, match="fail reason 5"):
            await client.ask("write", 8, "r0")
        with pytest.raises(CallUnknown, match="hung up"):
            await client.ask("write", 8, "r0")
        assert await client.ask("read", key="r0") is None


async def test_what_was_never_sent_certainly_failed_and_another_node_is_asked() -> None:
    (nobody,) = free_ports(1)
    async with node({"ok": 1}) as address, SyncObjClient([f"127.0.0.1:{nobody}", address]) as client:
        with pytest.raises(CallFailed):
            await client.ask("add", 1)
        assert await client.ask("add", 1) == 1


async def test_no_answer_in_time_is_unknown() -> None:
    async with node({"id": -1}) as address, SyncObjClient([address], deadline=0.05) as client:
        with pytest.raises(CallUnknown, match=r"no answer within 0.05 s"):
            await client.ask("add", 1)
