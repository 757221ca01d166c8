"""Addresses and options: what is accepted, and what is refused before anything is touched."""

from pathlib import Path

import pytest

from raftlog.server import Address, BadAddress, BadOptions, ServeOptions
from raftlog.transport.tls import TlsFiles
from statemachines.counter import Counter


@pytest.mark.parametrize(
    "text, host, port",
    [("127.0.0.1:7001", "127.0.0.1", 7001), ("localhost:0", "localhost", 0), ("[::1]:65535", "::1", 65535)],
)
def test_an_address_comes_back_as_it_was_written(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":7001", "host:65536", "host:-1", "::1:7001", "a b:1", "host:7001\n"]
)
def test_what_is_no_address_is_quoted(text: str) -> None:
    with pytest.raises(BadAddress, match="is no address: write host:port"):
        Address.parse(text)


@pytest.mark.parametrize(
    "host, loopback",
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_only_what_surely_stays_on_this_machine_is_loopback(host: str, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback


def options(tmp_path: Path, **changes: object) -> ServeOptions:
    return ServeOptions(**{"data_dir": tmp_path / "n1", "machine": Counter, **changes})  # type: ignore[arg-type]


def test_beyond_loopback_a_server_needs_tls_or_the_word_insecure(tmp_path: Path) -> None:
    outside = Address("10.0.0.1", 7001)
    with pytest.raises(BadOptions, match=r"--tls-ca.*--insecure"):
        options(tmp_path, listen=outside)
    assert options(tmp_path, listen=outside, insecure=True).listen == outside
    assert options(tmp_path, listen=outside, tls=TlsFiles(Path("ca.pem"))).listen == outside


def test_every_interface_is_no_address_to_advertise(tmp_path: Path) -> None:
    everywhere = Address("0.0.0.0", 7001)
    with pytest.raises(BadOptions, match="--advertise"):
        options(tmp_path, listen=everywhere, insecure=True)
    with pytest.raises(BadOptions, match="nobody can dial"):
        options(tmp_path, advertise=everywhere)
    named = options(tmp_path, listen=everywhere, insecure=True, advertise=Address("db1", 7001))
    assert named.listen == everywhere


def test_a_name_is_the_directorys_unless_given(tmp_path: Path) -> None:
    assert options(tmp_path).display_name == "n1"
    assert options(tmp_path, name="left").display_name == "left"
    with pytest.raises(BadOptions, match="not usable"):
        options(tmp_path, name="a name")


def test_nothing_was_touched(tmp_path: Path) -> None:
    options(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_machines_name_must_fit_into_the_identity_file() -> None:
    class Long(Counter):
        name = "x" * 471

    with pytest.raises(BadOptions, match="longer than 470 bytes"):
        ServeOptions(data_dir=Path("n1"), machine=Long)
