"""The frames of the client stream: a protobuf shell of a few fields around MessagePack arrays (docs/protocol.md).

Written by hand instead of generated, because the shell is read once per batch while its arrays are read once per
command, in C; and because a client then needs no protobuf. The generated code reads the same bytes.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TypeAlias, TypeVar

import msgspec

from raftlog.core.entry import Command
from raftlog.core.ids import ClusterId, GroupId, Index
from raftlog.machine.result import Result

T = TypeVar("T")

PROTOCOL_VERSION = 1


class BadFrame(ValueError):
    """Bytes that no correct peer sends; the stream they came on is worth nothing any more (INVALID_ARGUMENT)."""


class Level(IntEnum):
    """What an answer to a query promises. Linearizable is the default; what is weaker is asked for by name."""

    LINEARIZABLE = 0
    """It reflects every command that was answered before the query was sent."""
    LOCAL = 1
    """It reflects what the asked node has applied, however long ago that was decided."""


class Query(msgspec.Struct, frozen=True, array_like=True):
    """One question to a state machine."""

    level: int
    """A `Level`; a number this node does not know refuses the query, not the frame."""
    machine: int
    machine_version: int
    body: bytes


Run: TypeAlias = tuple[int, Sequence[Result]]
"""Answers to consecutive calls, the first of which has this number."""


class ClientFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sends. Its commands are the calls `first_call`, `first_call + 1`, ...; its queries follow on.

    A frame without commands and queries asks only for a sign of life: an empty `NodeFrame` answers it.
    """

    protocol_version: int = PROTOCOL_VERSION
    group: GroupId = GroupId(0)
    cluster_id: ClusterId = ClusterId(0)
    """0: any cluster."""
    commands: bytes = b""
    """A MessagePack array of `Command`s: what an entry's payload holds. Empty: none."""
    queries: bytes = b""
    """A MessagePack array of `Query`s. Empty: none."""
    first_call: int = 0


class NodeFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What a node sends back, in any order and any grouping."""

    group: GroupId = GroupId(0)
    replies: bytes = b""
    """A MessagePack array of `Run`s. Empty: none."""
    applied: Index = 0
    """Every answer in this frame reflects the group's log up to here at least."""
    leader: str = ""
    """Client address of the leader when another node leads; empty: this one does, or none is known."""
    cluster_id: ClusterId = ClusterId(0)
    """The node's; 0: it does not say."""


def encode_client_frame(frame: ClientFrame) -> bytes:
    """The bytes of pb.ClientFrame."""
    out = bytearray()
    _put_number(out, 1, frame.protocol_version)
    _put_number(out, 2, frame.group)
    _put_number(out, 3, frame.cluster_id)
    _put_bytes(out, 4, frame.commands)
    _put_bytes(out, 5, frame.queries)
    _put_number(out, 6, frame.first_call)
    return bytes(out)


def decode_client_frame(frame: bytes) -> ClientFrame:
    """Read a client's frame; fields it does not know are passed over.

    Raises:
        BadFrame: the bytes are not a pb.ClientFrame.
    """
    version = group = cluster = first = 0
    commands = queries = b""
    for field, value in _fields(frame):
        match field, value:
            case 1, int():
                version = value
            case 2, int():
                group = value
            case 3, int():
                cluster = value
            case 4, bytes():
                commands = value
            case 5, bytes():
                queries = value
            case 6, int():
                first = value
            case 1 | 2 | 3 | 4 | 5 | 6, _:
                raise BadFrame(f"field {field} of a ClientFrame has the wrong wire type")
            case _:
                pass
    return ClientFrame(
        protocol_version=version,
        group=GroupId(group),
        cluster_id=ClusterId(cluster),
        commands=commands,
        queries=queries,
        first_call=first,
    )


def encode_node_frame(frame: NodeFrame) -> bytes:
    """The bytes of pb.NodeFrame."""
    out = bytearray()
    _put_bytes(out, 1, frame.replies)
    _put_number(out, 2, frame.applied)
    _put_number(out, 3, frame.group)
    _put_bytes(out, 4, frame.leader.encode())
    _put_number(out, 5, frame.cluster_id)
    return bytes(out)


