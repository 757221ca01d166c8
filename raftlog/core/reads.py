"""Linearizable reads without a log entry: the leader's ReadIndex protocol (thesis 6.4)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from raftlog.core.ids import Index, NodeId, RequestId


class ReadRequest(msgspec.Struct, frozen=True):
    """A read that waits for proof of leadership; `origin` is the node that asked."""

    origin: NodeId
    id: RequestId


@dataclass(frozen=True, slots=True)
class Round:
    """Reads that share one heartbeat round; they may be answered at `index` once a quorum has confirmed the round."""

    number: int
    index: Index
    requests: tuple[ReadRequest, ...]


class Reads:
    """Reads of one leadership: first waiting, then in a round, then released.

    Invariants: round numbers and indexes increase; a round's index is the commit index when its heartbeat left, so it
    covers every write acknowledged before any of its reads arrived.
    """

    __slots__ = ("_rounds", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[ReadRequest] = []
        self._rounds: deque[Round] = deque()

    @property
    def waiting(self) -> bool:
        """Whether any read needs a new round."""
        return bool(self._waiting)

    def add(self, request: ReadRequest) -> None:
        """Take a read; it joins the next round."""
        self._waiting.append(request)

    def begin(self, number: int, index: Index) -> None:
        """All waiting reads join the round whose heartbeat leaves now."""
        assert not self._rounds or number > self._rounds[-1].number, (
            f"round {number} after {self._rounds[-1]}"
        )
        assert not self._rounds or index >= self._rounds[-1].index, (
            f"commit fell to {index} after {self._rounds[-1]}"
        )
        self._rounds.append(Round(number, index, tuple(self._waiting)))
        self._waiting.clear()

    def confirmed(self, agrees: Callable[[int], bool]) -> list[Round]:
        """Remove and return the rounds that a quorum has confirmed; `agrees` tells it of a round number."""
        done: list[Round] = []
        while self._rounds and agrees(self._rounds[0].number):
            done.append(self._rounds.popleft())
        return done

    def abandon(self) -> list[ReadRequest]:
        """Give up: every read not released, in order of arrival."""
        pending = [request for round_ in self._rounds for request in round_.requests] + self._waiting
        self._rounds.clear()
        self._waiting = []
        return pending
