"""Values in a form that can be compared and remembered: immutable, hashable, and, if wanted, with true apart from 1."""

from enum import Enum
from typing import Any, Final

_PLAIN: Final = frozenset({int, str, float, bytes, type(None)})


def frozen(value: Any) -> Any:
    """The value in an immutable, hashable form: lists become tuples, sets frozensets, dicts tuples of pairs.

    The pairs of a dict stand in the order of their keys' notation. Equal values become equal forms.
    """
    if isinstance(value, list | tuple):
        return tuple(frozen(each) for each in value)
    if isinstance(value, dict):
        return _in_order((frozen(key), frozen(each)) for key, each in value.items())
    if isinstance(value, set | frozenset):
        return frozenset(frozen(each) for each in value)
    return bytes(value) if isinstance(value, bytearray) else value


class Truth(Enum):
    """What stands for `True` and `False` in exact values: equal to them, and to no number."""

    TRUE = True
    FALSE = False

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __bool__(self) -> bool:
        return self is Truth.TRUE

    def __repr__(self) -> str:
        return repr(self.value)


def exact(value: Any) -> Any:
    """The value frozen, with `Truth` for every bool in it: to Python true is 1, to a client it is not.

    1 and 1.0 stay equal: JSON does not tell them apart.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is bool:
        return Truth.TRUE if value else Truth.FALSE
    if isinstance(value, list | tuple):
        return tuple(map(exact, value))
    if isinstance(value, dict):
        return _in_order((exact(key), exact(each)) for key, each in value.items())
    if isinstance(value, set | frozenset):
        return frozenset(map(exact, value))
    return frozen(value)


def _in_order(pairs: Any) -> tuple[tuple[Any, Any], ...]:
    return tuple(sorted(pairs, key=lambda pair: repr(pair[0])))
