"""TLS between nodes and for clients: who is trusted, who is not, and what bad files are called."""

import asyncio
import subprocess
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from raftlog.transport.grpc_link import CallFailed, GrpcDialer
from raftlog.transport.port import Lane
from raftlog.transport.tls import BadTlsFiles, TlsFiles
from tests.transport.certificates import make_authority, make_certificate, openssl
from tests.transport.contract import N1, N2, Story, a_peer_that_restarts_at_its_address_is_found_again, who
from tests.transport.contract import frames_arrive_in_order_within_a_lane as frames_arrive
from tests.transport.worlds import GrpcWorld, tell_over_grpc

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    ours = make_authority(folder, "ca")
    theirs = make_authority(folder, "other-ca")
    make_certificate(folder, "node", names="IP:127.0.0.1,DNS:n1.example", authority=ours)
    make_certificate(folder, "elsewhere", names="DNS:n9.example", authority=ours)
    make_certificate(folder, "foreign", names="IP:127.0.0.1", authority=theirs)
    return folder


def files(folder: Path, name: str = "node", *, ca: str = "ca", mutual: bool = False) -> TlsFiles:
    return TlsFiles(folder / f"{ca}.pem", folder / f"{name}.pem", folder / f"{name}.key", mutual=mutual)


@pytest.mark.parametrize("mutual", [False, True], ids=["one-sided", "mutual"])
@pytest.mark.parametrize("story", [frames_arrive, a_peer_that_restarts_at_its_address_is_found_again])
def test_the_contract_holds_over_tls(story: Story, folder: Path, mutual: bool) -> None:
    tell_over_grpc(story, tls=files(folder, mutual=mutual))


async def call(server: TlsFiles, client: TlsFiles | None) -> grpc.StatusCode:
    """How a call to a node ends; UNIMPLEMENTED when it got through, since nobody serves it."""
    async with AsyncExitStack() as stack:
        party = await GrpcWorld(stack, server).start(who(N1))
        dialer = GrpcDialer(tls=client)
        try:
            await dialer.call(party.address, "/raftlog.pb.Nobody/Serves", b"", timeout=10)
        except CallFailed as failed:
            return failed.code
        raise AssertionError("nobody serves that call")


def test_a_client_needs_the_authority_and_where_asked_a_certificate(folder: Path) -> None:
    ours, theirs = files(folder), files(folder, "foreign", ca="other-ca")
    bare = TlsFiles(folder / "ca.pem")
    mutual = replace(ours, mutual=True)
    through, refused = grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE
    for server, client, outcome in [
        (ours, ours, through),
        (ours, bare, through),
        (ours, theirs, refused),
        (ours, None, refused),
        (mutual, ours, through),
        (mutual, bare, refused),
        (mutual, TlsFiles(folder / "ca.pem", folder / "foreign.pem", folder / "foreign.key"), refused),
        (theirs, ours, refused),
    ]:
        assert asyncio.run(call(server, client)) is outcome, (server, client)


def test_the_certificate_must_name_the_host_that_was_dialed(folder: Path) -> None:
    elsewhere = files(folder, "elsewhere")
    assert asyncio.run(call(elsewhere, elsewhere)) is grpc.StatusCode.UNAVAILABLE
    told = replace(elsewhere, name_override="n9.example")
    assert asyncio.run(call(elsewhere, told)) is grpc.StatusCode.UNIMPLEMENTED


def test_a_peer_without_tls_is_reported_and_not_reached(folder: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            safe, open_ = GrpcWorld(stack, files(folder)), GrpcWorld(stack)
            one, two = await safe.start(who(N1)), await open_.start(who(N2, boot=2))
            one.knows(two)
            two.knows(one)
            await one.events.says(f"no stream to node {N2:x}")
            await two.events.says(f"no stream to node {N1:x}")
            assert not one.transport.send(N2, Lane.URGENT, b"?")

    asyncio.run(main())


def test_bad_files_are_named(folder: Path) -> None:
    good = files(folder)
    garbage = folder / "garbage.pem"
    garbage.write_text("no certificate at all")
    locked = folder / "locked.key"
    openssl()
    subprocess.run(
        ["openssl", "ec", "-in", folder / "node.key", "-aes128", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )
    for tls, words in [
        (
            replace(good, ca=folder / "none.pem"),
            "certificate authority .*none.pem cannot be read: No such file",
        ),
        (replace(good, cert=folder / "none.pem"), "TLS certificate .*none.pem cannot be read: No such file"),
        (replace(good, key=folder), "TLS key .* cannot be read: Is a directory"),
        (replace(good, ca=garbage), "garbage.pem holds no PEM certificate"),
        (replace(good, cert=garbage), "node.key is not the unencrypted key of .*garbage.pem"),
        (replace(good, key=folder / "foreign.key"), "foreign.key is not the unencrypted key of .*node.pem"),
        (replace(good, key=locked), "locked.key is not the unencrypted key of .*node.pem"),
        (replace(good, key=None), "certificate comes without its key"),
        (replace(good, cert=None), "key comes without its certificate"),
    ]:
        with pytest.raises(BadTlsFiles, match=words):
            tls.server_credentials()
        with pytest.raises(BadTlsFiles, match=words):
            tls.channel_credentials()
    with pytest.raises(BadTlsFiles, match="needs its certificate and key"):
        TlsFiles(folder / "ca.pem").server_credentials()
