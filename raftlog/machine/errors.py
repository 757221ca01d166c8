"""Declared errors: typed answers that a machine raises instead of returning, and their encoding."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, dataclass_transform, get_type_hints

import msgspec

from raftlog.machine.wire import MachineRefused, encode_result, objection


@dataclass_transform(eq_default=False)
class MachineError(Exception):
    """A refusal that belongs to a machine's vocabulary; its annotated attributes travel to the client.

    Subclasses become dataclasses by themselves. Carry values, not sentences: the fields are replicated.

        class KeyMissing(MachineError):
            key: str

    Raise it before anything is changed: the client may take it that nothing happened. The class's name is its wire
    id, so a rename is a new error to every client that knows the old one.
    """

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(eq=False)(cls)
        cls._fields = tuple(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]

    @property
    def values(self) -> tuple[object, ...]:
        """The fields, in order."""
        return tuple(getattr(self, name) for name in self._fields)

    def __str__(self) -> str:
        return repr(self)


def encode_error(error: MachineError) -> bytes:
    """The body of an ERROR result: an array of the class's name and its fields."""
    return encode_result((type(error).__name__, *error.values))


def error_decoder(errors: Sequence[type[MachineError]], where: str) -> Callable[[bytes], MachineError]:
    """Reads the body of an ERROR result back into one of the declared errors.

    Raises (from the decoder): ValueError for the body of an error that is not among them.
    """
    made = {_shape(error, where): error for error in errors}
    if len({error.__name__ for error in errors}) < len(made):
        raise MachineRefused(
            f"{where} declares two errors of one name: the name is the wire id, so rename one"
        )
    decode = msgspec.msgpack.Decoder(type_of_any(tuple(made)) if made else tuple[()]).decode

    def read(body: bytes) -> MachineError:
        shape = decode(body)
        return made[type(shape)](*msgspec.structs.astuple(shape))

    return read


def type_of_any(alternatives: tuple[Any, ...]) -> Any:
    """The union of types that are known only at run time."""
    union = alternatives[0]
    for alternative in alternatives[1:]:
        union |= alternative
    return union


def _shape(error: type[MachineError], where: str) -> type[msgspec.Struct]:
    if MachineError not in getattr(error, "__mro__", ()):
        raise MachineRefused(
            f"{where} declares {error!r}, which is no subclass of MachineError: derive it from that"
        )
    hints = get_type_hints(error)
    for name in error._fields:
        if (why := objection(hints[name])) is not None:
            raise MachineRefused(f"{where}: field '{name}' of error {error.__name__} {why}")
    fields = [(name, hints[name]) for name in error._fields]
    return msgspec.defstruct(error.__name__, fields, array_like=True, tag=error.__name__, frozen=True)
