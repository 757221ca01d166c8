"""The models of what holds a value: registers, a mutex, a key-value store; with the list of all models.

An operation whose answer is an error that changed nothing is recorded as `fail`, and no model sees it.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import ClassVar

import msgspec

from jepsen_like.check.frozen import exact
from jepsen_like.check.gathering import Counter, GrowSet, Queue
from jepsen_like.check.history import UNKNOWN, Operation, Value
from jepsen_like.check.misused import Misused, unknown
from jepsen_like.check.model import ILLEGAL, Illegal, Model, State, exactly


class Register(Model):
    """`write v`, and `read` that answers the value last written."""

    knows: ClassVar[tuple[str, ...]] = ("read", "write")

    def __init__(self, initial: Value = None) -> None:
        self.initial = exact(initial)

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        if f == "read":
            return state if result == state or result is UNKNOWN else ILLEGAL
        if f == "write":
            return argument
        raise unknown(self, f)

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        return f == "read"

    def overwrites(self, f: str, argument: Value, result: Value) -> bool:
        return f == "write"

    def goal(self, f: str, argument: Value, result: Value) -> State | Illegal:
        return result if f == "read" else ILLEGAL

    def landing(self, f: str, argument: Value, result: Value) -> State | Illegal:
        return argument if f == "write" else ILLEGAL

    def leads(self, state: State, goal: State) -> bool:
        return bool(state == goal)

    def arranged(self, operation: Operation) -> Operation:
        return exactly(operation)


class CasRegister(Model):
    """A register with `cas [old, new]`, which answers False where the comparison failed, and anything else if it set.

    A `cas` recorded as `fail` is taken for one that did not happen, not for a comparison that answered no.
    """

    knows: ClassVar[tuple[str, ...]] = ("read", "write", "cas")

    def __init__(self, initial: Value = None) -> None:
        self.initial = exact(initial)

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        if f == "read":
            return state if result == state or result is UNKNOWN else ILLEGAL
        if f == "write":
            return argument
        if f == "cas":
            old, new = argument
            return _compared(state, old, new, result)
        raise unknown(self, f)

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        return f == "read" or (f == "cas" and result is False)

    def overwrites(self, f: str, argument: Value, result: Value) -> bool:
        return f == "write"

    def goal(self, f: str, argument: Value, result: Value) -> State | Illegal:
        return result if f == "read" else ILLEGAL

    def landing(self, f: str, argument: Value, result: Value) -> State | Illegal:
        if f == "write":
            return argument
        return argument[1] if f == "cas" else ILLEGAL

    def leads(self, state: State, goal: State) -> bool:
        return bool(state == goal)

    def arranged(self, operation: Operation) -> Operation:
        return _comparison(operation) if operation.f == "cas" else exactly(operation)


def _compared(state: State, old: Value, new: Value, result: Value) -> State | Illegal:
    if result is UNKNOWN:
        return new if state == old else state
    if result is False:
        return state if state != old else ILLEGAL
    return new if state == old else ILLEGAL


def _comparison(operation: Operation) -> Operation:
    """A `cas` with exact values. What it answers is no value: False stays what it is."""
    if not isinstance(operation.argument, list | tuple) or len(operation.argument) != 2:
        raise Misused(f"cas takes [old, new], not {operation.argument!r}")
    return msgspec.structs.replace(operation, argument=exact(operation.argument))


class Mutex(Model):
    """`acquire` is legal when the lock is free, `release` when it is held. It knows no owner.

    An `acquire` that answers False found the lock held, a `release` that answers False found it free; both did nothing.
    """

    knows: ClassVar[tuple[str, ...]] = ("acquire", "release")

    initial = False

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        if f not in ("acquire", "release"):
            raise unknown(self, f)
        possible = state is (f == "release")
        if result is False:
            return ILLEGAL if possible else state
        return not state if possible else ILLEGAL

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        return result is False


class KeyValue(Model):
    """A map: `get`, `put v`, `append v`, `delete`, `cas [old, new]`, each about one key; keys are checked one by one.

    The key is the event's `key`, or else the first element of its value (`put ["k", "v"]`, Jepsen's way). `initial`
    is the value of a key that nobody wrote: None, or "" where `append` and `get` speak of text from the start. A
    deleted key has it again. `append` joins text, bytes, or lists. `read` and `write` are other names of `get` and
    `put`. A `cas` that answers False compared and did nothing.
    """

    knows: ClassVar[tuple[str, ...]] = ("get", "put", "append", "delete", "cas", "read", "write")

    def __init__(self, initial: Value = None) -> None:
        self.initial = exact(initial)

    def partition(self, operation: Operation) -> Hashable:
        return exact(operation.key)  # type: ignore[no-any-return]  # frozen values are hashable

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        if f == "get" or f == "read":
            return state if result == state or result is UNKNOWN else ILLEGAL
        if f == "put" or f == "write":
            return argument
        if f == "append":
            return argument if state is None else _joined(state, argument)
        if f == "delete":
            return self.initial
        if f == "cas":
            old, new = argument
            return _compared(state, old, new, result)
        raise unknown(self, f)

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        return f in ("get", "read") or (f == "cas" and result is False)

    def overwrites(self, f: str, argument: Value, result: Value) -> bool:
        return f in ("put", "write", "delete")

    def goal(self, f: str, argument: Value, result: Value) -> State | Illegal:
        return result if f in ("get", "read") else ILLEGAL

    def landing(self, f: str, argument: Value, result: Value) -> State | Illegal:
        if f in ("put", "write"):
            return argument
        if f == "delete":
            return self.initial
        return argument[1] if f == "cas" else ILLEGAL

    def leads(self, state: State, goal: State) -> bool:
        """Appending keeps what is there, and makes something of nothing."""
        if state is None or state == goal:
            return True
        if isinstance(goal, str):
            return isinstance(state, str) and goal.startswith(state)
        if isinstance(goal, bytes):
            return isinstance(state, bytes) and goal.startswith(state)
        return isinstance(goal, tuple) and isinstance(state, tuple) and goal[: len(state)] == state

    def arranged(self, operation: Operation) -> Operation:
        if operation.key is None:
            operation = _keyed(operation)
        return _comparison(operation) if operation.f == "cas" else exactly(operation)


def _joined(state: State, argument: Value) -> State | Illegal:
    if type(state) is not type(argument) or not isinstance(state, str | bytes | tuple):
        raise Misused(
            f"cannot append {argument!r} to {state!r}: append joins two texts, two byte strings or two lists"
        )
    return state + argument


def _keyed(operation: Operation) -> Operation:
    """Jepsen's way: the key is the first element of every value, and what remains is the value."""
    if not isinstance(operation.argument, list | tuple) or not operation.argument:
        raise Misused(
            f"a key-value operation needs a key: event field key, or value [key, ...], not {operation}"
        )
    key, *rest = operation.argument
    result = operation.result
    if isinstance(result, list | tuple) and len(result) == 2 and result[0] == key:
        result = result[1]
    return msgspec.structs.replace(operation, key=key, argument=_only(rest), result=result)


