"""The wire between nodes: everything survives the round trip, and nothing but BadFrame comes of nonsense."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog.core.digests import Checkpoint
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import Boot, ClusterId, EntryId, GroupId, NodeId, RequestId
from raftlog.core.message import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    NotAMember,
    PreVoteRequest,
    PreVoteResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from raftlog.pb import raft_pb2 as pb
from raftlog.transport.codec import (
    decode_frame,
    decode_packet,
    decode_welcome,
    encode_forward,
    encode_forward_reply,
    encode_hello,
    encode_message,
    encode_packet,
    encode_welcome,
    lane_of,
)
from raftlog.transport.frames import BadFrame, Forward, ForwardReply, Frame
from raftlog.transport.handshake import Hello, Welcome
from raftlog.transport.port import Lane

TOP = 2**64 - 1
u64 = st.one_of(st.integers(0, 300), st.integers(0, TOP))
named = st.integers(1, TOP)
positions = st.builds(EntryId, u64, u64)
checkpoints = st.builds(Checkpoint, u64, u64)
requests = st.builds(RequestId, named.map(Boot), u64)


@st.composite
def appends(draw: st.DrawFn) -> AppendRequest:
    group, count = GroupId(draw(u64)), draw(st.integers(0, 4))
    prev = EntryId(draw(u64), draw(st.integers(0, TOP - count)))
    kind = st.sampled_from(EntryKind)
    entries = tuple(
        Entry(
            group,
            prev.index + 1 + at,
            draw(u64),
            draw(kind),
            draw(u64),
            draw(u64),
            draw(st.binary(max_size=40)),
        )
        for at in range(count)
    )
    return AppendRequest(
        group=group,
        sender=NodeId(draw(named)),
        to=NodeId(draw(named)),
        term=draw(u64),
        prev=prev,
        entries=entries,
        commit=draw(u64),
    )


def _messages() -> st.SearchStrategy[Message]:
    ends = {"group": u64.map(GroupId), "sender": named.map(NodeId), "to": named.map(NodeId), "term": u64}
    return st.one_of(
        appends(),
        st.builds(PreVoteRequest, **ends, last=positions),
        st.builds(PreVoteResponse, **ends, proposed_term=u64, granted=st.booleans()),
        st.builds(VoteRequest, **ends, last=positions, transfer=st.booleans()),
        st.builds(VoteResponse, **ends, granted=st.booleans()),
        st.builds(AppendAccepted, **ends, match=u64),
        st.builds(AppendRejected, **ends, prev=positions, hint=positions),
        st.builds(
            Heartbeat,
            **ends,
            round=u64,
            commit=u64,
            vote_span=u64,
            compare=st.none() | checkpoints,
            decided=st.lists(checkpoints, max_size=3).map(tuple),
        ),
        st.builds(
            HeartbeatAck,
            **ends,
            round=u64,
            applied=u64,
            digest=u64,
            full=st.booleans(),
            checkpoints=st.lists(checkpoints, max_size=3).map(tuple),
            wants=st.none() | u64,
        ),
        st.builds(ReadIndexRequest, **ends, id=requests),
        st.builds(ReadIndexResponse, **ends, id=requests, index=st.none() | u64),
        st.builds(SnapshotOffer, **ends, last=positions),
        st.builds(TimeoutNow, **ends, round=u64),
        st.builds(NotAMember, **ends, decided=positions),
    )


messages = _messages()
forwards = st.builds(Forward, u64.map(GroupId), requests, st.binary(max_size=100))
replies = st.builds(ForwardReply, u64.map(GroupId), requests, st.binary(max_size=100))
frames: st.SearchStrategy[Frame] = st.one_of(messages, forwards, replies)


def encode(frame: Frame) -> bytes:
    match frame:
        case Forward():
            return encode_forward(frame)
        case ForwardReply():
            return encode_forward_reply(frame)
        case _:
            return encode_message(frame)


@given(frames)
def test_every_frame_survives_the_wire(frame: Frame) -> None:
    assert decode_frame(encode(frame)) == frame


@given(st.binary(max_size=200))
def test_random_bytes_are_a_bad_frame_or_a_frame(noise: bytes) -> None:
    for decode in (decode_frame, decode_packet, decode_welcome):
        with contextlib.suppress(BadFrame):
            decode(noise)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    encoded = bytearray(encode(draw(frames)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(encoded) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip" if encoded:
                encoded[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del encoded[at : at + draw(st.integers(1, 8))]
            case _:
                encoded[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(encoded)


@given(mutated())
def test_damaged_frames_decode_to_nothing_that_cannot_be_sent_on(damaged: bytes) -> None:
    with contextlib.suppress(BadFrame):
        frame = decode_frame(damaged)
        assert decode_frame(encode(frame)) == frame


def of_node_1(**kind: object) -> bytes:
    """A frame of node 1 to node 2 that carries the given kind of message, however wrong."""
    return pb.Frame(message=pb.Message(sender=1, to=2, **kind)).SerializeToString()  # type: ignore[arg-type]


def an_append(*entries: pb.Entry) -> bytes:
    prev = pb.EntryId(term=1, index=5)
    return of_node_1(append_request=pb.AppendRequest(prev=prev, entries=entries))


@pytest.mark.parametrize(
    "frame, sentence",
    [
        (b"", r"unknown kind \(empty\)"),
        (b"\xff", "1 bytes are no Frame"),
        (bytes.fromhex("22 00"), r"unknown kind \(field 4\)"),
        (of_node_1(), r"unknown kind \(empty\) from node 1"),
        # A message kind of a later release: field 29, on top of sender and to.
        (
            bytes.fromhex("0a 15 11 0100000000000000 19 0200000000000000 ea01 00"),
            r"unknown kind \(field 29\) from node 1",
        ),
        (pb.Frame(message=pb.Message(to=2)).SerializeToString(), "both ends must be named"),
        (of_node_1(vote_request=pb.VoteRequest()), "VoteRequest comes without `last`"),
        (of_node_1(append_request=pb.AppendRequest()), "AppendRequest comes without `prev`"),
        (of_node_1(append_rejected=pb.AppendRejected(prev=pb.EntryId())), "without `hint`"),
        (of_node_1(read_index_request=pb.ReadIndexRequest()), "without the boot"),
        (pb.Frame(forward=pb.Forward(commands=b"x")).SerializeToString(), "Forward comes without the boot"),
        (an_append(pb.Entry(index=7, kind=1)), "has entry 7 where entry 6 belongs"),
        (
            an_append(pb.Entry(index=6, kind=1), pb.Entry(index=6, kind=1)),
            "has entry 6 where entry 7 belongs",
        ),
        (an_append(pb.Entry(index=6, kind=9)), "entry 6 is of kind 9, which is unknown here"),
        (an_append(pb.Entry(index=6)), "entry 6 is of kind 0"),
    ],
)
def test_a_bad_frame_says_what_is_wrong(frame: bytes, sentence: str) -> None:
    with pytest.raises(BadFrame, match=sentence):
        decode_frame(frame)


def test_entries_cannot_run_past_the_last_index() -> None:
    prev = pb.EntryId(term=1, index=TOP)
    wrapped = of_node_1(append_request=pb.AppendRequest(prev=prev, entries=[pb.Entry(index=0, kind=1)]))
    with pytest.raises(BadFrame, match="has entry 0 where"):
        decode_frame(wrapped)


@given(frames)
def test_appends_and_forwards_share_a_lane_and_nothing_delays_the_rest(frame: Frame) -> None:
    bulk = isinstance(frame, AppendRequest | Forward | ForwardReply)
    assert lane_of(frame) is (Lane.BULK if bulk else Lane.URGENT)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_packets_are_what_protobuf_makes_of_them(bodies: list[bytes]) -> None:
    packet = encode_packet(bodies)
    assert packet == pb.Packet(frames=bodies).SerializeToString()
    assert decode_packet(packet) == tuple(bodies)


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_packets_carry_frames_of_any_size(size: int) -> None:
    assert decode_packet(encode_packet([bytes(size), b"next"])) == (bytes(size), b"next")


@given(
    st.builds(
        Hello,
        st.integers(0, 2**32 - 1),
        u64.map(ClusterId),
        u64.map(NodeId),
        u64.map(NodeId),
        u64.map(Boot),
        st.sampled_from(Lane),
    )
)
def test_a_hello_survives_the_wire(hello: Hello) -> None:
    assert decode_packet(encode_hello(hello)) == hello


@given(st.builds(Welcome, st.integers(0, 2**32 - 1), u64.map(NodeId), u64.map(Boot)))
def test_a_welcome_survives_the_wire(welcome: Welcome) -> None:
    assert decode_welcome(encode_welcome(welcome)) == welcome


@pytest.mark.parametrize(
    "packet, sentence",
    [
        (b"", "neither a hello nor frames"),
        (pb.Packet(hello=pb.Hello(), frames=[b"x"]).SerializeToString(), "a hello comes alone"),
        (pb.Packet(hello=pb.Hello(from_node=0xA1)).SerializeToString(), "node a1 asks for lane 0"),
        (b"\x0a", "1 bytes are no Packet"),
    ],
)
def test_a_bad_packet_says_what_is_wrong(packet: bytes, sentence: str) -> None:
    with pytest.raises(BadFrame, match=sentence):
        decode_packet(packet)


def test_an_entry_of_another_group_is_our_own_mistake() -> None:
    stray = Entry(GroupId(2), 6, 1, EntryKind.NO_OP, 0, 0, b"")
    append = AppendRequest(
        group=GroupId(1),
        sender=NodeId(1),
        to=NodeId(2),
        term=1,
        prev=EntryId(1, 5),
        entries=(stray,),
        commit=0,
    )
    with pytest.raises(AssertionError, match="6@1 of group 2 sent in group 1"):
        encode_message(append)
