"""Whether a history is linearizable: could the operations have taken effect one by one, each while it was under way."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from jepsen_like.check.history import UNKNOWN, Event, EventType, History, Operation, paired
from jepsen_like.check.misused import unknown
from jepsen_like.check.model import Model, State
from jepsen_like.check.scene import Scene
from jepsen_like.check.search import Search
from jepsen_like.check.verdict import Verdict

_FIRST_SLICE = 2_000  # steps; then each round doubles, so that short searches end before long ones begin
_LONG_SLICE = 20_000  # the longest: steps between two looks at the caller's clock
_MOST_POSITIONS = 8_000_000  # remembered at once by all searches of a check: about 4 GB
_PREFIXES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class LegalPrefix:
    """An order of operations, each legal, that could not go on, and the state that it ends in."""

    order: tuple[Operation, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Impossible:
    """Why a history is not linearizable.

    - `event` is the position of the completion that ends the shortest prefix that is not linearizable.
    - `operation` is the operation that this event completes; `partition` is the object that it is about.
    - `prefixes` are orders of everything answered before it: none of them can go on to that completion.
    """

    event: int
    operation: Operation
    partition: Hashable
    prefixes: tuple[LegalPrefix, ...]


@dataclass(frozen=True, slots=True)
class Linearizability:
    """What the check says.

    - `verdict`: VALID, INVALID, or UNKNOWN if the budget or the time ran out first.
    - `operations`: how many operations were judged; those that did not happen are not counted.
    - `steps`: transitions tried, the same for the same history and model on every machine.
    - `impossible`: set exactly when the verdict is INVALID.
    - `orders`: for each object, in the order of first mention, an order that explains what was seen; VALID only.
    """

    verdict: Verdict
    operations: int
    steps: int
    impossible: Impossible | None
    orders: dict[Hashable, tuple[Operation, ...]]

    @property
    def first_bad_event(self) -> int | None:
        """Position of the completion that ends the shortest prefix that is not linearizable; None if there is none."""
        return None if self.impossible is None else self.impossible.event


def check_linearizable(
    history: History | Iterable[Event],
    model: Model,
    *,
    budget: int | None = None,
    expired: Callable[[], bool] = lambda: False,
) -> Linearizability:
    """Search for an order of all operations that `model` allows and that keeps the order of real time.

    Operations that failed are left out; those without a known end may have taken effect at any time after their
    invocation, or never. Objects (`Model.partition`) are searched in turns, a slice of steps each, and the first one
    without an order ends the search.

    `budget` bounds the steps of the search for a verdict, over all objects; the result is the same on every machine.
    `expired` is asked between slices; where it looks at a clock the result may be UNKNOWN on a slow machine. Raises
    `Malformed` for events that contradict each other and `Misused` for operations that the model does not know.

    Not promised: that it ends soon. The question is NP-complete; many unanswered operations that matter are slow.
    """
    return _Check(list(history), model, budget, expired).result()


class _Allowance:
    """What searches may still cost: counted steps, positions held in memory, and a clock that only the caller knows."""

    def __init__(self, budget: int | None, expired: Callable[[], bool]) -> None:
        self._budget = budget
        self._expired = expired
        self._held = 0
        self.spent = 0

    def advance(self, search: Search, slice_of: int) -> bool | None:
        """Let `search` go on for a slice; None if it has not ended or nothing is left to spend."""
        if search.found is not None or self.exhausted:
            return search.found
        steps, positions = search.steps, search.positions
        search.advance(slice_of if self._budget is None else min(slice_of, self._budget - self.spent))
        self.spent += search.steps - steps
        self._held += search.positions - positions
        return search.found

    def finish(self, search: Search) -> bool | None:
        """Let `search` go on until it ends or nothing is left. What it holds is forgotten after."""
        held = self._held
        while search.found is None and not self.exhausted:
            self.advance(search, _LONG_SLICE)
        self._held = held
        return search.found

    @property
    def exhausted(self) -> bool:
        """True when nothing is left."""
        spent = self._budget is not None and self.spent >= self._budget
        return spent or self._held > _MOST_POSITIONS or self._expired()


class _Check:
    """One check: the objects, their searches in turns, and after a failure the place where it first shows."""

    def __init__(
        self, events: Sequence[Event], model: Model, budget: int | None, expired: Callable[[], bool]
    ) -> None:
        self._model = model
        self._budget = budget
        self._expired = expired
        objects: dict[Hashable, list[Operation]] = {}
        for operation in paired(events):
            if model.knows and operation.f not in model.knows:
                raise unknown(model, operation.f)
            operation = model.arranged(operation)
            objects.setdefault(model.partition(operation), []).append(operation)
        self._objects = [_Object(key, model, operations) for key, operations in objects.items()]

    def result(self) -> Linearizability:
        allowance = _Allowance(self._budget, self._expired)
        broken = self._in_turns(allowance)
        judged = sum(each.judged for each in self._objects)
        if broken is not None:
            return Linearizability(Verdict.INVALID, judged, allowance.spent, self._earliest(broken), {})
        if any(each.search.found is None for each in self._objects):
            return Linearizability(Verdict.UNKNOWN, judged, allowance.spent, None, {})
        orders = {each.key: tuple(each.search.order()) for each in self._objects}
        return Linearizability(Verdict.VALID, judged, allowance.spent, None, orders)

    def _in_turns(self, allowance: _Allowance) -> "_Object | None":
        """Advance all searches in growing slices; the first object whose search fails, if one does."""
        going = self._objects
        slice_of = _FIRST_SLICE
        while going and not allowance.exhausted:
            for each in going:
                if allowance.advance(each.search, slice_of) is False:
                    return each
            going = [each for each in going if each.search.found is None]
            slice_of = min(slice_of * 2, _LONG_SLICE)
        return None

    def _earliest(self, broken: "_Object") -> Impossible:
        """Where the history first cannot be explained: objects not yet cleared may fail earlier than `broken`.

        This may spend as much as the search for the verdict. Where that is not enough, a later event is named.
        """
        allowance = _Allowance(self._budget, self._expired)
        event = broken.first_bad_event(allowance)
        for each in self._objects:
            if each is broken or each.search.found:
                continue
            earlier = each.cut(event)
            if allowance.finish(earlier.search) is False:
                broken, event = each, earlier.first_bad_event(allowance)
        return broken.impossible(event)


class _Object:
    """The operations on one object and their search."""

    def __init__(self, key: Hashable, model: Model, operations: Sequence[Operation]) -> None:
        self.key = key
        self.search = Search(Scene(model, operations))
        self._model = model
        self._operations = operations

    @property
    def judged(self) -> int:
        """How many operations happened, or may have."""
        return sum(each.outcome is not EventType.FAIL for each in self._operations)

    def cut(self, position: int) -> "_Object":
        """What was known of this object right after the event at `position`."""
        known = [_as_of(each, position) for each in self._operations if each.invoked <= position]
        return _Object(self.key, self._model, known)

    def first_bad_event(self, allowance: _Allowance) -> int:
        """The completion that ends the shortest prefix without an order. The whole is known to have none.

        Prefixes of linearizable histories are linearizable, so it can be found by halving. The search names the
        place to begin with, nearly always the right one. It need not be: the search knows the answers to come, and
        an answer given later may be what proves the earlier ones wrong. What it could not get past is a lower bound.
        """
        ends = sorted(each.returned for each in self._operations if each.returned is not None)
        returns, refuted = self.search.scene.returns, self.search.refuted
        guess = bisect_left(ends, returns[self.search.deepest if refuted is None else refuted].returned or 0)
        low = 0 if refuted is not None else guess
        return ends[
            first_where(lambda place: not self._explained(ends[place], allowance), low, len(ends) - 1, guess)
        ]

    def _explained(self, position: int, allowance: _Allowance) -> bool:
        """Whether the prefix that ends at `position` has an order; taken to have none if nobody can say in time."""
        return allowance.finish(self.cut(position).search) is True

    def impossible(self, event: int) -> Impossible:
        """The report about the completion at `event`: what it completes and the orders that stop before it."""
        scene = self.cut(event - 1).search.scene
        before = Search(scene, stop_at=len(scene.returns))
        while before.found is None and len(before.stopped) < _PREFIXES_SHOWN and before.steps < _LONG_SLICE:
            before.advance(1)
        prefixes = [LegalPrefix(tuple(order), state) for order, state in before.stopped]
        operation = next(each for each in self._operations if each.returned == event)
        return Impossible(event, operation, self.key, tuple(prefixes))


def _as_of(operation: Operation, position: int) -> Operation:
    """The operation as it was known right after the event at `position`: what ended later was still open."""
    if operation.returned is None or operation.returned <= position:
        return operation
    return msgspec.structs.replace(operation, result=UNKNOWN, outcome=EventType.INFO, returned=None)


def first_where(true: Callable[[int], bool], low: int, high: int, guess: int) -> int:
    """The least place in low..high where `true`, which stays true above it and is known to be true at `high`.

    Near `guess` it takes few questions: strides away from it double, then what is left is halved.
    """
    assert low <= guess <= high, f"the guess {guess} lies outside {low}..{high}"
    stride = 1
    if guess < high and not true(guess):
        low = guess + 1
        while low + stride - 1 < high:
            probe = low + stride - 1
            if true(probe):
                high = probe
                break
            low, stride = probe + 1, stride * 2
    else:
        high = guess
        while high - stride >= low:
            probe = high - stride
            if not true(probe):
                low = probe + 1
                break
            high, stride = probe, stride * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if true(middle) else (middle + 1, high)
    return high
