"""Histories in Jepsen's terms: what clients asked, what they were told, in the order in which it was observed.

The order of events in a history is the order of real time. The `time` of an event is for people and for merging
recordings; no checker of this package orders two events of one history by it, so equal stamps are harmless.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

Value: TypeAlias = Any
"""What an operation takes or gives: None, bool, int, float, str, bytes, and lists, tuples, dicts and sets of them."""


class EventType(Enum):
    """What happened at the client: it asked, it knows that it happened, that it did not, or it cannot know."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


class Unknown(Enum):
    """The type of `UNKNOWN`, the result of an operation of which nobody heard the answer."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "?"


UNKNOWN: Final = Unknown.UNKNOWN

NEMESIS: Final = "nemesis"
"""The process that injects faults; it is no client and its events are no operations."""


class Event(msgspec.Struct, frozen=True):
    """One line of a history.

    `time` is in nanoseconds on the recording machine's monotonic clock (Jepsen's unit), None where nobody recorded
    it. `index` is the event's position in its file or recording: a line number, or the place in a vector. `key` names
    the object that the operation is about where a history is about several, else it is None.
    """

    type: EventType
    process: Hashable
    f: str
    value: Value = None
    time: int | None = None
    index: int = 0
    key: Value = None
    error: Value = None


class Operation(msgspec.Struct, frozen=True):
    """An invocation and what became of it.

    - `outcome` is OK, FAIL or INFO; an operation without completion is INFO.
    - `result` is the completion's value when `outcome` is OK, and `UNKNOWN` otherwise.
    - `invoked` and `returned` are positions in the history's events; `returned` is None when no OK or FAIL is known.
    """

    process: Hashable
    f: str
    key: Value
    argument: Value
    result: Value
    outcome: EventType
    invoked: int
    returned: int | None

    def __str__(self) -> str:
        """`process 3: cas [1, 2] -> ?`, the words of an error message."""
        about = "" if self.key is None else f" of {self.key!r}"
        return f"process {self.process}: {self.f}{about} {self.argument!r} -> {self.result!r}"


class Malformed(ValueError):
    """Events that no client can have seen, such as an answer to a question that was not asked.

    `position` is the offending event's place in the sequence of events.
    """

    def __init__(self, position: int, sentence: str) -> None:
        super().__init__(sentence)
        self.position = position


class History:
    """A recording of events, made while a test runs or read from a file.

    Record with `invoke`, then one of `ok`, `fail`, `info` for the same process; every call is O(1) and takes the time
    from its caller. Stamp an invocation before the client's first await, an answer after the result is in hand: a
    later invocation or an earlier answer makes operations look less concurrent than they were, and a correct system
    looks broken.

    A process has at most one operation under way. After `info`, or after a second `invoke` (which leaves the first
    without completion), the earlier operation stays open for ever: it may take effect at any later moment.
    """

    __slots__ = ("_open", "events")

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: list[Event] = list(events)
        self._open: dict[Hashable, Event] = {}

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def invoke(self, process: Hashable, f: str, value: Value = None, *, time: int, key: Value = None) -> None:
        """Record that `process` asks for `f` with `value`. Time in nanoseconds."""
        assert process not in self._open, (
            f"process {process!r} invokes {f} while {self._open[process]} is open"
        )
        event = Event(EventType.INVOKE, process, f, value, time, len(self.events), key)
        self._open[process] = event
        self.events.append(event)

    def ok(self, process: Hashable, value: Value = None, *, time: int) -> None:
        """Record that the operation of `process` happened and returned `value`."""
        self._complete(EventType.OK, process, value, time, None)

    def fail(self, process: Hashable, *, time: int, error: Value = None) -> None:
        """Record that the operation of `process` certainly did not happen."""
        self._complete(EventType.FAIL, process, None, time, error)

    def info(self, process: Hashable, *, time: int, error: Value = None) -> None:
        """Record that nobody knows whether the operation of `process` happened, or will yet."""
        self._complete(EventType.INFO, process, None, time, error)

    def _complete(self, kind: EventType, process: Hashable, value: Value, time: int, error: Value) -> None:
        asked = self._open.pop(process, None)
        assert asked is not None, f"process {process!r} is answered ({kind.value}) and has nothing open"
        self.events.append(Event(kind, process, asked.f, value, time, len(self.events), asked.key, error))

    def operations(self) -> list[Operation]:
        """Invocations paired with their completions, in the order of invocation. Raises `Malformed`."""
        return paired(self.events)

    def upto(self, position: int) -> "History":
        """The prefix that ends with the event at `position`."""
        return History(self.events[: position + 1])

    @staticmethod
    def merged(*recordings: "History") -> "History":
        """Several recordings of one machine as one history, in the order of their times.

        Where times are equal nobody knows the order, so invocations go first: operations that touch count as
        concurrent, which never blames a correct system.
        """
        stamped = [event for recording in recordings for event in recording.events]
        stamped.sort(key=lambda event: (event.time or 0, event.type is not EventType.INVOKE))
        return History(msgspec.structs.replace(event, index=at) for at, event in enumerate(stamped))


def paired(events: Sequence[Event]) -> list[Operation]:
    """Pair invocations with completions by process, in the order of invocation.

    What the process "nemesis" does, and an `info` without an invocation, are remarks and passed over. Raises
    `Malformed` for an `ok` or `fail` without an invocation.
    """
    completion_of: dict[int, int] = {}
    asked_at: dict[Hashable, int] = {}
    for position, event in enumerate(events):
        if event.process == NEMESIS:
            continue
        if event.type is EventType.INVOKE:
            asked_at[event.process] = position
            continue
        asked = asked_at.pop(event.process, None)
        if asked is not None:
            completion_of[asked] = position
        elif event.type is not EventType.INFO:
            raise Malformed(
                position, f"process {event.process} is answered ({event.type.value}) without an invocation"
            )
    return [
        _operation(events, position, completion_of.get(position))
        for position, event in enumerate(events)
        if event.type is EventType.INVOKE and event.process != NEMESIS
    ]


def _operation(events: Sequence[Event], asked: int, answered: int | None) -> Operation:
    question = events[asked]
    outcome = EventType.INFO if answered is None else events[answered].type
    happened = outcome is EventType.OK
    return Operation(
        process=question.process,
        f=question.f,
        key=question.key,
        argument=question.value,
        result=events[answered].value if happened and answered is not None else UNKNOWN,
        outcome=outcome,
        invoked=asked,
        returned=None if outcome is EventType.INFO else answered,
    )
