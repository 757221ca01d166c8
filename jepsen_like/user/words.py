"""Puts commands, answers and states of a user's machine into words."""

from collections.abc import Mapping

import msgspec

from raftlog.machine.calls import CallError, decode_result
from raftlog.machine.contract import StateMachine
from raftlog.machine.errors import MachineError
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import Machine

LOOK = "look for sets, hash(), id(), clocks, random and state outside the instance"
SHOWN = 120
"""Characters of a value."""


def command_text(machine: StateMachine, body: bytes, index: int, ordinal: int) -> str:
    """`Bank.transfer('ann', 'bob', 3) (entry 17, command 0)`."""
    return f"{machine.method_of(body)}{_arguments(machine, body)} (entry {index}, command {ordinal})"


def _arguments(machine: StateMachine, body: bytes) -> str:
    if not isinstance(machine, Machine):
        return ""
    try:
        _, *values = msgspec.msgpack.decode(body, type=list[object])
    except ValueError:
        return ""
    return f"({', '.join(short(value) for value in values)})"


def result_text(machine: StateMachine, body: bytes, noted: bytes) -> str:
    """What a command answered; as much of it as a step keeps."""
    try:
        result = msgspec.msgpack.decode(noted, type=Result)
    except ValueError:
        return "something long"
    if result.kind is Kind.FAULT:
        return f"with {result.body.decode() or 'an exception'}"
    method = machine.method_in(body) if isinstance(machine, Machine) else None
    if method is None:
        return short(result.body)
    try:
        return short(decode_result(method, result))
    except (MachineError, CallError, ValueError) as error:
        return short(error)


def difference(machine: StateMachine, here: bytes, there: bytes) -> str:
    """What differs between two states: the attributes of a typed machine that writes itself, else nothing."""
    if not isinstance(machine, Machine) or type(machine).capture is not Machine.capture:
        return ""
    one, other = (_attributes(state) for state in (here, there))
    for name in one:
        if _exact(one[name]) != _exact(other.get(name)):
            return f": {name} is {short(one[name])} here and {short(other.get(name))} there"
    return ""


def _attributes(state: bytes) -> Mapping[str, object]:
    try:
        return msgspec.msgpack.decode(state, type=dict[str, object], strict=False)
    except ValueError:
        return {}


def _exact(value: object) -> bytes:
    """With the order of dicts, which `==` would pass over."""
    return msgspec.msgpack.encode(value)


def short(value: object) -> str:
    """A value as Python writes it, cut where it gets long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
