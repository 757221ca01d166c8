"""One command or query of a machine: a method of a class, and the encoding of its calls and results."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints, overload

import msgspec

from raftlog.machine.contract import Context, StateMachine
from raftlog.machine.errors import MachineError, error_decoder, type_of_any
from raftlog.machine.wire import MachineRefused, objection, skips_unknown

Direct = ParamSpec("Direct")
"""The parameters of a method as written (without self): how code in the same process calls it."""
Wire = ParamSpec("Wire")
"""The parameters that a client gives: `Direct` without the context."""
P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
"""What a method returns: where a call of it may return an `object`, one that returns an `int` will do."""


class Method(Generic[Direct, Wire, R_co]):
    """One command or query of a machine: calls straight through on an instance, names the call on the class.

    `Counter().add(3)` runs the method; `Counter.add` is what clients hand to `encode_call` and `client.call`.
    """

    def __init__(
        self,
        function: Callable[..., R_co],
        *,
        aliases: tuple[str, ...],
        errors: tuple[type[MachineError], ...],
    ) -> None:
        self.function = function
        self.name: str = function.__name__
        """The wire id."""
        self.aliases = aliases
        """Wire ids of earlier versions that mean this method."""
        self.errors = errors
        self.__doc__ = function.__doc__
        self._call: Call | None = None

    @overload
    def __get__(self, instance: None, owner: type) -> "Method[Direct, Wire, R_co]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[Direct, R_co]: ...
    def __get__(
        self, instance: object | None, owner: type
    ) -> "Method[Direct, Wire, R_co] | Callable[Direct, R_co]":
        return self if instance is None else MethodType(self.function, instance)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.function.__qualname__}>"

    @property
    def call(self) -> "Call":
        """How calls of it are encoded; known once its class is complete."""
        if self._call is None:
            raise MachineRefused(f"{self.function.__qualname__} does not belong to a subclass of Machine")
        return self._call


class CommandMethod(Method[Direct, Wire, R_co]):
    """A method that may change the state; it goes through the log."""


class QueryMethod(Method[Direct, Wire, R_co]):
    """A method that only reads; it runs on one node."""


class _CommandMaker:
    """What `@command(...)` returns."""

    def __init__(self, aliases: tuple[str, ...], errors: tuple[type[MachineError], ...]) -> None:
        self._aliases = aliases
        self._errors = errors

    @overload
    def __call__(
        self, function: Callable[Concatenate[S, Context, P], R]
    ) -> CommandMethod[Concatenate[Context, P], P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[S, P], R]) -> CommandMethod[P, P, R]: ...
    def __call__(self, function: Callable[..., R]) -> CommandMethod[..., ..., R]:
        return CommandMethod(function, aliases=self._aliases, errors=self._errors)


class _QueryMaker:
    """What `@query(...)` returns."""

    def __init__(self, aliases: tuple[str, ...], errors: tuple[type[MachineError], ...]) -> None:
        self._aliases = aliases
        self._errors = errors

    def __call__(self, function: Callable[Concatenate[S, P], R]) -> QueryMethod[P, P, R]:
        return QueryMethod(function, aliases=self._aliases, errors=self._errors)


@overload
def command(
    function: Callable[Concatenate[S, Context, P], R], /
) -> CommandMethod[Concatenate[Context, P], P, R]: ...
@overload
def command(function: Callable[Concatenate[S, P], R], /) -> CommandMethod[P, P, R]: ...
@overload
def command(*, aliases: Iterable[str] = (), errors: Iterable[type[MachineError]] = ()) -> _CommandMaker: ...
def command(
    function: Callable[..., Any] | None = None,
    /,
    *,
    aliases: Iterable[str] = (),
    errors: Iterable[type[MachineError]] = (),
) -> Any:
    """Makes a method a command: replicated, applied once on every node, in one order.

    Its first parameter may be `context: Context`, which clients do not give. `errors` are the declared errors it may
    raise; `aliases` are the names it had before.
    """
    maker = _CommandMaker(tuple(aliases), tuple(errors))
    return maker if function is None else maker(function)


@overload
def query(function: Callable[Concatenate[S, P], R], /) -> QueryMethod[P, P, R]: ...
@overload
def query(*, aliases: Iterable[str] = (), errors: Iterable[type[MachineError]] = ()) -> _QueryMaker: ...
def query(
    function: Callable[..., Any] | None = None,
    /,
    *,
    aliases: Iterable[str] = (),
    errors: Iterable[type[MachineError]] = (),
) -> Any:
    """Makes a method a query: it reads the state of one node and must change nothing."""
    maker = _QueryMaker(tuple(aliases), tuple(errors))
    return maker if function is None else maker(function)


class Call:
    """The encoding of one method's calls: an array of the wire id and the arguments in the order of declaration."""

    def __init__(self, owner: type[StateMachine], method: Method[..., ..., Any]) -> None:
        self.where = f"{owner.__name__}.{method.name}"
        self.version: int = owner.version
        """The version of the vocabulary that this form of the call belongs to."""
        self.is_query = isinstance(method, QueryMethod)
        function = method.function
        parameters = list(inspect.signature(function).parameters.values())[1:]
        hints = _hints(owner, function, self.where)
        self.takes_context = bool(parameters) and hints.get(parameters[0].name) is Context
        if self.takes_context:
            if isinstance(method, QueryMethod):
                raise MachineRefused(
                    f"{self.where} is a query and takes a context: only commands run at a log time"
                )
            parameters = parameters[1:]
        for parameter in parameters:
            _accept(self.where, parameter, hints)
        self.result_type = _result_type(self.where, function, hints)
        self.names = tuple(parameter.name for parameter in parameters)
        self.required = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
        self.ids = (method.name, *method.aliases)
        if len(set(self.ids)) < len(self.ids):
            raise MachineRefused(f"{self.where} has the same name or alias twice: {', '.join(self.ids)}")
        fields = [_field(parameter, hints) for parameter in parameters]
        self.shapes: tuple[type[msgspec.Struct], ...] = tuple(
            msgspec.defstruct(
                wire_id, fields, array_like=True, tag=wire_id, frozen=True, forbid_unknown_fields=True
            )
            for wire_id in self.ids
        )
        self.skips_unknown = any(skips_unknown(hints[name]) for name in self.names)
        self.run = _positional(function, parameters)
        self.errors = method.errors
        self.decode_result = msgspec.msgpack.Decoder(self.result_type).decode
        self.decode_error = error_decoder(method.errors, self.where)
        self.decode_json = msgspec.json.Decoder(type_of_any(self.shapes)).decode

    def misfit(self, parts: Sequence[object] | None, error: Exception) -> str:
        """Why a call did not decode, in the words of its author: `parts` is the whole array, where there is one."""
        signature = f"{self.where}({', '.join(self.names)})"
        given = len(parts) - 1 if parts else len(self.names)
        if not self.required <= given <= len(self.names):
            return f"{signature} got {given} argument{'s' if given != 1 else ''}"
        said = re.sub(r" \(byte \d+\)", "", str(error))  # a count in bytes that the caller has never seen
        for position, name in enumerate(self.names, 1):
            said = said.replace(f"`$[{position}]", f"`{name}")
        return f"{signature}: {said}"

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        """The body of a call.

        Raises:
            TypeError: arguments are missing, too many or of a type that has no encoding.
        """
        try:
            return msgspec.msgpack.encode(self.shapes[0](*args, **kwargs))
        except (TypeError, OverflowError) as error:
            raise TypeError(f"{self.where}: {error}") from None


