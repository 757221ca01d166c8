"""Unary calls: one protobuf request with JSON arguments, for tools such as grpcurl."""

import asyncio
from collections.abc import Sequence
from enum import Enum

import msgspec
from google.protobuf.message import DecodeError

from raftlog.core.entry import Command
from raftlog.core.ids import GroupId
from raftlog.machine.calls import (
    ArgumentsRefused,
    CallError,
    CallFailed,
    CallUnknown,
    encode_json,
    is_query,
    method_named,
    result_json,
)
from raftlog.machine.result import Kind, Refusal, Result
from raftlog.machine.typed import Machine
from raftlog.pb import client_pb2 as pb
from raftlog.service.answers import too_large
from raftlog.service.limits import Limits
from raftlog.service.requests import Requests
from raftlog.transport.client_frames import Level

_USER_MACHINE = 1
_LEVELS = {"": Level.LINEARIZABLE} | {level.name.lower(): level for level in Level}


class Code(Enum):
    """The gRPC status that a refusal is given as."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    NOT_FOUND = "NOT_FOUND"


class CallRefused(Exception):
    """A unary request that is not carried out. The text is one sentence for people."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


async def answer_call(
    requests: Requests, machine: type[Machine] | None, limits: Limits, request: bytes
) -> bytes:
    """See `Service.call`."""
    asked = _decode(request)
    if not requests.cluster_id:
        raise CallRefused(Code.FAILED_PRECONDITION, "this node has not been initialised: run `raftlog init`")
    if not requests.serves(GroupId(asked.group)):
        raise CallRefused(Code.INVALID_ARGUMENT, f"this node has no group {asked.group}")
    query, body = _body(machine, asked)
    if len(body) > limits.command_bytes:
        size, limit = len(body), limits.command_bytes
        raise CallRefused(Code.INVALID_ARGUMENT, f"{size} bytes are over the limit of {limit} for one call")
    version = machine.version if machine is not None and asked.method else 1
    result = await (_ask(requests, asked, body) if query else _execute(requests, asked, version, body))
    if len(result.body) > limits.frame_bytes:
        kind = Kind.FAILED if query else Kind.UNKNOWN
        result = too_large(kind, len(result.body), limits.frame_bytes)
    reply = _reply(machine, asked, result)
    reply.index = requests.applied(GroupId(asked.group))
    return reply.SerializeToString()


def _decode(request: bytes) -> pb.CallRequest:
    try:
        return pb.CallRequest.FromString(request)
    except DecodeError:
        raise CallRefused(Code.INVALID_ARGUMENT, f"these {len(request)} bytes are no CallRequest") from None


def _body(machine: type[Machine] | None, asked: pb.CallRequest) -> tuple[bool, bytes]:
    """Whether it is a query, and its encoded body."""
    if not asked.method:
        if not asked.body:
            raise CallRefused(
                Code.INVALID_ARGUMENT, "the request names neither a method nor a body: give one"
            )
        return asked.query, asked.body
    if machine is None:
        raise CallRefused(
            Code.INVALID_ARGUMENT, "this node's machine has no named methods: send an encoded body instead"
        )
    try:
        return is_query(method_named(machine, asked.method)), encode_json(
            machine, asked.method, asked.arguments_json
        )
    except ArgumentsRefused as error:
        raise CallRefused(Code.INVALID_ARGUMENT, str(error)) from None


async def _execute(requests: Requests, asked: pb.CallRequest, version: int, body: bytes) -> Result:
    group = GroupId(asked.group)
    below = min(asked.answered_below, asked.sequence)
    command = Command(asked.client_id, asked.sequence, below, _USER_MACHINE, version, body)
    refused = requests.check(group, command)
    if refused is not None:
        return Result(Kind.FAILED, refused.body)
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def done(results: Sequence[Result]) -> None:
        if not answer.done():
            answer.set_result(results[0])

    requests.submit(group, [command], done)
    return await answer


async def _ask(requests: Requests, asked: pb.CallRequest, body: bytes) -> Result:
    group = GroupId(asked.group)
    level = _LEVELS.get(asked.level)
    if level is None:
        known = " or ".join(repr(name) for name in _LEVELS if name)
        raise CallRefused(Code.INVALID_ARGUMENT, f"level {asked.level!r} is unknown: write {known}")
    released: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()

    def done(refused: Result | None) -> None:
        if not released.done():
            released.set_result(refused)

    requests.read(group, level, done)
    refused = await released
    return requests.query(group, _USER_MACHINE, body) if refused is None else refused


def _reply(machine: type[Machine] | None, asked: pb.CallRequest, result: Result) -> pb.CallReply:
    if asked.method and machine is not None:
        return _named_reply(machine, asked.method, result)
    match result.kind:
        case Kind.OK:
            return pb.CallReply(outcome=pb.OUTCOME_OK, body=result.body)
        case Kind.ERROR:
            return pb.CallReply(outcome=pb.OUTCOME_ERROR, body=result.body)
        case Kind.FAULT:
            reason = "the machine broke while running it; the nodes' logs say how"
            return pb.CallReply(outcome=pb.OUTCOME_ERROR, reason=reason)
        case Kind.SESSION_EXPIRED:
            return pb.CallReply(outcome=pb.OUTCOME_UNKNOWN, reason="its session is gone; open a new one")
        case Kind.ANSWER_GONE:
            return pb.CallReply(outcome=pb.OUTCOME_UNKNOWN, reason="its answer is no longer kept")
        case Kind.OUT_OF_ORDER:
            reason = "a command before it in its ordered session is missing"
            return pb.CallReply(outcome=pb.OUTCOME_FAILED, reason=reason)
        case Kind.SKIPPED:
            return pb.CallReply(outcome=pb.OUTCOME_FAILED, reason="operators voted it out")
        case Kind.BAD_COMMAND | Kind.FAILED:
            return pb.CallReply(outcome=pb.OUTCOME_FAILED, reason=_reason(result))
        case Kind.UNKNOWN:
            return pb.CallReply(outcome=pb.OUTCOME_UNKNOWN, reason=_reason(result))


def _named_reply(machine: type[Machine], method: str, result: Result) -> pb.CallReply:
    try:
        text = result_json(machine, method, result)
    except CallUnknown as error:
        return pb.CallReply(outcome=pb.OUTCOME_UNKNOWN, reason=str(error))
    except CallFailed as error:
        return pb.CallReply(outcome=pb.OUTCOME_FAILED, reason=str(error))
    except CallError as error:
        return pb.CallReply(outcome=pb.OUTCOME_ERROR, reason=str(error))
    outcome = pb.OUTCOME_OK if result.kind is Kind.OK else pb.OUTCOME_ERROR
    return pb.CallReply(outcome=outcome, result_json=text, body=result.body)


def _reason(result: Result) -> str:
    said = msgspec.msgpack.decode(result.body, type=Refusal)
    return said.reason if said.leader is None else f"{said.reason} (ask {said.leader})"
