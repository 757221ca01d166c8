"""Whether a set keeps what was added: `add v` and `read`, element by element (Jepsen's set-full)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.frozen import exact
from jepsen_like.check.history import Event, EventType, Operation, Value, paired


@dataclass(slots=True)
class _Element:
    """What is known of one element.

    - `known` is the position from which it must be there: its add was answered, or a read that shows it was.
    - `seen` and `missed` are the latest reads that show it, and that should but do not; by their invocation.
    """

    attempted: bool = False
    known: int | None = None
    seen: Operation | None = None
    missed: Operation | None = None


def check_set_full(history: Iterable[Event], *, linearizable: bool = True) -> Finding:
    """Elements that were surely added must be in every later read.

    - `lost`: known to be there, and the last reads that began afterwards do not show it.
    - `stale`: known to be there, missing in a later read, there again in a still later one. Broken only if the set is
      promised to be `linearizable`, else a remark.
    - `unexpected`: read, but nobody tried to add it, or its add failed.
    - `duplicate`: twice in one read.
    - `never-read` (a remark): added, and no read began after that: nothing is known of it.

    Elements are added once each and never removed. Where no read shows any element to be kept, the verdict is at best
    UNKNOWN, as Jepsen has it.
    """
    operations = paired(list(history))
    elements = _added(operations)
    reads = [each for each in operations if each.f == "read" and each.outcome is EventType.OK]
    anomalies = [anomaly for read in reads for anomaly in _wrong_in(read, elements)]
    _learn(elements, operations, reads)
    remarks: list[Anomaly] = []
    kept = 0
    for value, element in elements.items():
        kept += element.seen is not None and (
            element.missed is None or element.missed.invoked < element.seen.invoked
        )
        if element.missed is None:
            if element.known is not None and element.seen is None:
                remarks.append(
                    Anomaly("never-read", f"{value!r} was added and no read began after that", element.known)
                )
        elif element.seen is None or element.seen.invoked < element.missed.invoked:
            sentence = f"{value!r} was there at event {element.known} and is not in {_named(element.missed)}"
            anomalies.append(Anomaly("lost", sentence, element.missed.returned))
        else:
            sentence = (
                f"{value!r} was there at event {element.known}, {_named(element.missed)} does not show it"
            )
            (anomalies if linearizable else remarks).append(
                Anomaly("stale", sentence, element.missed.returned)
            )
    return Finding.of(anomalies, remarks, undecided=kept == 0)


def _added(operations: list[Operation]) -> dict[Value, _Element]:
    elements: dict[Value, _Element] = {}
    for operation in operations:
        if operation.f == "add":
            element = elements.setdefault(exact(operation.argument), _Element())
            element.attempted = element.attempted or operation.outcome is not EventType.FAIL
            if operation.outcome is EventType.OK:
                element.known = operation.returned
    return elements


def _wrong_in(read: Operation, elements: dict[Value, _Element]) -> Iterable[Anomaly]:
    for value, times in Counter(map(exact, read.result or ())).items():
        if value not in elements or not elements[value].attempted:
            yield Anomaly("unexpected", f"{_named(read)} shows {value!r}, which nobody added", read.returned)
        if times > 1:
            yield Anomaly("duplicate", f"{_named(read)} shows {value!r} {times} times", read.returned)


def _learn(elements: dict[Value, _Element], operations: list[Operation], reads: list[Operation]) -> None:
    """What the reads say of each element. An element is known from the earliest answer that proves it."""
    members = {read.invoked: frozenset(map(exact, read.result or ())) for read in reads}
    for read in sorted(reads, key=lambda each: each.returned or 0):
        for value in members[read.invoked]:
            element = elements.get(value)
            if element is None:
                continue
            assert read.returned is not None, f"an answered read returned nowhere: {read}"
            element.known = read.returned if element.known is None else min(element.known, read.returned)
            if element.seen is None or element.seen.invoked < read.invoked:
                element.seen = read
    for read in sorted(reads, key=lambda each: each.invoked):
        for value, element in elements.items():
            if (
                element.known is not None
                and element.known < read.invoked
                and value not in members[read.invoked]
            ):
                element.missed = read


def _named(read: Operation) -> str:
    return f"the read of process {read.process} at event {read.returned}"
