"""Unary calls and operators' calls: bytes in, bytes out, one sentence for whatever is wrong."""

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest

from raftlog.core.entry import Command
from raftlog.core.ids import Boot, ClusterId, NodeId
from raftlog.core.membership import Member, Membership
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind, Result, refusal
from raftlog.machine.sessions import Sessions
from raftlog.node.retention import Retention
from raftlog.pb import admin_pb2
from raftlog.pb import client_pb2 as pb
from raftlog.service import (
    AdminService,
    AlreadyInitialised,
    CallRefused,
    Code,
    Limits,
    NodeStatus,
    Service,
)
from raftlog.testing.loop import run
from tests.client.cluster import FakeNode, Log, Register, refuse


def ask(
    request: pb.CallRequest | bytes, node: FakeNode | None = None, limits: Limits | None = None
) -> pb.CallReply:
    """Make one call."""
    service = Service(node or FakeNode(Log(), "a"), machine=Register, limits=limits)
    sent = request if isinstance(request, bytes) else request.SerializeToString()
    return pb.CallReply.FromString(run(service.call(sent)))


def test_methods_are_called_by_name_with_json_arguments() -> None:
    node = FakeNode(Log(), "a")
    reply = ask(pb.CallRequest(method="add", arguments_json='["x"]'), node)
    assert (reply.outcome, json.loads(reply.result_json), reply.index) == (pb.OUTCOME_OK, 1, 1)
    reply = ask(pb.CallRequest(method="has", arguments_json='["x"]'), node)
    assert (reply.outcome, json.loads(reply.result_json)) == (pb.OUTCOME_OK, True)
    reply = ask(pb.CallRequest(method="count", level="local"), node)
    assert (reply.outcome, json.loads(reply.result_json)) == (pb.OUTCOME_OK, 1)
    assert len(node.batches) == 1, "a query must not enter the log"


def test_encoded_bodies_are_taken_as_they_are() -> None:
    reply = ask(pb.CallRequest(body=Register.add.call.encode("x")))
    assert (reply.outcome, reply.body, reply.result_json) == (pb.OUTCOME_OK, b"\x01", "")
    reply = ask(pb.CallRequest(body=Register.count.call.encode(), query=True))
    assert (reply.outcome, reply.body) == (pb.OUTCOME_OK, b"\x00")


def test_declared_errors_and_faults_happened() -> None:
    reply = ask(pb.CallRequest(method="add", arguments_json='["taken"]'))
    assert reply.outcome == pb.OUTCOME_ERROR
    assert json.loads(reply.result_json) == {"error": "Taken", "by": "taken"}
    reply = ask(pb.CallRequest(method="add", arguments_json='["break"]'))
    assert reply.outcome == pb.OUTCOME_ERROR
    assert "broke" in reply.reason


KINDS = [
    (refusal(Kind.FAILED, "no leader", leader="b:1"), pb.OUTCOME_FAILED, "no leader"),
    (refusal(Kind.UNKNOWN, "left office"), pb.OUTCOME_UNKNOWN, "left office"),
    (refusal(Kind.BAD_COMMAND, "no such method"), pb.OUTCOME_FAILED, "no such method"),
    (Result(Kind.SESSION_EXPIRED), pb.OUTCOME_UNKNOWN, "session"),
    (Result(Kind.ANSWER_GONE), pb.OUTCOME_UNKNOWN, "no longer kept"),
    (Result(Kind.SKIPPED), pb.OUTCOME_FAILED, "voted"),
    (Result(Kind.OUT_OF_ORDER, b"\x03"), pb.OUTCOME_FAILED, "session"),
]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("result, outcome, said", KINDS, ids=[kind[0].kind.name for kind in KINDS])
def test_every_kind_of_result_has_its_outcome_and_a_sentence(
    result: Result, outcome: int, said: str, named: bool
) -> None:
    node = FakeNode(Log(), "a")
    node.trouble = refuse(result)
    body = Register.add.call.encode("x")
    request = pb.CallRequest(method="add", arguments_json='["x"]') if named else pb.CallRequest(body=body)
    reply = ask(request, node)
    assert reply.outcome == outcome
    assert said in reply.reason


def test_a_read_that_is_refused_did_not_happen() -> None:
    node = FakeNode(Log(), "a")
    node.read_trouble = lambda level: refusal(Kind.FAILED, "cut off")
    reply = ask(pb.CallRequest(method="count"), node)
    assert reply.outcome == pb.OUTCOME_FAILED
    assert "cut off" in reply.reason