def _hints(owner: type, function: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, localns=dict(vars(owner)), include_extras=True)
    except NameError as error:
        raise MachineRefused(f"{where} has an annotation that cannot be resolved: {error}") from None


def _accept(where: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> None:
    said = f"parameter '{parameter.name}' of {where}"
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise MachineRefused(f"{said} takes any number of arguments: name each one, or take a list or dict")
    if parameter.name not in hints:
        raise MachineRefused(f"{said} has no annotation: its type is its encoding")
    if hints[parameter.name] is Context:
        raise MachineRefused(f"{said} is the context, which must be the first parameter after self")
    if (why := objection(hints[parameter.name])) is not None:
        raise MachineRefused(f"{said} {why}")
    default = parameter.default
    if default is not inspect.Parameter.empty and getattr(type(default), "__hash__", None) is None:
        raise MachineRefused(
            f"{said} has a mutable default, which would be shared state: use None or a tuple"
        )


def _result_type(where: str, function: Callable[..., Any], hints: Mapping[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise MachineRefused(f"{where} is a coroutine or generator: a method of a machine returns at once")
    if "return" not in hints:
        raise MachineRefused(
            f"the result of {where} has no annotation: its type is its encoding (None for nothing)"
        )
    if (why := objection(hints["return"])) is not None:
        raise MachineRefused(f"the result of {where} {why}")
    return hints["return"]


def _field(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name, hints[parameter.name]
    return parameter.name, hints[parameter.name], parameter.default


def _positional(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    """The function with its keyword-only parameters taken by position, as they come off the wire."""
    named = tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
    if not named:
        return function
    count = len(named)

    def run(*args: Any) -> Any:
        return function(*args[:-count], **dict(zip(named, args[-count:], strict=True)))

    return run
