"""A set that only grows, and remembers in which order it did."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec

from raftlog import Machine, MachineError, command, query

MAX_ELEMENT = 1024
"""Bytes of an element in UTF-8."""
READ_BYTES = 4 << 20
"""Bytes that one `read` answers at most; a larger set is read in pages, with `since`."""

Position = Annotated[int, msgspec.Meta(ge=0)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class ElementTooLong(MachineError):
    """The element has more bytes in UTF-8 than one may have; nothing was changed."""

    size: int
    limit: int


class TooLarge(MachineError):
    """The set is too large for one answer: read it in pages, with `since`."""

    elements: int


class GrowSet(Machine):
    """A set of text. Elements are added and never removed, so the place at which one came is its own for ever.

    Invariants: `_order` holds each element once, in the order of adding; `_places` gives each its place in it; `_size`
    is at least what all of them take in an answer.
    """

    def __init__(self) -> None:
        self._order: list[str] = []
        self._places: dict[str, int] = {}
        self._size = 0

    @command(errors=(ElementTooLong,))
    def add(self, element: str) -> bool:
        """Add an element: whether it is new."""
        if (size := len(element.encode())) > MAX_ELEMENT:
            raise ElementTooLong(size, MAX_ELEMENT)
        if element in self._places:
            return False
        self._take(element)
        return True

    @query(errors=(TooLarge,))
    def read(self) -> tuple[str, ...]:
        """All elements, in the order in which they were added."""
        if self._size > READ_BYTES:
            raise TooLarge(len(self._order))
        return tuple(self._order)

    @query
    def since(self, position: Position, limit: Limit = 1000) -> tuple[str, ...]:
        """The elements that were added as number `position` (from 0) and after; fewer than `limit` only at the end.

        Whoever remembers how many it has seen gets what is new, and nothing twice.
        """
        return tuple(self._order[position : position + limit])

    @query
    def contains(self, element: str) -> bool:
        """Whether it was added."""
        return element in self._places

    @query
    def count(self) -> int:
        """How many elements there are."""
        return len(self._order)

    def capture(self) -> object:
        """A copy of the order, sharing the elements: about 5 ms per million."""
        return self._order.copy()

    def write(self, view: Any) -> Iterator[bytes]:
        """The elements in the order of adding, 4096 to a chunk."""
        for start in range(0, len(view), _CHUNK):
            yield msgspec.msgpack.encode(view[start : start + _CHUNK])

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`."""
        for chunk in chunks:
            for element in msgspec.msgpack.decode(chunk, type=list[str]):
                self._take(element)

    def _take(self, element: str) -> None:
        self._places[element] = len(self._order)
        self._order.append(element)
        self._size += len(element.encode()) + 5  # and at most so much to say how long it is


_CHUNK = 4096
