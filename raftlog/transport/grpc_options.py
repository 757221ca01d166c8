"""The gRPC channel arguments both ends agree on: sizes, patience with pings, reconnecting, and one server per port."""

import grpc.aio

from raftlog.transport.limits import Limits
from raftlog.transport.tls import TlsFiles

_KEEPALIVE_MS = 5_000
_KEEPALIVE_TIMEOUT_MS = 2_500
_CONNECT_TIMEOUT_MS = 1_000
_RECONNECT_MS = 250
_MOST_STREAMS = 1_024
_IDLE_MS = 600_000


def server_options(limits: Limits) -> list[tuple[str, int]]:
    """For `grpc.aio.server(options=...)`. Bounds sizes, streams and idle connections."""
    return [
        *_sizes(limits),
        # Off, a second server on the same port would start in silence and take half of the connections.
        ("grpc.so_reuseport", 0),
        # By default a server calls our own channels' pings abuse and sends them away (ENHANCE_YOUR_CALM).
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_concurrent_streams", _MOST_STREAMS),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
    ]


def channel_options(limits: Limits) -> list[tuple[str, int]]:
    """For channels to nodes. Each channel has a connection of its own and finds a node that is back within a second."""
    return [
        *_sizes(limits),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
        # Named for the back-off, this is also how long one attempt to connect may take.
        ("grpc.min_reconnect_backoff_ms", _CONNECT_TIMEOUT_MS),
        # Sets TCP_USER_TIMEOUT too: bytes sent into a cut network end the connection instead of waiting, in the
        # kernel, for a retransmission that may come minutes after the cut is healed.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
        # Nodes are dialed directly: a proxy from the environment is never meant.
        ("grpc.enable_http_proxy", 0),
    ]


def open_channel(address: str, tls: TlsFiles | None, limits: Limits) -> grpc.aio.Channel:
    """A channel to `host:port`; connects when it is first used.

    Raises:
        BadTlsFiles: a TLS file does not serve.
    """
    options: list[tuple[str, int | str]] = [*channel_options(limits)]
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(
        address, tls.channel_credentials(), options=[*options, *tls.channel_options()]
    )


def _sizes(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", limits.message_bytes),
    ]
