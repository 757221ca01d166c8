"""The client stream's frames: the hand-written shell and the generated code read each other's bytes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog.core.entry import Command
from raftlog.core.entry import decode_commands as decode_payload
from raftlog.core.ids import ClusterId, GroupId
from raftlog.machine.result import Kind, Result
from raftlog.pb import client_pb2
from raftlog.transport.client_frames import (
    BadFrame,
    ClientFrame,
    NodeFrame,
    Query,
    decode_client_frame,
    decode_commands,
    decode_node_frame,
    decode_queries,
    decode_runs,
    encode_client_frame,
    encode_node_frame,
    encode_rows,
    encode_runs,
)

u64 = st.integers(0, (1 << 64) - 1)


@given(st.integers(0, (1 << 32) - 1), u64, u64, st.binary(), st.binary(), u64)
def test_generated_code_reads_what_a_client_writes_and_back(
    version: int, group: int, cluster: int, commands: bytes, queries: bytes, first: int
) -> None:
    frame = ClientFrame(
        protocol_version=version,
        group=GroupId(group),
        cluster_id=ClusterId(cluster),
        commands=commands,
        queries=queries,
        first_call=first,
    )
    theirs = client_pb2.ClientFrame(
        protocol_version=version,
        group=group,
        cluster_id=cluster,
        commands=commands,
        queries=queries,
        first_call=first,
    )
    assert client_pb2.ClientFrame.FromString(encode_client_frame(frame)) == theirs
    assert decode_client_frame(theirs.SerializeToString()) == frame


@given(u64, st.binary(), u64, u64)
def test_generated_code_reads_what_a_node_writes_and_back(
    group: int, replies: bytes, applied: int, cluster: int
) -> None:
    frame = NodeFrame(group=GroupId(group), replies=replies, applied=applied, cluster_id=ClusterId(cluster))
    theirs = client_pb2.NodeFrame(group=group, replies=replies, applied=applied, cluster_id=cluster)
    assert client_pb2.NodeFrame.FromString(encode_node_frame(frame)) == theirs
    assert decode_node_frame(theirs.SerializeToString()) == frame


@given(st.binary(max_size=64))
def test_garbage_is_refused_or_read_but_never_breaks_the_reader(garbage: bytes) -> None:
    for read in (decode_client_frame, decode_node_frame, decode_commands, decode_queries, decode_runs):
        with contextlib.suppress(BadFrame):
            read(garbage)


@given(st.binary(min_size=1, max_size=40), st.data())
def test_a_frame_that_is_cut_off_is_never_read_as_whole(commands: bytes, data: st.DataObject) -> None:
    whole = encode_client_frame(ClientFrame(commands=commands))
    cut = data.draw(st.integers(3, len(whole) - 1))
    with pytest.raises(BadFrame, match="cut off"):
        decode_client_frame(whole[:cut])


def test_fields_of_a_later_version_are_passed_over() -> None:
    later = b"\x7a\x03abc" + b"\x79" + bytes(8) + b"\x7d" + bytes(4) + b"\x78\x05"
    assert decode_client_frame(encode_client_frame(ClientFrame(first_call=7)) + later).first_call == 7
    assert decode_node_frame(encode_node_frame(NodeFrame(applied=7)) + later).applied == 7


def test_known_fields_of_the_wrong_type_are_refused() -> None:
    with pytest.raises(BadFrame, match="field 4"):
        decode_client_frame(b"\x20\x01")
    with pytest.raises(BadFrame, match="field 1"):
        decode_node_frame(b"\x08\x01")


def test_a_deep_nest_is_refused_without_overflowing_the_stack() -> None:
    with pytest.raises(BadFrame):
        decode_commands(b"\x91" * 100_000)


def test_the_commands_of_a_frame_are_the_bytes_of_an_entry() -> None:
    rows = [(7, 1, 1, 1, 1, b"body"), (7, 2, 1, 1, 1, b"")]
    commands = [Command(*row) for row in rows]
    assert encode_rows(rows) == encode_rows(commands)
    assert list(decode_payload(encode_rows(rows))) == decode_commands(encode_rows(rows)) == commands
    assert decode_queries(encode_rows([(0, 1, 1, b"q")])) == [Query(0, 1, 1, b"q")]


def test_runs_keep_kinds_and_bodies() -> None:
    runs = [(3, [Result(Kind.OK, b"a"), Result(Kind.UNKNOWN, b"b")]), (9, [Result(Kind.ERROR)])]
    assert [(first, list(results)) for first, results in decode_runs(encode_runs(runs))] == runs
