"""Random histories for the checkers: recorded from a real object under concurrent clients, then perhaps falsified."""

from collections.abc import Callable
from random import Random
from typing import Any

from jepsen_like.check import UNKNOWN, Event, EventType, History, Model, Operation
from jepsen_like.check.frozen import frozen
from jepsen_like.check.model import ILLEGAL

Choice = Callable[[Random], tuple[str, Any, Any]]
"""Draws one operation: f, key, argument."""


def recorded(
    random: Random,
    model: Model,
    choose: Choice,
    answer: Callable[[Any, str, Any], Any],
    *,
    operations: int,
    processes: int,
    lost: float = 0.1,
    failed: float = 0.05,
) -> History:
    """A history that `model` explains: every operation takes effect at one random moment while it is under way.

    `answer` gives the result of f(argument) in a state. A share of `lost` answers are never heard, and the effect
    of such an operation may come much later or never; a share of `failed` operations does not happen.
    """
    return _Recorder(random, model, choose, answer, lost, failed).run(operations, processes)


class _Recorder:
    def __init__(
        self,
        random: Random,
        model: Model,
        choose: Choice,
        answer: Callable[[Any, str, Any], Any],
        lost: float,
        failed: float,
    ) -> None:
        self.random, self.model, self.choose, self.answer = random, model, choose, answer
        self.lost, self.failed = lost, failed
        self.states: dict[Any, Any] = {}
        self.history = History()
        self.late: list[tuple[str, Any, Any]] = []  # unanswered, effect still to come
        self.time = 0

    def run(self, operations: int, processes: int) -> History:
        random = self.random
        waiting: dict[int, tuple[str, Any, Any]] = {}
        done: dict[int, Any] = {}
        idle, crashed = list(range(processes)), processes
        left = operations
        while left or waiting or done:
            self.time += random.choice([0, 0, 1000])
            deed = random.random()
            if deed < 0.4 and idle and left:
                process = idle.pop(random.randrange(len(idle)))
                f, key, argument = self.choose(random)
                self.history.invoke(process, f, argument, time=self.time, key=key)
                waiting[process] = (f, key, argument)
                left -= 1
            elif deed < 0.7 and waiting:
                process = random.choice(sorted(waiting))
                if random.random() < self.lost:
                    self.late.append(waiting.pop(process))
                    if random.random() < 0.5:
                        self.history.info(process, time=self.time)
                        idle.append(crashed)
                    else:
                        idle.append(crashed)
                    crashed += 1
                elif random.random() < self.failed:
                    waiting.pop(process)
                    self.history.fail(process, time=self.time)
                    idle.append(process)
                else:
                    done[process] = self._take_effect(*waiting.pop(process))
            elif deed < 0.75 and self.late:
                lost = self.late.pop(random.randrange(len(self.late)))
                if random.random() < 0.7:
                    self._take_effect(*lost)
            elif done:
                process = random.choice(sorted(done))
                self.history.ok(process, done.pop(process), time=self.time)
                idle.append(process)
        return self.history

    def _take_effect(self, f: str, key: Any, argument: Any) -> Any:
        state = self.states.get(key, self.model.initial)
        result = self.answer(state, f, frozen(argument))
        after = self.model.step(state, f, frozen(argument), frozen(result))
        if after is not ILLEGAL:
            self.states[key] = after
        return result


def falsified(random: Random, history: History, lie: Callable[[Random, Any], Any]) -> History:
    """The history with one random lie: `lie` in place of a true answer, an answer taken back, two events swapped."""
    events = list(history.events)
    at = random.randrange(len(events))
    event = events[at]
    match random.randrange(3):
        case 0:
            results = [
                place for place, each in enumerate(events) if each.type is EventType.OK and each.f != "write"
            ]
            if results:
                at = random.choice(results)
                event = events[at]
                events[at] = Event(
                    event.type, event.process, event.f, lie(random, event.value), key=event.key
                )
        case 1:
            other = min(at + random.randrange(1, 4), len(events) - 1)
            if events[at].process != events[other].process:
                between = {each.process for each in events[at : other + 1]}
                if len(between) == other - at + 1:
                    events[at], events[other] = events[other], events[at]
        case _:
            if event.type is EventType.OK:
                events[at] = Event(EventType.FAIL, event.process, event.f, event.value, key=event.key)
    return History(events)


def explained(model: Model, operations: list[Operation]) -> bool:
    """Brute force: is there an order of these operations that the model allows and real time too? Exponential.

    Written from the definition and sharing nothing with the checker: every operation that is not preceded in real
    time by one still to come may be next; unanswered ones may also never be.
    """
    wanted = [each for each in operations if each.outcome is not EventType.FAIL]

    def go(remaining: list[Operation], states: dict[Any, Any]) -> bool:
        if all(each.outcome is EventType.INFO for each in remaining):
            return True
        for each in remaining:
            if any(
                other.returned is not None and other.returned < each.invoked
                for other in remaining
                if other is not each
            ):
                continue
            key = model.partition(each)
            state = states.get(key, model.initial)
            result = frozen(each.result) if each.outcome is EventType.OK else UNKNOWN
            after = model.step(state, each.f, frozen(each.argument), result)
            rest = [other for other in remaining if other is not each]
            if after is not ILLEGAL and go(rest, {**states, key: after}):
                return True
        return False

    return go([model.arranged(each) for each in wanted], {})


def first_bad_event(model: Model, history: History) -> int | None:
    """Brute force: the completion that ends the shortest prefix that nothing explains."""
    for position, event in enumerate(history.events):
        if event.type in (EventType.OK, EventType.FAIL):
            if not explained(model, history.upto(position).operations()):
                return position
    return None
