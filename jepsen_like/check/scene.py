"""The operations on one object, laid out for the search."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from jepsen_like.check.frozen import exact, frozen
from jepsen_like.check.history import UNKNOWN, EventType, Operation
from jepsen_like.check.model import ILLEGAL, Illegal, Model, State


class Scene:
    """The operations of one object, laid out for the search: who is under way at each return.

    - `returns` are the answered operations in the order of their returns; `unanswered` stand in order of invocation.
    - `movers[k]` and `observers[k]` are ranks in `returns`, under way when `returns[k]` returns, in rank order;
      `arrivals[k]` are those of `observers[k]` that were not yet under way at the return before.
    - `bits[rank]` is the operation's bit while it is under way; bits are used again, so they stay few.
    - `waiting[k]` is how many of `unanswered` were invoked before `returns[k]` returns.
    - `twins[i]` is the unanswered operation, equal to the i-th, that was invoked last before it, else -1.
    - `goals[rank]` is the only state in which an observer can take effect, ILLEGAL if it has none such;
      `landings[rank]` is the state that a mover leaves whatever it was before, ILLEGAL if it depends.
    - `upcoming[k]` is the first observer to return that is not yet under way at `returns[k]`, else -1.
    """

    def __init__(self, model: Model, operations: Sequence[Operation]) -> None:
        frozen_operations = [_frozen(operation) for operation in operations]
        model = model.fitted(frozen_operations)
        self.model = model
        self.returns = sorted(
            (each for each in frozen_operations if each.outcome is EventType.OK),
            key=lambda each: each.returned or 0,
        )
        self.unanswered = [
            each
            for each in frozen_operations
            if each.outcome is EventType.INFO and not model.observes(each.f, each.argument, UNKNOWN)
        ]
        self.unanswered.sort(key=lambda each: each.invoked)
        self.twins = _twins(self.unanswered)
        self.blind = [model.overwrites(each.f, each.argument, each.result) for each in self.returns]
        self.blind_unanswered = [model.overwrites(each.f, each.argument, UNKNOWN) for each in self.unanswered]
        self.bits = [0] * len(self.returns)
        self.movers: list[tuple[int, ...]] = []
        self.observers: list[tuple[int, ...]] = []
        self.arrivals: list[tuple[int, ...]] = []
        self.waiting: list[int] = []
        observes = [model.observes(each.f, each.argument, each.result) for each in self.returns]
        self.goals: list[State | Illegal] = [
            model.goal(each.f, each.argument, each.result) if observes[rank] else ILLEGAL
            for rank, each in enumerate(self.returns)
        ]
        self.landings: list[State | Illegal] = [
            ILLEGAL if observes[rank] else model.landing(each.f, each.argument, each.result)
            for rank, each in enumerate(self.returns)
        ]
        self.unanswered_landings: list[State | Illegal] = [
            model.landing(each.f, each.argument, UNKNOWN) for each in self.unanswered
        ]
        self._lay_out(observes)
        self.upcoming = [-1] * len(self.returns)
        self._look_ahead()
        self._preceding: dict[int, tuple[int, ...]] = {}
        self._paths: dict[int, tuple[tuple[int, ...], int]] = {}

    def paths(self, rank: int) -> tuple[tuple[int, ...], int]:
        """What may land on a way to the goal of observer `rank` before it returns: movers, and unanswered as bits."""
        found = self._paths.get(rank)
        if found is None:
            found = self._paths[rank] = (self._movers_to(rank), self._unanswered_to(rank))
        return found

    def preceding(self, rank: int) -> tuple[int, ...]:
        """The answered operations overlapping `returns[rank]` that the model says come before it."""
        found = self._preceding.get(rank)
        if found is None:
            found = self._preceding[rank] = self._find_preceding(rank)
        return found

    def _find_preceding(self, rank: int) -> tuple[int, ...]:
        operation = self.returns[rank]
        first = bisect_right(self.returns, operation.invoked, key=lambda each: each.returned or 0)
        near = dict.fromkeys(
            each
            for k in range(first, rank + 1)
            for each in (*self.movers[k], *self.observers[k])
            if each != rank
        )
        return tuple(each for each in near if self.model.precedes(self.returns[each], operation))

    def _movers_to(self, rank: int) -> tuple[int, ...]:
        goal, leads, landings = self.goals[rank], self.model.leads, self.landings
        near = dict.fromkeys(each for k in range(self._watched[rank], rank + 1) for each in self.movers[k])
        return tuple(each for each in near if landings[each] is not ILLEGAL and leads(landings[each], goal))

    def _unanswered_to(self, rank: int) -> int:
        goal, leads = self.goals[rank], self.model.leads
        bits = 0
        for place in range(self.waiting[rank]):
            landing = self.unanswered_landings[place]
            if landing is not ILLEGAL and leads(landing, goal):
                bits |= 1 << place
        return bits

    def _look_ahead(self) -> None:
        """Fill `upcoming`, and `_watched`: the first return at which each observer is looked at."""
        aims = [rank for rank, goal in enumerate(self.goals) if goal is not ILLEGAL]
        self._watched = list(range(len(self.returns)))
        following = len(aims)
        for k in range(len(self.returns) - 1, -1, -1):
            while following > 0 and aims[following - 1] >= k:
                following -= 1
            for rank in self.observers[k]:
                self._watched[rank] = k
            place = following
            while place < len(aims) and self.returns[aims[place]].invoked < (self.returns[k].returned or 0):
                place += 1
            if place < len(aims):
                self.upcoming[k] = aims[place]
                self._watched[aims[place]] = k

    def _lay_out(self, observes: Sequence[bool]) -> None:
        """One walk over invocations and returns. Invocations come in their own order, returns in theirs."""
        asked = sorted(range(len(self.returns)), key=lambda rank: self.returns[rank].invoked)
        movers: list[int] = []
        observers: list[int] = []
        free: list[int] = []
        following = waiting = 0
        for rank, operation in enumerate(self.returns):
            assert operation.returned is not None, f"an answered operation returned nowhere: {operation}"
            arrivals = []
            while following < len(asked) and self.returns[asked[following]].invoked < operation.returned:
                newcomer = asked[following]
                following += 1
                self.bits[newcomer] = free.pop() if free else 1 << (len(movers) + len(observers))
                (observers if observes[newcomer] else movers).append(newcomer)
                if observes[newcomer]:
                    arrivals.append(newcomer)
            while waiting < len(self.unanswered) and self.unanswered[waiting].invoked < operation.returned:
                waiting += 1
            self.movers.append(tuple(sorted(movers)))
            self.observers.append(tuple(sorted(observers)))
            self.arrivals.append(tuple(sorted(arrivals)))
            self.waiting.append(waiting)
            (observers if observes[rank] else movers).remove(rank)
            free.append(self.bits[rank])


def _frozen(operation: Operation) -> Operation:
    return Operation(
        operation.process,
        operation.f,
        operation.key,
        frozen(operation.argument),
        frozen(operation.result),
        operation.outcome,
        operation.invoked,
        operation.returned,
    )


def _twins(unanswered: Sequence[Operation]) -> list[int]:
    latest: dict[tuple[str, Any], int] = {}
    twins = []
    for place, operation in enumerate(unanswered):
        deed = (operation.f, exact(operation.argument))
        twins.append(latest.get(deed, -1))
        latest[deed] = place
    return twins
