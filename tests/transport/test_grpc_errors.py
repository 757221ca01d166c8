"""What gRPC says when a call fails, put for people; the wordings are those of grpcio 1.85."""

import pytest

from raftlog.transport.grpc_errors import plain

LAST = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    "details, said",
    [
        (None, ""),
        ("node 3 is closing", "node 3 is closing"),
        (
            LAST + "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
            "Connection refused",
        ),
        (
            LAST + "UNAVAILABLE: ipv6:%5B::1%5D:7601: Socket closed",
            "it closed the connection (does one side speak TLS and the other not, or want a certificate?)",
        ),
        (
            "errors resolving x:1: [field:hostname lookup error:address lookup failed for x:1: Domain name not found]",
            "its name is not known (Domain name not found)",
        ),
        (
            LAST
            + "UNKNOWN: ipv4:127.0.0.1:7601: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: "
            "error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: unable to get local issuer "
            "certificate: OK",
            "the TLS handshake failed (CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate)",
        ),
        (LAST + "a wording of tomorrow", LAST + "a wording of tomorrow"),
    ],
)
def test_plain_words(details: str | None, said: str) -> None:
    assert plain(details) == said
