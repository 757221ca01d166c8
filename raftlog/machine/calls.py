"""The client's side of a machine: a typed call to bytes, and a result back to a value or an exception."""

from typing import Any, ParamSpec, TypeVar

import msgspec

from raftlog.machine.method import Method, QueryMethod
from raftlog.machine.result import Kind, Refusal, Result
from raftlog.machine.typed import Machine, machine_methods

P = ParamSpec("P")
R = TypeVar("R")


class CallError(Exception):
    """A call that brought neither a value nor a declared error. The subclass says whether it happened."""

    def __init__(self, method: str, refusal: Refusal) -> None:
        super().__init__(f"{method}: {refusal.reason}")
        self.method = method
        self.refusal = refusal


class CallFailed(CallError):
    """It certainly did not happen; it is safe to call again."""


class CallUnknown(CallError):
    """It may or may not have happened."""


class MachineFault(CallError):
    """It happened: the machine broke while running it, on all replicas alike, and what it had changed before stands."""


class BadCommand(CallFailed):
    """It did not happen: the machine has no such method, or the arguments do not fit it."""


class OutOfOrder(CallFailed):
    """It did not happen: a command before it in its ordered session is missing."""

    def __init__(self, method: str, expected: int) -> None:
        super().__init__(method, Refusal(f"its ordered session goes on with sequence {expected}"))
        self.expected = expected


class Skipped(CallFailed):
    """It did not happen: operators voted it out."""


class SessionExpired(CallUnknown):
    """The session is gone. The command was not run now; whether an earlier try of it was is unknown."""


class AnswerGone(CallUnknown):
    """The command was not run now; an earlier try may have been, but its answer is no longer kept."""


class ArgumentsRefused(ValueError):
    """Text that is no list of arguments for the method it was meant for."""


def encode_call(method: Method[..., P, R], *args: P.args, **kwargs: P.kwargs) -> bytes:
    """The body of a command or query: `encode_call(Counter.add, 3)`.

    Raises:
        TypeError: the arguments do not fit, which a type checker would have said.
    """
    return method.call.encode(*args, **kwargs)


def is_query(method: Method[..., P, R]) -> bool:
    """Whether it only reads, and so is asked of one node instead of put into the log."""
    return isinstance(method, QueryMethod)


def version_of(method: Method[..., P, R]) -> int:
    """The `machine_version` to send with calls of it: that of the class which defines it."""
    return method.call.version


def decode_result(method: Method[..., P, R], result: Result) -> R:
    """What the call returned.

    Raises:
        MachineError: the machine raised this declared error; nothing was changed.
        MachineFault: the machine broke while running it.
        CallFailed: it did not happen; the subclass says why.
        CallUnknown: it may or may not have happened; the subclass says why.
        ValueError: the body is not what the method's annotation promises: client and machine do not fit.
    """
    call, kind = method.call, result.kind
    if kind is Kind.OK:
        value: R = call.decode_result(result.body)
        return value
    raise call.decode_error(result.body) if kind is Kind.ERROR else _refused(call.where, result)


def encode_json(machine: type[Machine], name: str, arguments: str) -> bytes:
    """The body of a call whose arguments are a JSON array; bytes are written in base64.

    Raises:
        ArgumentsRefused: no such method, or arguments that do not fit it.
    """
    call = method_named(machine, name).call
    text = arguments.strip() or "[]"
    if not text.startswith("["):
        raise ArgumentsRefused(
            f"{call.where}: the arguments are a JSON array, such as {_example(call.names)}"
        )
    rest = text[1:].lstrip()
    head = msgspec.json.encode(name).decode()
    whole = f"[{head}{rest}" if rest.startswith("]") else f"[{head},{rest}"
    try:
        shape = call.decode_json(whole)
    except (ValueError, RecursionError) as error:
        raise ArgumentsRefused(call.misfit(_parsed(whole), error)) from None
    return msgspec.msgpack.encode(shape)


def result_json(machine: type[Machine], name: str, result: Result) -> str:
    """A result for people and scripts: the value, or `{"error": name, ...fields}` for a declared error, as JSON.

    Raises:
        CallError: as `decode_result` does for what is neither.
    """
    call = method_named(machine, name).call
    match result.kind:
        case Kind.OK:
            return msgspec.json.encode(call.decode_result(result.body), order="deterministic").decode()
        case Kind.ERROR:
            error = call.decode_error(result.body)
            fields = dict(zip(error._fields, error.values, strict=True))
            return msgspec.json.encode({"error": type(error).__name__} | fields).decode()
        case _:
            raise _refused(call.where, result)


def method_named(machine: type[Machine], name: str) -> Method[..., ..., Any]:
    """The command or query that a name or alias stands for.

    Raises:
        ArgumentsRefused: there is none; the sentence lists those there are.
    """
    methods = machine_methods(machine)
    for method in methods.values():
        if name in method.call.ids:
            return method
    raise ArgumentsRefused(f"{machine.name} has no method {name!r}; it has: {', '.join(methods) or 'none'}")


def _parsed(text: str) -> list[object] | None:
    try:
        return msgspec.json.decode(text, type=list[object])
    except (ValueError, RecursionError):
        return None


def _example(names: tuple[str, ...]) -> str:
    return f"[{', '.join(f'<{name}>' for name in names)}]"


def _refused(method: str, result: Result) -> CallError:
    match result.kind:
        case Kind.OK | Kind.ERROR:
            raise AssertionError(f"{method}: a result of kind {result.kind.name} is an answer, not a refusal")
        case Kind.FAULT:
            return MachineFault(
                method, Refusal("the machine broke while running it; the nodes' logs say how")
            )
        case Kind.BAD_COMMAND:
            return BadCommand(method, _read_refusal(result))
        case Kind.SESSION_EXPIRED:
            return SessionExpired(method, Refusal("its session is gone; open a new one"))
        case Kind.ANSWER_GONE:
            return AnswerGone(method, Refusal("its answer is no longer kept"))
        case Kind.OUT_OF_ORDER:
            return OutOfOrder(method, msgspec.msgpack.decode(result.body, type=int))
        case Kind.SKIPPED:
            return Skipped(method, Refusal("operators voted it out"))
        case Kind.FAILED:
            return CallFailed(method, _read_refusal(result))
        case Kind.UNKNOWN:
            return CallUnknown(method, _read_refusal(result))


def _read_refusal(result: Result) -> Refusal:
    return msgspec.msgpack.decode(result.body, type=Refusal)
