"""Which transaction must come before which: the edges that lists, processes and real time give."""

from collections.abc import Hashable, Sequence
from enum import Enum

from jepsen_like.check.appends import Transaction, Versions
from jepsen_like.check.history import EventType


class Edge(Enum):
    """Why one transaction comes before another.

    - WW: what it appended to a list is followed by what the other appended.
    - WR: what it appended was the last that the other read.
    - RW: it read a state of a list, and the other appended what came next.
    - PROCESS: the same process ran it before. REALTIME: it was answered before the other began.
    """

    WW = "ww"
    WR = "wr"
    RW = "rw"
    PROCESS = "process"
    REALTIME = "realtime"


class Dependencies:
    """The edges between transactions, by kind: `edges[kind][a]` are those that come after a, with a reason each."""

    def __init__(self, transactions: Sequence[Transaction], versions: Versions) -> None:
        self.edges: dict[Edge, dict[int, dict[int, str]]] = {kind: {} for kind in Edge}
        self._versions = versions
        for key in sorted({*versions.order, *versions.unseen}, key=repr):
            self._along(key)
        for transaction in transactions:
            if transaction.operation.outcome is not EventType.FAIL:
                self._read(transaction)
        self._processes(transactions)
        self._real_time(transactions)

    def _add(self, kind: Edge, before: Transaction, after: Transaction, reason: str) -> None:
        if before is not after and EventType.FAIL not in (before.operation.outcome, after.operation.outcome):
            self.edges[kind].setdefault(before.number, {}).setdefault(after.number, reason)

    def _along(self, key: Hashable) -> None:
        """Each append of the known order comes before the next; those that nobody saw come after the last."""
        order = self._versions.order.get(key, ())
        previous: Transaction | None = None
        for element in order:
            writer = self._versions.writer.get((key, element))
            if writer is not None and previous is not None:
                self._add(Edge.WW, previous, writer, f"appended to {key!r} before {element!r}")
            previous = writer if writer is not None else previous
        for writer in self._versions.unseen.get(key, ()):
            if previous is not None:
                self._add(
                    Edge.WW, previous, writer, f"appended to {key!r} before {writer.appends[key][-1]!r}"
                )

    def _read(self, reader: Transaction) -> None:
        for key, state in reader.reads.items():
            order = self._versions.order.get(key, ())
            if order[: len(state)] != state:
                continue  # reported as incompatible: its place in the order is anybody's guess
            if state:
                writer = self._versions.writer.get((key, state[-1]))
                if writer is not None:
                    self._add(Edge.WR, writer, reader, f"appended {state[-1]!r} to {key!r}, which was read")
            following = self._following(key, order[len(state) :])
            for writer in following:
                self._add(
                    Edge.RW, reader, writer, f"read {list(state)[-3:]} of {key!r} before it was appended to"
                )

    def _following(self, key: Hashable, rest: Sequence[Hashable]) -> Sequence[Transaction]:
        """Who appended next after that state; where only unseen appends are left, any may have been next."""
        for element in rest:
            writer = self._versions.writer.get((key, element))
            if writer is not None:
                return (
                    writer,
                )  # perhaps the reader itself; what others appended later is a matter of ww edges
        return self._versions.unseen.get(key, ())

    def _processes(self, transactions: Sequence[Transaction]) -> None:
        last: dict[Hashable, Transaction] = {}
        for transaction in transactions:
            before = last.get(transaction.operation.process)
            if before is not None:
                self._add(Edge.PROCESS, before, transaction, "ran before in the same process")
            if transaction.answered:
                last[transaction.operation.process] = transaction

    def _real_time(self, transactions: Sequence[Transaction]) -> None:
        """Edges to each transaction from those answered before it began, leaving out what follows from others.

        `latest` holds the answered transactions of which none began after another of them was answered.
        """
        moments = [(each.operation.invoked, True, each) for each in transactions]
        moments += [
            (each.operation.returned, False, each)
            for each in transactions
            if each.answered and each.operation.returned is not None
        ]
        moments.sort(key=lambda moment: moment[0])
        latest: list[Transaction] = []
        for _, begins, transaction in moments:
            if begins:
                for before in latest:
                    self._add(Edge.REALTIME, before, transaction, "was answered before the other began")
            else:
                began = transaction.operation.invoked
                latest = [each for each in latest if (each.operation.returned or 0) >= began]
                latest.append(transaction)
