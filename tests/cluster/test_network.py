"""The network between hosts: what is cut waits, what is slow comes late, nothing is lost or reordered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from jepsen_like.cluster.network import Network
from jepsen_like.sim.links import between

pytestmark = [pytest.mark.real, pytest.mark.asyncio]

HERE = ("a", "b")


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """A server that sends back what it gets; where it listens."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield f"{host}:{port}"


@asynccontextmanager
async def dialed() -> AsyncIterator[tuple[Network, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A network of two hosts, and a connection from a to b, which echoes."""
    async with echoing() as address, Network({"a": "127.0.0.1:1", "b": address}, Random(1)) as network:
        host, _, port = network.routes("a")[address].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield network, reader, writer
        finally:
            writer.close()
            await writer.wait_closed()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds."""
    while not holds():  # noqa: ASYNC110 - the path tells nobody
        await asyncio.sleep(0)


async def test_what_is_sent_arrives_in_order() -> None:
    sent = Random(2).randbytes(3_000_000)
    async with dialed() as (network, reader, writer):
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent
        assert network.paths["a", "b"].passed == network.paths["b", "a"].passed == len(sent)
        assert not network.held


@pytest.mark.parametrize("way", [("a", "b"), ("b", "a")])
async def test_what_meets_a_cut_waits_until_it_is_mended(way: tuple[str, str]) -> None:
    async with dialed() as (network, reader, writer):
        network.cut([way])
        network.cut([way])
        writer.write(b"before")
        path = network.paths[way]
        await until(lambda: bool(path.held))
        network.mend([way])
        assert path.cut, "the second of two cuts lasts"
        assert path.passed == 0
        network.mend([way])
        assert await reader.readexactly(6) == b"before"


async def test_a_connection_made_across_a_cut_is_answered_after_it() -> None:
    async with echoing() as address, Network({"a": "127.0.0.1:1", "b": address}, Random(1)) as network:
        network.cut(between([["a"], ["b"]]))
        host, _, port = network.routes("a")[address].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"hello")
        await until(lambda: bool(network.held))
        network.heal()
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


async def test_loss_and_limits_cost_time_and_nothing_else() -> None:
    async with dialed() as (network, reader, writer):
        path = network.paths["a", "b"]
        path.delay, path.jitter, path.loss, path.rate = 0.001, 0.002, 0.05, 50e6
        sent = Random(3).randbytes(400_000)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent
        path.loss, path.rate = 1.0, 1000.0
        way, keeps = path.takes(500)
        assert way > 0.2
        assert keeps == 0.5


async def test_a_target_that_is_down_ends_the_connection() -> None:
    async with Network({"a": "127.0.0.1:1", "b": "127.0.0.1:1"}, Random(1)) as network:
        host, _, port = network.routes("a")["127.0.0.1:1"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with suppress(ConnectionError):  # reset or ended: both say that nobody is there
            assert await reader.read(-1) == b""
        writer.close()
