"""Servers that speak TLS to each other and to clients, and turn away who does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from raftlog.admin import Operator, Unreachable
from raftlog.bootstrap import ask_all, carry_out, plan
from raftlog.cli.app import run
from raftlog.core.ids import ClusterId
from raftlog.core.settings import Settings
from raftlog.server import Address, ServeOptions, Server
from raftlog.transport.tls import BadTlsFiles, TlsFiles
from statemachines.counter import Counter
from tests.transport.certificates import make_authority, make_certificate

pytestmark = pytest.mark.real

QUICK = Settings(election_timeout=100_000, heartbeat=20_000)


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    authority = make_authority(tmp_path)
    cert, key = make_certificate(tmp_path, "node", names="IP:127.0.0.1,DNS:localhost", authority=authority)
    return TlsFiles(authority, cert, key, mutual=True)


@asynccontextmanager
async def three(directory: Path, tls: TlsFiles) -> AsyncIterator[list[str]]:
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                Server(
                    ServeOptions(
                        data_dir=directory / name,
                        listen=Address("127.0.0.1", 0),
                        machine=Counter,
                        tls=tls,
                        settings=QUICK,
                    )
                )
            )
            for name in ("n1", "n2", "n3")
        ]
        yield [str(server.address) for server in servers]


@pytest.mark.asyncio
async def test_three_nodes_elect_over_mutual_tls_and_a_stranger_gets_no_word(
    tmp_path: Path, files: TlsFiles
) -> None:
    async with three(tmp_path, files) as addresses, Operator(files) as operator:
        await carry_out(plan(await ask_all(operator, addresses), ClusterId(5)), operator)
        async with asyncio.timeout(20):
            while not all(status.serving for status in (await ask_all(operator, addresses)).values()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        leaders = {status.groups[0].leader for status in (await ask_all(operator, addresses)).values()}
        assert len(leaders) == 1
        for stranger in (None, TlsFiles(files.ca)):
            async with Operator(stranger) as outside:
                with pytest.raises(Unreachable):
                    await outside.status(addresses[0], timeout=2)
        flags = [f"--tls-ca={files.ca}", f"--tls-cert={files.cert}", f"--tls-key={files.key}"]
        assert await asyncio.to_thread(run, ["status", "--json", addresses[0], *flags]) == 0


@pytest.mark.asyncio
async def test_a_server_without_its_certificate_does_not_start_and_leaves_the_directory(
    tmp_path: Path, files: TlsFiles
) -> None:
    with pytest.raises(BadTlsFiles, match="needs its certificate and key"):
        async with three(tmp_path, TlsFiles(files.ca)):
            pass
    async with three(tmp_path, files):
        pass
