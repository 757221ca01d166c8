"""Nothing that passes between nodes, the log and the machines can be changed by who still holds it."""

from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from raftlog.core.durable import Recovered
from raftlog.core.ready import Proposal, Ready
from raftlog.machine.result import Refusal, Result
from raftlog.transport.frames import Frame

PLAIN = (int, bool, str, bytes, NoneType)


def objection(kind: Any) -> str | None:
    """Why a value of this type could be changed, or None."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return next(filter(None, map(objection, parts)), None)
    if origin is tuple:
        return next(filter(None, (objection(part) for part in parts if part is not Ellipsis)), None)
    kind = getattr(kind, "__supertype__", kind)
    if kind in PLAIN or (isinstance(kind, type) and issubclass(kind, Enum)):
        return None
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return f"{kind} is no value"
    if not kind.__struct_config__.frozen:
        return f"{kind.__name__} is not frozen"
    found = (objection(hint) for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__)
    return next((f"{kind.__name__}: {reason}" for reason in found if reason), None)


@pytest.mark.parametrize("kind", [Frame, Ready, Proposal, Recovered, Result, Refusal], ids=str)
def test_p9_every_value_that_crosses_a_boundary_is_frozen_to_the_bottom(kind: Any) -> None:
    assert objection(kind) is None


def test_a_type_that_can_change_is_found() -> None:
    class Loose(msgspec.Struct, frozen=True):
        inside: tuple[list[int], ...]

    assert objection(Loose) == "Loose: list[int] is no value"
    assert objection(bytearray) is not None
