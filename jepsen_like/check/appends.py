"""Transactions that append to lists and read them, and the order of versions that their reads reveal."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jepsen_like.check.finding import Anomaly
from jepsen_like.check.frozen import exact
from jepsen_like.check.history import UNKNOWN, EventType, Operation
from jepsen_like.check.misused import Misused

Key = Hashable
Element = Hashable


@dataclass(slots=True)
class Transaction:
    """One transaction, as far as anybody knows.

    - `appends[k]` are the elements it appended to k, in order.
    - `reads[k]` is the first state of k that it read, if it did so before it appended to k, and was answered.
    """

    number: int
    operation: Operation
    actions: tuple[tuple[str, Key, Any], ...]
    appends: dict[Key, list[Element]] = field(default_factory=dict)
    reads: dict[Key, tuple[Element, ...]] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """True if it surely happened and its reads are known."""
        return self.operation.outcome is EventType.OK

    def __str__(self) -> str:
        shown = " ".join(
            f"{kind} {key!r} {list(value) if kind == 'r' else value!r}" for kind, key, value in self.actions
        )
        where = self.operation.invoked if self.operation.returned is None else self.operation.returned
        return f"T{self.number} (process {self.operation.process}, event {where}: {shown})"


_KINDS = {"append": "append", "r": "r", "read": "r"}


def transactions(operations: Sequence[Operation]) -> list[Transaction]:
    """The transactions of a history: operations whose value is a list of [append, k, v] and [r, k, list or nil]."""
    return [_transaction(number, each) for number, each in enumerate(operations)]


def _transaction(number: int, operation: Operation) -> Transaction:
    value = operation.argument if operation.result is UNKNOWN else operation.result
    if not isinstance(value, list | tuple):
        raise Misused(f"a transaction is a list of [append, k, v] and [r, k, list], not {value!r}")
    actions = []
    for action in value:
        if not isinstance(action, list | tuple) or len(action) not in (2, 3) or str(action[0]) not in _KINDS:
            raise Misused(f"a transaction is a list of [append, k, v] and [r, k, list], not {value!r}")
        kind, what = _KINDS[str(action[0])], action[2] if len(action) == 3 else None
        if kind == "r" and not isinstance(what, list | tuple | None):
            raise Misused(f"a read answers a list, not {what!r}")
        actions.append((kind, exact(action[1]), exact(what) or () if kind == "r" else exact(what)))
    found = Transaction(number, operation, tuple(actions))
    for kind, key, what in actions:
        if kind == "append":
            found.appends.setdefault(key, []).append(what)
        elif key not in found.appends and key not in found.reads and found.answered:
            found.reads[key] = what
    return found


def internal(transaction: Transaction) -> Iterable[Anomaly]:
    """Reads that contradict what the transaction itself read or appended before: `internal`."""
    known: dict[Key, tuple[Element, ...]] = {}  # the whole list, once it was read
    own: dict[Key, list[Element]] = {}  # appended before the list was read
    for kind, key, what in transaction.actions:
        if kind == "append":
            if key in known:
                known[key] = (*known[key], what)
            else:
                own.setdefault(key, []).append(what)
            continue
        tail = tuple(own.get(key, ()))
        differs = known[key] != what if key in known else what[len(what) - len(tail) :] != tail
        if differs:
            expected = known.get(key, ("...", *tail))
            sentence = f"{transaction} read {list(what)} of {key!r} where it had left {list(expected)}"
            yield Anomaly("internal", sentence, transaction.operation.returned)
        known[key] = what


@dataclass(slots=True)
class Versions:
    """What is known of every list.

    - `writer` tells who appended an element; those that failed are among them.
    - `order[k]` is the longest state of k that anybody read: all others must be prefixes of it.
    - `reader[k]` is the transaction that read it.
    - `unseen[k]` are transactions that surely appended to k something that is not in `order[k]`: it came after.
    """

    writer: dict[tuple[Key, Element], Transaction] = field(default_factory=dict)
    order: dict[Key, tuple[Element, ...]] = field(default_factory=dict)
    reader: dict[Key, Transaction] = field(default_factory=dict)
    unseen: dict[Key, list[Transaction]] = field(default_factory=dict)


def versions(all_transactions: Sequence[Transaction]) -> Versions:
    """Who wrote what, in which order. Raises `Misused` where two transactions append the same element to one list."""
    found = Versions()
    for transaction in all_transactions:
        for key, elements in transaction.appends.items():
            for element in elements:
                if (key, element) in found.writer:
                    raise Misused(
                        f"{element!r} is appended to {key!r} twice: elements must be unique to be traced"
                    )
                found.writer[(key, element)] = transaction
    for transaction in all_transactions:
        for key, state in _states(transaction):
            if len(state) > len(found.order.get(key, ())):
                found.order[key], found.reader[key] = state, transaction
    for transaction in all_transactions:
        if transaction.answered:
            for key, elements in transaction.appends.items():
                seen = found.order.get(key, ())
                if elements[-1] not in seen:
                    found.unseen.setdefault(key, []).append(transaction)
    return found


def _states(transaction: Transaction) -> Iterable[tuple[Key, tuple[Element, ...]]]:
    if transaction.answered:
        for kind, key, what in transaction.actions:
            if kind == "r":
                yield key, what


def direct(all_transactions: Sequence[Transaction], found: Versions) -> Iterable[Anomaly]:
    """What single reads show to be wrong, without any graph.

    - `phantom`: an element that nobody appended. `duplicate`: one element twice.
    - `G1a`: an element of a transaction that failed.
    - `G1b`: a state between two appends of another transaction.
    - `incompatible-order`: two reads of one list of which neither begins like the other; or one that shows what a
      transaction appended in another order, or with gaps.
    """
    for transaction in all_transactions:
        for key, state in _states(transaction):
            for kind, sentence in _wrong(transaction, key, state, found):
                yield Anomaly(kind, f"{transaction}: {sentence}", transaction.operation.returned)
    for key in sorted(found.order, key=repr):
        reader = found.reader[key]
        for writer, shown in _shown(key, found).items():
            if shown != all_transactions[writer].appends[key][: len(shown)]:
                sentence = f"{reader} shows {shown} of what {all_transactions[writer]} appended to {key!r}"
                yield Anomaly("incompatible-order", sentence, reader.operation.returned)


def _shown(key: Key, found: Versions) -> dict[int, list[Element]]:
    """The elements of each writer in the longest read of a list, by the writer's number."""
    shown: dict[int, list[Element]] = {}
    for element in found.order[key]:
        writer = found.writer.get((key, element))
        if writer is not None:
            shown.setdefault(writer.number, []).append(element)
    return shown


