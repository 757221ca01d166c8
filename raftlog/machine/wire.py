"""Which types may cross the log: a walk over an annotation that refuses what would not be equal on every replica."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as shapes


class MachineRefused(TypeError):
    """A class that cannot be a machine; the sentence names class, method and parameter, and what to write instead."""


SETS = "is a set, whose order differs between processes: use a sorted tuple, a list or dict[K, None]"
OPAQUE = "has no type of its own: name the exact type, or take bytes and decode them yourself"
RECURSIVE = (
    "contains itself, so decoding could overflow the stack on one replica only: take bytes, or flatten it"
)
BORROWED = "would point into the log's own bytes: use bytes"
CUSTOM = "is no type that can be encoded: use builtins, dataclasses or msgspec.Struct"


def objection(annotation: Any) -> str | None:
    """Why values of this type may not cross the log, or None."""
    try:
        root = shapes.type_info(annotation)
    except (TypeError, NameError) as error:
        return f"cannot be encoded: {error}"
    return _object_to(root, ())


def skips_unknown(annotation: Any) -> bool:
    """Whether decoding passes over unknown fields of an object, which may be nested to any depth."""
    return any(isinstance(node, _OBJECTS) for node in _nodes(shapes.type_info(annotation)))


_OBJECTS = (shapes.StructType, shapes.DataclassType, shapes.TypedDictType, shapes.NamedTupleType)


def _object_to(node: shapes.Type, above: tuple[Any, ...]) -> str | None:
    own = _own_objection(node)
    if own is not None:
        return own
    if isinstance(node, _OBJECTS):
        if node.cls in above:
            return f"({node.cls.__name__}) {RECURSIVE}"
        above = (*above, node.cls)
    return next((found for child in _children(node) if (found := _object_to(child, above))), None)


def _own_objection(node: shapes.Type) -> str | None:
    match node:
        case shapes.SetType() | shapes.FrozenSetType():
            return SETS
        case shapes.AnyType() | shapes.RawType() | shapes.ExtType():
            return OPAQUE
        case shapes.MemoryViewType():
            return BORROWED
        case shapes.CustomType(cls=cls):
            return f"({getattr(cls, '__name__', cls)}) {OPAQUE if cls is object else CUSTOM}"
        case _:
            return None


def _children(node: shapes.Type) -> Iterator[shapes.Type]:
    match node:
        case shapes.Metadata(type=inner):
            yield inner
        case shapes.UnionType(types=inner):
            yield from inner
        case shapes.TupleType(item_types=inner):
            yield from inner
        case shapes.CollectionType(item_type=inner):
            yield inner
        case shapes.DictType(key_type=key, value_type=value):
            yield key
            yield value
        case shapes.StructType() | shapes.DataclassType() | shapes.TypedDictType() | shapes.NamedTupleType():
            yield from (field.type for field in node.fields)
        case _:
            return


def _nodes(node: shapes.Type) -> Iterator[shapes.Type]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


encode_result = msgspec.msgpack.Encoder(order="deterministic").encode
"""Results, errors and unordered state: dict keys are sorted, for their order may differ after a restored snapshot."""
