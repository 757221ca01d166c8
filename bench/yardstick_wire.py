"""The frames of the bare pipeline: MessagePack arrays in raw gRPC messages, no protobuf.

client -> primary     Commands: bodies of commands, answered in their order
primary -> client     Answers: the encoded results of one Commands frame
primary -> replica    Batch: what one write of the primary's file holds; the same bytes lie in the file
replica -> primary    Durable: the last batch that this replica has synced
"""

from collections.abc import Awaitable, Callable

import grpc.aio
import msgspec

SERVICE = "yardstick.Pipeline"
SUBMIT = "Submit"
REPLICATE = "Replicate"

Commands = list[bytes]
Answers = list[bytes]


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Commands under one number. `committed` is the highest number that may be applied; without bodies it is
    only that, and is not written."""

    number: int
    committed: int
    bodies: list[bytes]


class Durable(msgspec.Struct, frozen=True, array_like=True):
    """Everything up to `number` is synced."""

    number: int


encode = msgspec.msgpack.Encoder().encode
decode_frame = msgspec.msgpack.Decoder(list[bytes]).decode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
decode_durable = msgspec.msgpack.Decoder(Durable).decode

OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
)

BytesCall = grpc.aio.StreamStreamCall[bytes, bytes]


def listen(server: grpc.aio.Server, method: str, serve: Callable[..., Awaitable[None]]) -> int:
    """Let `server` answer streams of raw bytes on a free port of loopback, which is returned."""
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        method: grpc.stream_stream_rpc_method_handler(serve)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    return server.add_insecure_port("127.0.0.1:0")


def open_stream(channel: grpc.aio.Channel, method: str) -> BytesCall:
    """A bidirectional stream of raw bytes to the node behind `channel`."""
    return channel.stream_stream(f"/{SERVICE}/{method}")()
