"""State machines as ordinary classes: typed methods become commands and queries, annotated attributes the state."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Union, get_origin, get_type_hints

import msgspec

from raftlog.core.entry import Command
from raftlog.machine import plain
from raftlog.machine.contract import Context, StateMachine
from raftlog.machine.errors import MachineError, encode_error, type_of_any
from raftlog.machine.method import Call, CommandMethod, Method, QueryMethod
from raftlog.machine.result import Kind, Result, refusal
from raftlog.machine.wire import MachineRefused, encode_result, objection

NOT_FITTING = refusal(Kind.BAD_COMMAND, "no such method, or arguments that do not fit it")
"""What applying such a command answers. The text is replicated and digested: it never changes, and names nothing
that could differ between two versions of a library. Whoever proposes asks `check` first, which says what is wrong."""

_OK = Kind.OK
_NONE = Result(_OK, encode_result(None))
_DEEP = 256
"""Bodies below this many bytes cannot nest deep enough to overflow a stack."""
_MARGIN = 150
"""Python frames by which applying may lie deeper in the stack than the check did."""


class _Table:
    """The commands, or the queries, of one class: one decoder for all of them."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.rows: dict[type, Call] = {shape: call for call in calls for shape in call.shapes}
        shapes = tuple(self.rows)
        self.decode = msgspec.msgpack.Decoder(type_of_any(shapes) if shapes else _Nothing).decode
        self.calls = {wire_id: call for call in self.rows.values() for wire_id in call.ids}
        self.skips_unknown = any(call.skips_unknown for call in self.rows.values())


class _Nothing(msgspec.Struct, array_like=True, tag="", forbid_unknown_fields=True):
    """Stands in the place of a table's shapes when there are none: no method has an empty name."""


