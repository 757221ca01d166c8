"""The models of what gathers values: a queue, a counter, a set.

Their states hold all that was gathered, so that wrong orders rarely meet again in one state, and show late. What reads
and dequeues answer later tells the search early: see `fitted`.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from jepsen_like.check.frozen import exact
from jepsen_like.check.history import UNKNOWN, EventType, Operation, Unknown, Value
from jepsen_like.check.misused import Misused, unknown
from jepsen_like.check.model import ILLEGAL, Illegal, Model, State, exactly


class Queue(Model):
    """First in, first out: `enqueue v`; `dequeue` answers the oldest value, or None when there is none.

    A dequeue whose answer was never heard takes the oldest value, if there is one.
    """

    knows: ClassVar[tuple[str, ...]] = ("enqueue", "dequeue")

    initial: State = ()

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        if f == "enqueue":
            return (*state, argument)
        if f == "dequeue":
            if not state:
                return state if result is None or result is UNKNOWN else ILLEGAL
            return state[1:] if result == state[0] or result is UNKNOWN else ILLEGAL
        raise unknown(self, f)

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        return f == "dequeue" and result is None

    def arranged(self, operation: Operation) -> Operation:
        return exactly(operation)

    def fitted(self, operations: Sequence[Operation]) -> Model:
        return _FittedQueue(operations)


class _FittedQueue(Queue):
    """A queue that knows when values come out, where each was enqueued once.

    The order of coming out is the order of going in; and an answer that the queue was empty comes before what came out
    only later went in. A value that no answer shows came out only if a dequeue without an answer took it: where there
    are none it never did, and before another value there can be no more of them than such dequeues were asked for
    until that one was out. A dequeue without an answer takes nothing that another one's answer shows. And an enqueue
    without an answer, of a value that no answer shows, can be left out, with the dequeue that took it.
    """

    has_precedences = True

    def __init__(self, operations: Sequence[Operation]) -> None:
        enqueued: dict[Value, int] = {}
        taken: dict[Value, list[Operation]] = {}
        for each in operations:
            if each.f == "enqueue" and each.outcome is not EventType.FAIL:
                enqueued[each.argument] = enqueued.get(each.argument, 0) + 1
            if each.f == "dequeue" and each.outcome is EventType.OK and each.result is not None:
                taken.setdefault(each.result, []).append(each)
        self._asked = sorted(
            each.invoked for each in operations if each.f == "dequeue" and each.outcome is EventType.INFO
        )
        single = [value for value, times in enqueued.items() if times == 1 and len(taken.get(value, ())) <= 1]
        self._out_by = {value: taken[value][0].returned for value in single if value in taken}
        self._out_from: dict[Value, float] = {
            value: taken[value][0].invoked for value in single if value in taken
        }
        self._taken = frozenset(taken)
        self._unseen = frozenset(value for value in single if value not in taken)
        if not self._asked:
            self._out_from.update((value, math.inf) for value in self._unseen)

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        """As a queue, and nothing goes in behind what comes out only later."""
        if f == "enqueue":
            if result is UNKNOWN and argument not in self._taken:
                return ILLEGAL
            out_by = self._out_by.get(argument)
            if out_by is not None and self._is_blocked(state, out_by):
                return ILLEGAL
        elif result is UNKNOWN and state and state[0] in self._out_by:
            return ILLEGAL
        return super().step(state, f, argument, result)

    def _is_blocked(self, state: State, out_by: int) -> bool:
        """True if what is in the queue cannot all be out by then."""
        if any(self._out_from.get(each, -1) > out_by for each in state):
            return True
        if not self._asked:
            return False
        return sum(each in self._unseen for each in state) > bisect_left(self._asked, out_by)

    def precedes(self, first: Operation, second: Operation) -> bool:
        if second.f != "enqueue":
            return False
        out_from = self._out_from.get(second.argument, -1)
        if first.f == "enqueue":
            out_by = self._out_by.get(first.argument)
            return out_by is not None and out_by < out_from
        return first.result is None and first.returned is not None and first.returned < out_from

    def fitted(self, operations: Sequence[Operation]) -> Model:
        return self


class Counter(Model):
    """`add n` (and `increment`, `decrement`, by n or 1) answers anything; `read` answers the sum."""

    knows: ClassVar[tuple[str, ...]] = ("add", "increment", "decrement", "read")

    def __init__(self, initial: int = 0) -> None:
        self.initial = initial or 0

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        if f == "read":
            return state if result == state or result is UNKNOWN else ILLEGAL
        if f not in ("add", "increment", "decrement"):
            raise unknown(self, f)
        amount = 1 if argument is None else argument
        return state - amount if f == "decrement" else state + amount

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        return f == "read" or argument == 0

    def arranged(self, operation: Operation) -> Operation:
        number = operation.result if operation.f == "read" else operation.argument
        if isinstance(number, bool) or not isinstance(number, int | float | Unknown | None):
            raise Misused(f"a counter is made of numbers, not of {number!r}: {operation}")
        if operation.f == "read" and number is None:
            raise Misused(f"a read of a counter answers a number: {operation}")
        return operation

    def goal(self, f: str, argument: Value, result: Value) -> State | Illegal:
        return result if f == "read" else ILLEGAL

    def fitted(self, operations: Sequence[Operation]) -> Model:
        rises = all(
            each.f == "read" or (each.f != "decrement" and (each.argument is None or each.argument >= 0))
            for each in operations
        )
        return _RisingCounter(self.initial) if rises else self


class _RisingCounter(Counter):
    """A counter that nobody lowers."""

    def leads(self, state: State, goal: State) -> bool:
        return bool(state <= goal)


class GrowSet(Model):
    """`add v`, `remove v`, and `read` that answers all members in any order."""

    knows: ClassVar[tuple[str, ...]] = ("add", "remove", "read")

    initial: State = frozenset()

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        if f == "read":
            return state if result is UNKNOWN or result == state else ILLEGAL
        if f == "add":
            return state | {argument}
        if f == "remove":
            return state - {argument}
        raise unknown(self, f)

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        return f == "read"

    def arranged(self, operation: Operation) -> Operation:
        result = operation.result
        if operation.f != "read" or result is UNKNOWN:
            return exactly(operation)
        if result is not None and not isinstance(result, list | tuple | set | frozenset):
            raise Misused(f"a read of a set answers its members, not {result!r}")
        members = frozenset(map(exact, result or ()))
        return msgspec.structs.replace(operation, result=members)

    def goal(self, f: str, argument: Value, result: Value) -> State | Illegal:
        return result if f == "read" else ILLEGAL

    def fitted(self, operations: Sequence[Operation]) -> Model:
        return self if any(each.f == "remove" for each in operations) else _GrowingSet()


class _GrowingSet(GrowSet):
    """A set from which nobody removes."""

    def leads(self, state: State, goal: State) -> bool:
        return bool(state <= goal)
