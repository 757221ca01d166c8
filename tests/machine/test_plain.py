"""Views of plain state: unchanging, and written as encoding everything at once writes it."""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog import Machine, command
from raftlog.core.ids import META_GROUP
from raftlog.machine.contract import Context
from raftlog.machine.plain import is_shallow, pieces, view


class Fixed(msgspec.Struct, frozen=True):
    name: str
    at: tuple[int, ...]


class Loose(msgspec.Struct):
    name: str


class FixedOutside(msgspec.Struct, frozen=True):
    inside: list[int]


class Pair(NamedTuple):
    one: int
    two: bytes | None


SHALLOW: list[Any] = [
    dict[str, int],
    dict[str, Fixed],
    list[Pair],
    dict[bytes, tuple[int, str | None]],
    dict[str, Annotated[int, msgspec.Meta(ge=0)]],
    list[Literal["a", "b"]],
]
DEEP: list[Any] = [
    dict[str, list[int]],
    dict[str, Loose],
    list[FixedOutside],
    list[dict[str, int]],
    dict[str, bytearray],
    int,
]


@pytest.mark.parametrize("annotation", SHALLOW, ids=str)
def test_a_copy_is_a_view_of_what_never_changes(annotation: Any) -> None:
    assert is_shallow(annotation)


@pytest.mark.parametrize("annotation", DEEP, ids=str)
def test_a_copy_is_no_view_of_what_may(annotation: Any) -> None:
    assert not is_shallow(annotation)


@given(
    st.integers(0, 70_000),
    st.sampled_from([0, 1, 15, 16, 17, 1_999, 2_000, 2_001, 65_535, 65_536, 65_537]),
    st.dictionaries(st.text(), st.text()),
)
def test_it_is_written_as_encoding_everything_writes_it(free: int, edge: int, words: dict[str, str]) -> None:
    state = {
        "words": words,
        "few": list(range(edge)),
        "many": dict.fromkeys(range(free), b"x"),
        "deep": [[1], {}],
    }
    taken = view(state, ["words", "few", "many"])
    assert b"".join(pieces(taken)) == msgspec.msgpack.encode(state)


def test_pieces_are_neither_large_nor_tiny() -> None:
    state = {"keys": {f"key {n}": n for n in range(200_000)}, "text": [["x" * 1_000_000]]}
    sizes = [len(piece) for piece in pieces(view(state, ["keys"]))]
    assert max(sizes) < 1 << 20
    assert min(sizes[:-1]) >= 1 << 18


class Both(Machine):
    flat: dict[str, int]
    deep: dict[str, list[int]]

    def __init__(self) -> None:
        self.flat = {}
        self.deep = {}

    @command
    def add(self, name: str, value: int) -> None:
        """Into both."""
        self.flat[name] = value
        self.deep.setdefault(name, []).append(value)


def test_a_view_does_not_change_with_the_machine() -> None:
    machine, context = Both(), Context(group=META_GROUP)
    machine.apply(b"\x93\xa3add\xa1a\x01", context)
    taken = machine.capture()
    before = b"".join(machine.write(taken))
    machine.apply(b"\x93\xa3add\xa1a\x02", context)
    machine.apply(b"\x93\xa3add\xa1b\x03", context)
    assert b"".join(machine.write(taken)) == before
    again = Both()
    again.restore([before], 1)
    assert (again.flat, again.deep) == ({"a": 1}, {"a": [1]})