class Machine(StateMachine):
    """A state machine whose commands and queries are typed methods of an ordinary class.

        class Counter(Machine):
            value: int = 0

            @command
            def add(self, amount: int) -> int:
                self.value += amount
                return self.value

    Attributes annotated in the class body are the state: snapshots save them, all in one encoding. Nobody waits for it
    where another process makes the snapshot, which needs a class that can be imported; elsewhere it is 20 to 120 ms per
    million small values. A machine may override `capture`, `write` and `restore` together.
    A class that would not behave alike on all replicas is refused when it is defined.
    """

    _commands: ClassVar[_Table] = _Table(())
    _queries: ClassVar[_Table] = _Table(())
    _state: ClassVar[type[msgspec.Struct] | None] = None
    _shallow: ClassVar[tuple[str, ...]] = ()
    """Attributes of which a copy is a view."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = cls.__dict__.get("name", cls.__name__)
        methods = machine_methods(cls)
        for method in methods.values():
            if method._call is None:
                method._call = Call(cls, method)
        _refuse_doubles(cls, methods)
        cls._commands = _Table(m.call for m in methods.values() if isinstance(m, CommandMethod))
        cls._queries = _Table(m.call for m in methods.values() if isinstance(m, QueryMethod))
        hints = {} if _writes_itself(cls) else _state_hints(cls)
        cls._state = None if _writes_itself(cls) else _state_shape(cls, hints)
        cls._shallow = tuple(name for name, hint in hints.items() if plain.is_shallow(hint))
        cls.checked_from = _checked_from(cls)

    def apply(self, command: bytes, context: Context) -> Result:
        """See `StateMachine.apply`: decodes the call, runs the method, encodes what it returned or declared."""
        table = self._commands
        try:
            call = table.decode(command)
        except ValueError:
            return NOT_FITTING
        row = table.rows[type(call)]
        try:
            if row.takes_context:
                value = row.run(self, context, *msgspec.structs.astuple(call))
            else:
                value = row.run(self, *msgspec.structs.astuple(call))
        except MachineError as error:
            return _declared(row, error)
        return _NONE if value is None else Result(_OK, encode_result(value))

    def apply_run(
        self, commands: Sequence[Command], context: Context, results: list[Result], end: int
    ) -> None:
        """See `StateMachine.apply_run`: `apply` written out, for a call per command would cost a fifth of the whole."""
        if type(self).apply is not Machine.apply:
            super().apply_run(commands, context, results, end)
            return
        decode, rows, fields, append = (
            self._commands.decode, self._commands.rows, msgspec.structs.astuple, results.append,
        )  # fmt: skip
        for ordinal in range(len(results), end):
            try:
                call = decode(commands[ordinal].body)
            except ValueError:
                append(NOT_FITTING)
                continue
            row = rows[type(call)]
            try:
                if row.takes_context:
                    context.ordinal = ordinal
                    value = row.run(self, context, *fields(call))
                else:
                    match fields(call):  # a call with a star takes twice as long, 170 ns instead of 80
                        case (one,):
                            value = row.run(self, one)
                        case one, two:
                            value = row.run(self, one, two)
                        case one, two, three:
                            value = row.run(self, one, two, three)
                        case some:
                            value = row.run(self, *some)
            except MachineError as error:
                append(_declared(row, error))
                continue
            append(_NONE if value is None else Result(_OK, encode_result(value)))

    def query(self, query: bytes) -> Result:
        """See `StateMachine.query`."""
        table = self._queries
        try:
            call = table.decode(query)
        except ValueError:
            return NOT_FITTING
        row = table.rows[type(call)]
        try:
            value = row.run(self, *msgspec.structs.astuple(call))
        except MachineError as error:
            return _declared(row, error)
        return Result(Kind.OK, encode_result(value))

    def check(self, body: bytes, *, query: bool = False) -> str | None:
        """See `StateMachine.check`: names the method and the argument that do not fit."""
        table = self._queries if query else self._commands
        try:
            if table.skips_unknown and len(body) >= _DEEP:
                _deeper(_MARGIN, table.decode, body)
            else:
                table.decode(body)
        except RecursionError:
            return f"{self.name}: the arguments are nested too deep"
        except ValueError as error:
            return _explain(self.name, "query" if query else "command", table, body, error)
        return None

    def method_of(self, body: bytes) -> str:
        """The name in the body, whether or not there is such a method."""
        wire_id = _wire_id(body)
        return f"{self.name}.{wire_id}" if wire_id is not None else self.name

    @classmethod
    def method_in(cls, body: bytes) -> Method[..., ..., Any] | None:
        """The command or query that a body calls, or None if this class has no such method."""
        wire_id = _wire_id(body)
        return next((each for each in machine_methods(cls).values() if wire_id in each.call.ids), None)

    def capture(self) -> object:
        """The annotated attributes. It costs 20 ms per million items of dicts and lists whose items never change, as
        in `dict[str, int]` (see `plain`); 120 ms where they may.

        Raises:
            MachineRefused: an attribute is set that a snapshot would lose, or one that is declared is not set.
        """
        assert self._state is not None, f"{self.name} overrides write and restore but not capture"
        declared = self._state.__struct_fields__
        lost = sorted(set(vars(self)) - set(declared))
        if lost:
            raise MachineRefused(
                f"{self.name}.{lost[0]} is set but not annotated in the class body, so a snapshot would lose it: "
                "annotate it there, or override capture, write and restore"
            )
        unset = [name for name in declared if not hasattr(self, name)]
        if unset:
            raise MachineRefused(f"{self.name}.{unset[0]} is annotated but never set: set it in __init__")
        # Dicts keep their order: a machine can see it, so a restored replica must see the same.
        return plain.view({name: getattr(self, name) for name in declared}, self._shallow)

    def write(self, view: Any) -> Iterator[bytes]:
        """See `StateMachine.write`."""
        assert isinstance(view, dict), (
            f"the view is {type(view).__name__}: override write together with capture"
        )
        return plain.pieces(view)

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`. Attributes that the snapshot does not know keep their first value."""
        assert self._state is not None, f"{self.name} overrides capture and write but not restore"
        saved = msgspec.msgpack.decode(b"".join(chunks), type=self._state)
        for name in self._state.__struct_fields__:
            value = getattr(saved, name)
            if value is not msgspec.UNSET:
                setattr(self, name, value)