def decode_node_frame(frame: bytes) -> NodeFrame:
    """Read a node's frame; fields it does not know are passed over.

    Raises:
        BadFrame: the bytes are not a pb.NodeFrame.
    """
    replies = leader = b""
    applied = group = cluster = 0
    for field, value in _fields(frame):
        match field, value:
            case 1, bytes():
                replies = value
            case 2, int():
                applied = value
            case 3, int():
                group = value
            case 4, bytes():
                leader = value
            case 5, int():
                cluster = value
            case 1 | 2 | 3 | 4 | 5, _:
                raise BadFrame(f"field {field} of a NodeFrame has the wrong wire type")
            case _:
                pass
    try:
        named = leader.decode()
    except UnicodeDecodeError as error:
        raise BadFrame(f"the leader's address is no text: {error}") from None
    return NodeFrame(
        group=GroupId(group), replies=replies, applied=applied, leader=named, cluster_id=ClusterId(cluster)
    )


_encode = msgspec.msgpack.Encoder().encode
_commands = msgspec.msgpack.Decoder(list[Command])
_queries = msgspec.msgpack.Decoder(list[Query])
_runs = msgspec.msgpack.Decoder(list[tuple[int, list[Result]]])


def encode_rows(rows: Sequence[Command] | Sequence[Query] | Sequence[tuple[object, ...]]) -> bytes:
    """Commands or queries, as values or as tuples of their fields, for a `ClientFrame`."""
    return _encode(rows) if rows else b""


def decode_commands(rows: bytes) -> list[Command]:
    """The commands of a `ClientFrame`.

    Raises:
        BadFrame: the bytes are not an array of commands.
    """
    return _decode(_commands, rows) if rows else []


def decode_queries(rows: bytes) -> list[Query]:
    """The queries of a `ClientFrame`.

    Raises:
        BadFrame: the bytes are not an array of queries.
    """
    return _decode(_queries, rows) if rows else []


def encode_runs(runs: Sequence[Run]) -> bytes:
    """The answers of a `NodeFrame`."""
    return _encode(runs) if runs else b""


def decode_runs(runs: bytes) -> list[tuple[int, list[Result]]]:
    """The answers of a `NodeFrame`.

    Raises:
        BadFrame: the bytes are not an array of runs.
    """
    return _decode(_runs, runs) if runs else []


def _decode(decoder: msgspec.msgpack.Decoder[list[T]], rows: bytes) -> list[T]:
    try:
        return decoder.decode(rows)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"not the MessagePack array it should be: {error}") from None


def _put_number(out: bytearray, field: int, number: int) -> None:
    if number:
        out.append(field << 3)
        _put_varint(out, number)


def _put_bytes(out: bytearray, field: int, value: bytes) -> None:
    if value:
        out.append(field << 3 | 2)
        _put_varint(out, len(value))
        out += value


def _put_varint(out: bytearray, number: int) -> None:
    assert 0 <= number < 1 << 64, f"{number} is no u64"
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _fields(frame: bytes) -> Iterator[tuple[int, int | bytes | None]]:
    """Field number and value of each field; None for the wire types that no field of ours has."""
    at = 0
    while at < len(frame):
        key, at = _varint(frame, at)
        value: int | bytes | None = None
        match key & 7:
            case 0:
                value, at = _varint(frame, at)
            case 1:
                at += 8
            case 2:
                size, at = _varint(frame, at)
                value = frame[at : at + size]
                at += size
            case 5:
                at += 4
            case wire_type:
                raise BadFrame(f"wire type {wire_type} at byte {at} is not of this protocol")
        if at > len(frame):
            raise BadFrame(f"field {key >> 3} is cut off: it should end at byte {at} of {len(frame)}")
        yield key >> 3, value


def _varint(frame: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(frame) and shift < 70:
        byte = frame[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise BadFrame(f"a number is cut off or too long at byte {at} of {len(frame)}")
