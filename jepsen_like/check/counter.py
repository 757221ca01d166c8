"""Whether a counter's reads lie within the bounds that the additions set, when there are too many for a search."""

from collections.abc import Iterable

from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.history import Event, EventType, Operation, paired


def check_counter(history: Iterable[Event], *, initial: int = 0) -> Finding:
    """`add n` (n may be negative) and `read`; `out-of-bounds` is a read that no choice of additions explains.

    Additions answered before the read began must be in it; those under way, or never answered, may be; those that
    began after it was answered, or failed, cannot be. This is weaker than linearizability: reads are judged one by one.
    """
    operations = paired(list(history))
    adds = [each for each in operations if each.f == "add" and each.outcome is not EventType.FAIL]
    reads = [each for each in operations if each.f == "read" and each.outcome is EventType.OK]
    anomalies = []
    for read, low, high in _bounds(adds, reads, initial):
        if not low <= read.result <= high:
            sentence = f"process {read.process} read {read.result}, which is not between {low} and {high}"
            anomalies.append(Anomaly("out-of-bounds", sentence, read.returned))
    return Finding.of(anomalies, [])


def _bounds(
    adds: list[Operation], reads: list[Operation], initial: int
) -> Iterable[tuple[Operation, int, int]]:
    """The least and the greatest legal answer of each read, in one walk over all moments that matter.

    At an addition's invocation it becomes possible, at its answer certain. A read's bounds start from what is certain
    at its invocation, and widen by every addition that is possible until its answer.
    """
    moments: list[tuple[int, str, Operation]] = []
    moments += [(each.invoked, "asked", each) for each in adds]
    moments += [(each.returned, "added", each) for each in adds if each.returned is not None]
    moments += [(each.invoked, "reading", each) for each in reads]
    moments += [(each.returned or 0, "read", each) for each in reads]
    moments.sort(key=lambda moment: moment[0])
    certain, below, above = initial, 0, 0  # of those not certain: the sum of negative and of positive amounts
    began: dict[int, tuple[int, int]] = {}
    asked_below, asked_above = 0, 0  # in all, so that what was asked during a read is a difference
    for _, deed, operation in moments:
        amount = 0 if deed in ("reading", "read") else operation.argument
        match deed:
            case "asked":
                below, above = below + min(amount, 0), above + max(amount, 0)
                asked_below, asked_above = asked_below + min(amount, 0), asked_above + max(amount, 0)
            case "added":
                certain += amount
                below, above = below - min(amount, 0), above - max(amount, 0)
            case "reading":
                began[operation.invoked] = (certain + below - asked_below, certain + above - asked_above)
            case _:
                low, high = began.pop(operation.invoked)
                yield operation, low + asked_below, high + asked_above
