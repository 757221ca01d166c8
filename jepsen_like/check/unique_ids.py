"""Whether generated ids are unique."""

from collections.abc import Iterable

from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.frozen import exact
from jepsen_like.check.history import Event, EventType, Value, paired


def check_unique_ids(history: Iterable[Event], *, f: str = "generate") -> Finding:
    """Every answered `generate` must answer another id; `duplicate` is one that was answered before."""
    first: dict[Value, int] = {}
    anomalies = []
    answered = [each for each in paired(list(history)) if each.f == f and each.outcome is EventType.OK]
    for operation in sorted(answered, key=lambda each: each.returned or 0):
        assert operation.returned is not None, f"an answered operation returned nowhere: {operation}"
        earlier = first.setdefault(exact(operation.result), operation.returned)
        if earlier != operation.returned:
            sentence = (
                f"process {operation.process} was given {operation.result!r}, as was given at event {earlier}"
            )
            anomalies.append(Anomaly("duplicate", sentence, operation.returned))
    remarks = [] if answered else [Anomaly("no-ids", f"no {f} was answered, so nothing is known")]
    return Finding.of(anomalies, remarks, undecided=not answered)
