"""Calls that have no outcome yet, alone or in bulk."""

import asyncio
from collections.abc import Callable
from enum import Enum

import msgspec

from raftlog.machine.result import Kind, Refusal, Result

COMMAND = -1
"""In place of a query's level."""


class Place(Enum):
    """Where a call is."""

    QUEUED = 1
    """Waits to be sent, for the first time or again."""
    SENT = 2
    """On the present link, unanswered."""
    RESTING = 3
    """Was refused for now; goes back to the queue by and by."""
    DONE = 4
    """Has its outcome, or nobody wants it any more."""


_DONE = Place.DONE


class Pending(msgspec.Struct, eq=False, weakref=False):
    """One call.

    Invariants: it gets at most one outcome, on entering `DONE`; `sequence` is 0 or was taken from session `client_id`;
    while `uncertain` it is sent again only with the same sequence in the same session.
    """

    body: bytes
    level: int
    """A query's level, or `COMMAND`."""
    machine: int
    version: int
    deadline: float
    """On the loop's clock."""
    size: int
    answer: asyncio.Future[Result] | None = None
    bulk: "Bulk | None" = None
    position: int = 0
    """In its bulk."""
    arrived: Callable[[Result], None] | None = None
    """The client's own calls go here instead."""
    place: Place = Place.QUEUED
    client_id: int = 0
    sequence: int = 0
    uncertain: bool = False
    """An earlier try may have happened."""
    tries: int = 0
    """Refusals for now in a row."""
    said: Refusal | None = None
    """The last of them."""
    tick: int = 0

    def settle(self, result: Result) -> None:
        """Hand over the outcome; afterwards only its place in a window is left of it."""
        assert self.place is not _DONE, f"a second outcome: {result.kind.name}"
        self.place = _DONE
        self.body = b""
        answer = self.answer
        if answer is not None:
            if not answer.done():  # its caller may have been cancelled in this pass of the loop
                answer.set_result(result)
        elif self.bulk is not None:
            self.bulk.put(self.position, result)
        elif self.arrived is not None:
            self.arrived(result)


class Bulk:
    """Calls that share a deadline and one future."""

    __slots__ = ("answer", "calls", "deadline", "missing", "results", "tick")

    def __init__(self, count: int, deadline: float, answer: asyncio.Future[list[Result]]) -> None:
        self.calls: list[Pending] = []
        self.deadline = deadline
        self.answer = answer
        self.results: list[Result] = [_NO_RESULT] * count
        self.missing = count
        self.tick = 0

    def put(self, position: int, result: Result) -> None:
        """The outcome of one of them."""
        self.results[position] = result
        self.missing -= 1
        if not self.missing and not self.answer.done():
            self.answer.set_result(self.results)


_NO_RESULT = Result(Kind.UNKNOWN)