@pytest.mark.parametrize(
    "request_, said",
    [
        (b"\xff\xff", "2 bytes are no CallRequest"),
        (pb.CallRequest(), "neither a method nor a body"),
        (pb.CallRequest(method="subtract"), "no method 'subtract'"),
        (pb.CallRequest(method="add", arguments_json="[1]"), "name"),
        (pb.CallRequest(method="add", arguments_json="{"), "JSON array"),
        (pb.CallRequest(method="count", level="eventual"), "'linearizable' or 'local'"),
        (pb.CallRequest(method="count", group=9), "no group 9"),
        (pb.CallRequest(body=b"x" * 101), "101 bytes are over the limit of 100"),
    ],
    ids=["garbage", "empty", "no method", "no type", "no array", "no level", "no group", "too large"],
)
def test_senseless_requests_are_refused_in_one_sentence(request_: pb.CallRequest | bytes, said: str) -> None:
    with pytest.raises(CallRefused) as refused:
        ask(request_, limits=Limits(command_bytes=100))
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_waiting_node_refuses_unary_calls() -> None:
    node = FakeNode(Log(), "a")
    node.cluster_id = ClusterId(0)
    with pytest.raises(CallRefused, match="raftlog init") as refused:
        ask(pb.CallRequest(method="count"), node)
    assert refused.value.code is Code.FAILED_PRECONDITION


def test_a_caller_that_goes_away_changes_nothing_for_the_command() -> None:
    async def main() -> None:
        node = FakeNode(Log(), "a")
        service = Service(node, machine=Register)
        call = asyncio.create_task(
            service.call(pb.CallRequest(method="add", arguments_json='["x"]').SerializeToString())
        )
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(0.1)
        assert node.log.register.applied == ["x"]

    run(main())


def test_a_session_works_through_unary_calls_too() -> None:
    node = FakeNode(Log(), "a")
    open_one = Command(0, 0, 0, 0, 1, encode_call(Sessions.open, False))
    (opened,) = node.log.apply([open_one])
    session = Sessions.open.call.decode_result(opened.body)
    request = pb.CallRequest(client_id=session, sequence=1, method="add", arguments_json='["x"]')
    assert ask(request, node).result_json == ask(request, node).result_json
    assert node.log.register.applied == ["x"]


# Operators.


class Process:
    """A process that waits to be initialised."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.refuse = refuse
        self.membership: Membership | None = None

    def status(self) -> NodeStatus:
        return NodeStatus(
            node_id=NodeId(5),
            boot=Boot(6),
            cluster_id=ClusterId(7),
            name="n1",
            version="0.1.0",
            protocol_version=1,
            pid=8,
            peer_address="p:1",
            client_address="c:1",
            groups=(),
            impairments=("the disk is full",),
            serving=True,
            retention=Retention(),
        )

    async def initialise(self, cluster_id: ClusterId, membership: Membership) -> NodeId:
        if self.refuse is not None:
            raise self.refuse
        self.membership = membership
        return NodeId(5)


def operate(process: Process, call: Callable[[AdminService], object]) -> bytes:
    """Make one operator's call."""

    async def main() -> bytes:
        answer = call(AdminService(process))
        assert asyncio.iscoroutine(answer)
        reply = await answer
        assert isinstance(reply, bytes)
        return reply

    return run(main())


def voters(*ids: int) -> Sequence[admin_pb2.Member]:
    """Members with these ids."""
    return [
        admin_pb2.Member(id=id, name=f"n{id}", peer_address=f"p:{id}", client_address=f"c:{id}") for id in ids
    ]


def test_status_says_who_and_what() -> None:
    reply = admin_pb2.StatusReply.FromString(operate(Process(), lambda service: service.status(b"")))
    assert (reply.node_id, reply.cluster_id, reply.pid, list(reply.impairments)) == (
        5,
        7,
        8,
        ["the disk is full"],
    )


def test_initialise_hands_over_a_sorted_membership() -> None:
    process = Process()
    request = admin_pb2.InitialiseRequest(cluster_id=7, voters=voters(9, 3, 5)).SerializeToString()
    reply = admin_pb2.InitialiseReply.FromString(
        operate(process, lambda service: service.initialise(request))
    )
    assert reply.node_id == 5
    assert process.membership is not None
    assert process.membership.voters == (3, 5, 9)
    assert process.membership.member(NodeId(3)) == Member(NodeId(3), "n3", "p:3", "c:3")


@pytest.mark.parametrize(
    "request_, refuse, code",
    [
        (b"\xff", None, Code.INVALID_ARGUMENT),
        (admin_pb2.InitialiseRequest(voters=voters(1)), None, Code.INVALID_ARGUMENT),
        (admin_pb2.InitialiseRequest(cluster_id=1), None, Code.INVALID_ARGUMENT),
        (admin_pb2.InitialiseRequest(cluster_id=1, voters=voters(1, 1)), None, Code.INVALID_ARGUMENT),
        (
            admin_pb2.InitialiseRequest(cluster_id=1, voters=voters(1)),
            ValueError("not me"),
            Code.INVALID_ARGUMENT,
        ),
        (
            admin_pb2.InitialiseRequest(cluster_id=1, voters=voters(1)),
            AlreadyInitialised("this node belongs to cluster 2"),
            Code.FAILED_PRECONDITION,
        ),
    ],
    ids=["garbage", "no cluster", "nobody", "twice", "not among them", "initialised"],
)
def test_initialise_refuses_by_name(
    request_: admin_pb2.InitialiseRequest | bytes, refuse: Exception | None, code: Code
) -> None:
    sent = request_ if isinstance(request_, bytes) else request_.SerializeToString()
    process = Process(refuse)
    with pytest.raises(CallRefused) as refused:
        operate(process, lambda service: service.initialise(sent))
    assert refused.value.code is code
    assert process.membership is None