def _wrong(
    transaction: Transaction, key: Key, state: tuple[Element, ...], found: Versions
) -> Iterable[tuple[str, str]]:
    if len(set(state)) < len(state):
        twice = next(each for place, each in enumerate(state) if each in state[:place])
        yield "duplicate", f"{twice!r} stands twice in {key!r}"
    if found.order[key][: len(state)] != state if state else False:
        yield "incompatible-order", f"{key!r} was {list(state)}, and {list(found.order[key])} to another"
    for element in state:
        writer = found.writer.get((key, element))
        if writer is None:
            yield "phantom", f"{element!r} in {key!r} was appended by nobody"
        elif writer.operation.outcome is EventType.FAIL:
            yield "G1a", f"{element!r} in {key!r} was appended by {writer}, which failed"
    if state:
        writer = found.writer.get((key, state[-1]))
        if writer is not None and writer is not transaction and writer.appends[key][-1] != state[-1]:
            yield (
                "G1b",
                f"{key!r} ended with {state[-1]!r}, which {writer} appended on the way to {writer.appends[key][-1]!r}",
            )


def lost_updates(all_transactions: Sequence[Transaction]) -> Iterable[Anomaly]:
    """Transactions that read the same state of a list and both appended to it: `lost-update`."""
    readers: dict[tuple[Key, tuple[Element, ...]], Transaction] = {}
    for transaction in all_transactions:
        for key, state in sorted(transaction.reads.items(), key=lambda pair: repr(pair[0])):
            if key not in transaction.appends or not transaction.answered:
                continue
            other = readers.setdefault((key, state), transaction)
            if other is not transaction:
                sentence = f"{other} and {transaction} both appended to the state {list(state)} of {key!r}"
                yield Anomaly("lost-update", sentence, transaction.operation.returned)