def _only(rest: list[Value]) -> Value:
    if not rest:
        return None
    return rest[0] if len(rest) == 1 else tuple(rest)


class MultiRegister(Model):
    """Several registers read and written together: `txn [["r", k, v], ["w", k, v], ...]`, all at one moment.

    The completion's value carries what was read. Registers that nobody wrote hold `initial[k]`, else None. Also
    `read {k: v, ...}` and `write {k: v, ...}`. "read" and "write" serve for "r" and "w".
    """

    knows: ClassVar[tuple[str, ...]] = ("txn", "read", "write")

    def __init__(self, initial: Mapping[Value, Value] | None = None) -> None:
        self.initial = tuple(sorted(_pairs(initial or {}), key=_first_repr))

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        registers = dict(state)
        read = [None] * len(argument) if result is UNKNOWN else [value for _, _, value in result]
        for (kind, key, value), seen in zip(argument, read, strict=True):
            if kind == "w":
                registers[key] = value
            elif result is not UNKNOWN and registers.get(key) != seen:
                return ILLEGAL
        return tuple(sorted(registers.items(), key=_first_repr))

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        return all(kind == "r" for kind, _, _ in argument)

    def arranged(self, operation: Operation) -> Operation:
        argument = _actions(operation.f, operation.argument)
        if operation.result is UNKNOWN:
            return msgspec.structs.replace(operation, argument=argument)
        result = argument if operation.f == "write" else _actions(operation.f, operation.result)
        if operation.f == "read":
            argument = result
        if [each[:2] for each in argument] != [each[:2] for each in result]:
            raise Misused(f"a transaction answers with the actions it was asked for, not {operation}")
        return msgspec.structs.replace(operation, argument=argument, result=result)


_ACTIONS = {"r": "r", "read": "r", "w": "w", "write": "w"}


def _pairs(mapping: Mapping[Value, Value]) -> list[tuple[Value, Value]]:
    return [(exact(key), exact(value)) for key, value in mapping.items()]


def _first_repr(pair: tuple[Value, Value]) -> str:
    return repr(pair[0])


def _actions(f: str, value: Value) -> tuple[tuple[str, Value, Value], ...]:
    """What a transaction does, as (r or w, key, value) in order."""
    if f != "txn" and isinstance(value, Mapping):
        return tuple((_ACTIONS[f], key, each) for key, each in _pairs(value))
    if f != "txn" and value is None:
        return ()
    found = []
    for action in value if isinstance(value, list | tuple) else [value]:
        if (
            not isinstance(action, list | tuple)
            or len(action) not in (2, 3)
            or str(action[0]) not in _ACTIONS
        ):
            raise Misused(f"a transaction is a list of [r, key, value] and [w, key, value], not {value!r}")
        found.append(
            (_ACTIONS[str(action[0])], exact(action[1]), exact(action[2]) if len(action) == 3 else None)
        )
    return tuple(found)


MODELS: Mapping[str, Callable[..., Model]] = {
    "register": Register,
    "cas-register": CasRegister,
    "mutex": Mutex,
    "kv": KeyValue,
    "multi-register": MultiRegister,
    "queue": Queue,
    "counter": Counter,
    "set": GrowSet,
}
"""The models by their names on the command line."""

WITHOUT_INITIAL = frozenset({"mutex", "queue", "set"})
"""Those of `MODELS` that always begin empty; the others are made with the initial value."""
