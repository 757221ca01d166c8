"""Views of plain state: dicts and lists of what never changes are copied, and encoded only when they are written.

Copying a dict of a million keys takes 20 ms whatever its values are, encoding it 20 (numbers) to 100 (small structs).
What may change below its container is encoded at once, for a copy of the container would go on changing. Written, it is
one MessagePack map, byte for byte what encoding everything at once gives.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

_PIECE: Final = 1 << 18
_ITEMS: Final = 2_000
"""Of a container, encoded at a time: about a millisecond, during which nothing else runs."""
_FEW: Final = 16
_SOME: Final = 1 << 16
_encode = msgspec.msgpack.Encoder().encode

_SCALARS = (
    shapes.NoneType, shapes.BoolType, shapes.IntType, shapes.FloatType, shapes.StrType, shapes.BytesType,
    shapes.DateTimeType, shapes.DateType, shapes.TimeType, shapes.TimeDeltaType, shapes.UUIDType,
    shapes.DecimalType, shapes.EnumType, shapes.LiteralType,
)  # fmt: skip


def is_shallow(annotation: Any) -> bool:
    """Whether a copy of a value's outermost container shares nothing with it that could change."""
    match shapes.type_info(annotation):
        case shapes.DictType(key_type=key, value_type=value):
            return _is_fixed(key) and _is_fixed(value)
        case shapes.ListType(item_type=item):
            return _is_fixed(item)
        case _:
            return False


def _is_fixed(node: shapes.Type) -> bool:
    match node:
        case shapes.Metadata(type=inner):
            return _is_fixed(inner)
        case shapes.UnionType(types=parts) | shapes.TupleType(item_types=parts):
            return all(map(_is_fixed, parts))
        case shapes.VarTupleType(item_type=item):
            return _is_fixed(item)
        case shapes.StructType(cls=cls, fields=fields):
            return bool(cls.__struct_config__.frozen) and all(_is_fixed(field.type) for field in fields)
        case shapes.NamedTupleType(fields=fields):
            return all(_is_fixed(field.type) for field in fields)
        case _:
            return isinstance(node, _SCALARS)


class Encoded(msgspec.Struct, frozen=True):
    """A value that was encoded when it was captured."""

    content: bytes


def view(state: Mapping[str, Any], shallow: Iterable[str]) -> dict[str, Any]:
    """What `pieces` needs of this state, unchanging."""
    copied = frozenset(shallow)
    return {
        name: value.copy() if name in copied and type(value) in (dict, list) else Encoded(_encode(value))
        for name, value in state.items()
    }


def pieces(taken: Mapping[str, Any]) -> Iterator[bytes]:
    """The state that a view was taken of, encoded, in pieces of about 256 KiB."""
    held: list[bytes] = []
    size = 0
    for part in _parts(taken):
        held.append(part)
        size += len(part)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _parts(taken: Mapping[str, Any]) -> Iterator[bytes]:
    yield _head(len(taken), 0x80, 0xDE)
    for name, value in taken.items():
        yield _encode(name)
        match value:
            case Encoded(content=content):
                for start in range(0, len(content), _PIECE):
                    yield content[start : start + _PIECE]
            case dict():
                yield _head(len(value), 0x80, 0xDE)
                items = iter(value.items())
                while some := dict(islice(items, _ITEMS)):
                    yield _encode(some)[len(_head(len(some), 0x80, 0xDE)) :]
            case _:
                yield _head(len(value), 0x90, 0xDC)
                for start in range(0, len(value), _ITEMS):
                    part = value[start : start + _ITEMS]
                    yield _encode(part)[len(_head(len(part), 0x90, 0xDC)) :]


def _head(count: int, few: int, some: int) -> bytes:
    """How MessagePack begins a map or an array of so many: short, with `some`, or with the number after that."""
    if count < _FEW:
        return bytes((few | count,))
    return struct.pack(">BH", some, count) if count < _SOME else struct.pack(">BI", some + 1, count)
