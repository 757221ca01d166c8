"""Linearizable reads on their way: waiting for an index, then waiting until it is applied."""

from collections import deque
from collections.abc import Callable

from raftlog.core.ids import Boot, Index, RequestId
from raftlog.machine.result import Result

ReadDone = Callable[[Result | None], None]
"""None: answer from the present state. Otherwise the refusal. Called exactly once."""


class Reads:
    """Reads of one group; all that arrive in one pass of the loop share one request to the core.

    Invariants: request ids never repeat within a boot; released reads are kept by rising index.
    """

    def __init__(self, boot: Boot, limit: int) -> None:
        self._boot = boot
        self._limit = limit
        self._counter = 0
        self._count = 0
        self._waiting: list[ReadDone] = []
        self._asked: dict[RequestId, list[ReadDone]] = {}
        self._released: deque[tuple[Index, list[ReadDone]]] = deque()

    def __bool__(self) -> bool:
        return self._count > 0

    @property
    def full(self) -> bool:
        """Whether another read would go over the bound."""
        return self._count >= self._limit

    def add(self, done: ReadDone) -> None:
        """Take a read; it goes with the next request."""
        self._waiting.append(done)
        self._count += 1

    def ask(self) -> RequestId | None:
        """The id under which the waiting reads now ask the core; None when there are none."""
        if not self._waiting:
            return None
        self._counter += 1
        id = RequestId(self._boot, self._counter)
        self._asked[id] = self._waiting
        self._waiting = []
        return id

    def released(self, id: RequestId, index: Index) -> None:
        """The reads of a request may be answered at `index`; an answer to nobody's request is dropped."""
        reads = self._asked.pop(id, None)
        if reads is None:
            return
        if self._released:
            index = max(index, self._released[-1][0])
        self._released.append((index, reads))

    def refused(self, id: RequestId, result: Result) -> None:
        """Nobody can vouch for the reads of a request."""
        self._answer(self._asked.pop(id, []), result)

    def applied(self, index: Index) -> None:
        """Answer what has become answerable."""
        while self._released and self._released[0][0] <= index:
            self._answer(self._released.popleft()[1], None)

    def give_up_beyond(self, index: Index, result: Result) -> None:
        """Refuse those that wait for a later index, which may not come for long."""
        while self._released and self._released[-1][0] > index:
            self._answer(self._released.pop()[1], result)

    def abandon(self, result: Result) -> None:
        """Refuse everything that is left."""
        for id in list(self._asked):
            self.refused(id, result)
        while self._released:
            self._answer(self._released.popleft()[1], result)
        waiting, self._waiting = self._waiting, []
        self._answer(waiting, result)

    def _answer(self, reads: list[ReadDone], result: Result | None) -> None:
        self._count -= len(reads)
        for done in reads:
            done(result)
