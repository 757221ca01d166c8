"""Whether what goes into a queue comes out: nothing lost, nothing invented, nothing twice."""

from collections import Counter
from collections.abc import Iterable

from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.frozen import exact
from jepsen_like.check.history import Event, EventType, Operation, Value, paired


def check_total_queue(history: Iterable[Event], *, at_least_once: bool = False) -> Finding:
    """`enqueue v`, `dequeue` that answers a value or None, `drain` that answers all that is left.

    - `lost`: surely enqueued and never dequeued. Only a history that empties the queue at its end can show this. Every
      dequeue without an answer may have taken one; no more than that many are forgiven, and make the verdict UNKNOWN.
    - `unexpected`: dequeued, but nobody tried to enqueue it, or the enqueue failed.
    - `duplicate`: dequeued more often than anybody tried to enqueue it; a remark if the promise is `at_least_once`.
    - `recovered` (a remark): dequeued although its enqueue was never answered.

    Order is not looked at: for that there is the model `queue`.
    """
    operations = paired(list(history))
    attempts: Counter[Value] = Counter()
    certain: Counter[Value] = Counter()
    for operation in operations:
        if operation.f == "enqueue" and operation.outcome is not EventType.FAIL:
            attempts[exact(operation.argument)] += 1
            certain[exact(operation.argument)] += operation.outcome is EventType.OK
    taken = [pair for operation in operations for pair in _taken(operation)]
    anomalies: list[Anomaly] = []
    remarks: list[Anomaly] = []
    dequeued: Counter[Value] = Counter()
    for value, event in sorted(taken, key=lambda pair: pair[1]):
        dequeued[value] += 1
        if not attempts[value]:
            anomalies.append(Anomaly("unexpected", f"{value!r} came out, which nobody put in", event))
        elif dequeued[value] > attempts[value]:
            sentence = f"{value!r} came out {dequeued[value]} times and was put in {attempts[value]} times"
            (remarks if at_least_once else anomalies).append(Anomaly("duplicate", sentence, event))
        elif dequeued[value] > certain[value]:
            remarks.append(
                Anomaly("recovered", f"{value!r} came out, whose enqueue was never answered", event)
            )
    missing = [value for value in certain for _ in range(certain[value] - dequeued[value])]
    unanswered = sum(each.f in ("dequeue", "drain") and each.outcome is EventType.INFO for each in operations)
    drained_blindly = any(each.f == "drain" and each.outcome is EventType.INFO for each in operations)
    excused = bool(missing) and (len(missing) <= unanswered or drained_blindly)
    lost = [Anomaly("lost", f"{value!r} was put in and never came out") for value in missing]
    (remarks if excused else anomalies).extend(lost)
    return Finding.of(anomalies, remarks, undecided=excused)


def _taken(operation: Operation) -> list[tuple[Value, int]]:
    """The values that an operation took out, with the event that tells."""
    if operation.outcome is not EventType.OK or operation.returned is None:
        return []
    if operation.f == "dequeue":
        return [] if operation.result is None else [(exact(operation.result), operation.returned)]
    if operation.f == "drain":
        return [(exact(each), operation.returned) for each in operation.result or ()]
    return []
