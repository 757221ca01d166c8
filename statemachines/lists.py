"""Lists that transactions append to and read, several at once and all at one moment."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec

from raftlog import Machine, MachineError, command, query

MAX_ACTIONS = 128
"""Actions of one transaction."""
READ_ELEMENTS = 200_000
"""Elements that one transaction answers at most."""


class Append(msgspec.Struct, frozen=True, array_like=True, tag="append"):
    """Put `element` at the end of the list `key`; on the wire `["append", key, element]`."""

    key: str
    element: int


class Read(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """Ask for the list `key`, with what this transaction appended before; on the wire `["r", key]`."""

    key: str


class Expect(msgspec.Struct, frozen=True, array_like=True, tag="expect"):
    """Go on only if list `key` has `length` elements before the transaction; on the wire `["expect", key, length]`."""

    key: str
    length: int


class Seen(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """The answer to a `Read`; on the wire `["r", key, elements]`."""

    key: str
    elements: tuple[int, ...]


Actions = Annotated[tuple[Append | Read | Expect, ...], msgspec.Meta(min_length=1, max_length=MAX_ACTIONS)]
Keys = Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_ACTIONS)]


class Changed(MachineError):
    """A list does not have the length that the transaction expected; nothing of it was done."""

    key: str
    length: int
    """What it has."""


class AnswerTooLarge(MachineError):
    """The transaction would read more elements than an answer holds; nothing of it was done."""

    elements: int
    limit: int


class Lists(Machine):
    """Lists of integers by key. One that nobody appended to is empty.

    A transaction happens as a whole, at one moment, or not at all: no other command comes between its actions.
    Invariant: no list in `_lists` is empty.
    """

    def __init__(self) -> None:
        self._lists: dict[str, list[int]] = {}

    @command(errors=(Changed, AnswerTooLarge))
    def txn(self, actions: Actions) -> tuple[Append | Expect | Seen, ...]:
        """Do all actions in order: the same actions, the reads with what they saw."""
        self._refuse(actions)
        answers: list[Append | Expect | Seen] = []
        for action in actions:
            match action:
                case Append(key, element):
                    self._lists.setdefault(key, []).append(element)
                    answers.append(action)
                case Read(key):
                    answers.append(Seen(key, self._elements(key)))
                case Expect():
                    answers.append(action)
        return tuple(answers)

    @query(errors=(AnswerTooLarge,))
    def read(self, keys: Keys) -> tuple[tuple[int, ...], ...]:
        """The lists of these keys, all at one moment."""
        _refuse_more(sum(len(self._lists.get(key, ())) for key in keys))
        return tuple(self._elements(key) for key in keys)

    @query
    def length(self, key: str) -> int:
        """How many elements a list has."""
        return len(self._lists.get(key, ()))

    def capture(self) -> object:
        """Copies of all lists, in the order of their keys; elements are shared: about 10 ms per million."""
        return [(key, tuple(self._lists[key])) for key in sorted(self._lists)]

    def write(self, view: Any) -> Iterator[bytes]:
        """Pieces of lists, of 4096 elements at most, in the order of the keys; many short lists share a chunk."""
        pieces: list[tuple[str, tuple[int, ...]]] = []
        size = 0
        for key, elements in view:
            for start in range(0, len(elements), _PIECE):
                piece = elements[start : start + _PIECE]
                pieces.append((key, piece))
                size += len(piece) + len(key) + 1
                if size >= _CHUNK:
                    yield msgspec.msgpack.encode(pieces)
                    pieces, size = [], 0
        yield msgspec.msgpack.encode(pieces)

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`."""
        for chunk in chunks:
            for key, elements in msgspec.msgpack.decode(chunk, type=list[tuple[str, list[int]]]):
                self._lists.setdefault(key, []).extend(elements)

    def _refuse(self, actions: tuple[Append | Read | Expect, ...]) -> None:
        """Whatever can refuse a transaction does so before its first action."""
        appended = elements = 0
        for action in actions:
            match action:
                case Append():
                    appended += 1
                case Read(key):
                    # Not quite what it will see: no more than this, which is enough for a limit.
                    elements += len(self._lists.get(key, ())) + appended
                case Expect(key, length):
                    if (found := len(self._lists.get(key, ()))) != length:
                        raise Changed(key, found)
        _refuse_more(elements)

    def _elements(self, key: str) -> tuple[int, ...]:
        return tuple(self._lists.get(key, ()))


_PIECE = 4096
_CHUNK = 1 << 16


def _refuse_more(elements: int) -> None:
    if elements > READ_ELEMENTS:
        raise AnswerTooLarge(elements, READ_ELEMENTS)