def machine_methods(machine: type[Machine]) -> Mapping[str, Method[..., ..., Any]]:
    """The commands and queries of a class, inherited ones included, by name and in the order of declaration."""
    found: dict[str, Method[..., ..., Any]] = {}
    for cls in reversed(machine.__mro__):
        for name, attribute in vars(cls).items():
            if isinstance(attribute, Method):
                found[name] = attribute
            else:
                found.pop(name, None)
    return found


def _checked_from(cls: type[Machine]) -> int:
    """Arguments that do not fit are answered by applying; only what is passed over in decoding could nest too deep."""
    if cls.check is not Machine.check or cls.apply is not Machine.apply:
        return 0
    return _DEEP if cls._commands.skips_unknown else sys.maxsize


def _declared(row: Call, error: MachineError) -> Result:
    if type(error) not in row.errors:
        raise error
    return Result(Kind.ERROR, encode_error(error))


def _deeper(frames: int, decode: Callable[[bytes], object], body: bytes) -> None:
    # How deep decoding may go depends on the stack below it, which differs from node to node and from call to
    # call: what passes here must pass in `apply`, so it is tried with fewer frames left.
    if frames:
        _deeper(frames - 1, decode, body)
    else:
        decode(body)


def _parts(body: bytes) -> list[object]:
    """A call taken apart without knowing its method; empty if it is none."""
    try:
        return msgspec.msgpack.decode(body, type=list[object])
    except (ValueError, RecursionError):
        return []


def _wire_id(body: bytes) -> str | None:
    match _parts(body):
        case [str(wire_id), *_]:
            return wire_id
        case _:
            return None


def _explain(machine: str, what: str, table: _Table, body: bytes, error: ValueError) -> str:
    wire_id = _wire_id(body)
    call = table.calls.get(wire_id) if wire_id is not None else None
    if call is None:
        known = ", ".join(table.calls) or "none"
        return f"{machine} has no {what} {wire_id!r}; it has: {known}"
    return call.misfit(_parts(body), error)


def _refuse_doubles(cls: type[Machine], methods: Mapping[str, Method[..., ..., Any]]) -> None:
    taken: dict[str, str] = {}
    for name, method in methods.items():
        if hasattr(Machine, name) or name in StateMachine.__annotations__:
            raise MachineRefused(
                f"{cls.__name__}.{name} is part of every machine: give the method another name"
            )
        if method.name != name:
            raise MachineRefused(
                f"{cls.__name__}.{name} is bound under another name than its own, '{method.name}'"
            )
        for wire_id in method.call.ids:
            if wire_id in taken:
                raise MachineRefused(
                    f"'{wire_id}' names both {cls.__name__}.{taken[wire_id]} and {cls.__name__}.{name}: "
                    "a name or alias means one method"
                )
            taken[wire_id] = name


def _writes_itself(cls: type[Machine]) -> bool:
    own = [
        name for name in ("capture", "write", "restore") if getattr(cls, name) is not getattr(Machine, name)
    ]
    if own and len(own) < 3:
        raise MachineRefused(
            f"{cls.__name__} overrides {' and '.join(own)} only: capture, write and restore go together"
        )
    return bool(own)


def _state_hints(cls: type[Machine]) -> dict[str, Any]:
    try:
        hints = get_type_hints(cls, localns=dict(vars(cls)), include_extras=True)
    except NameError as error:
        raise MachineRefused(f"{cls.__name__} has an annotation that cannot be resolved: {error}") from None
    state = {
        name: hint
        for name, hint in hints.items()
        if hint is not ClassVar and get_origin(hint) is not ClassVar
    }
    for name, hint in state.items():
        if (why := objection(hint)) is not None:
            raise MachineRefused(f"attribute '{name}' of {cls.__name__} {why}")
        if getattr(type(getattr(cls, name, None)), "__hash__", None) is None:
            raise MachineRefused(
                f"attribute '{name}' of {cls.__name__} has a mutable default, which all instances share: "
                "set it in __init__"
            )
    return state


def _state_shape(cls: type[Machine], state: Mapping[str, Any]) -> type[msgspec.Struct]:
    fields = [(name, Union[hint, msgspec.UnsetType], msgspec.UNSET) for name, hint in state.items()]  # noqa: UP007
    return msgspec.defstruct(f"{cls.__name__}State", fields, kw_only=True)
