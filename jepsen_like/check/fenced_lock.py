"""Whether a lock with fencing tokens excludes: tokens grow, and the guarded resource refuses old ones."""

from collections.abc import Callable, Hashable, Iterable

from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.history import Event, EventType, Operation, Value, paired


def check_fenced_lock(history: Iterable[Event], *, leases: bool = False) -> Finding:
    """`acquire` answers a token, `release` gives the lock back, `use token` acts on the resource that the lock guards.

    - `token-repeated`: two grants with one token.
    - `token-not-growing`: a grant asked for after another was answered has a smaller token.
    - `stale-use`: the resource accepted a token although a use with a greater one had been accepted before it began.
    - `two-holders`: two processes surely held the lock at one moment: each from its grant's answer until it asked to
      release. Not looked at with `leases`, where a grant may end without its holder's knowledge: there only the tokens
      protect. A process that vanished without release holds the lock for ever.

    `key` tells locks apart. An `acquire` that answers None did not get the lock.
    """
    locks: dict[Hashable, list[Operation]] = {}
    for operation in paired(list(history)):
        locks.setdefault(operation.key, []).append(operation)
    anomalies: list[Anomaly] = []
    for operations in locks.values():
        grants = [
            each
            for each in operations
            if each.f == "acquire" and each.outcome is EventType.OK and each.result is not None
        ]
        grants.sort(key=_returned)
        anomalies += _repeated(grants)
        anomalies += _out_of_order(grants, lambda grant: grant.result, "token-not-growing", "was granted")
        uses = [each for each in operations if each.f == "use" and each.outcome is EventType.OK]
        anomalies += _out_of_order(uses, lambda use: use.argument, "stale-use", "was accepted")
        if not leases:
            anomalies += _two_holders(grants, operations)
    return Finding.of(anomalies, [])


def _returned(operation: Operation) -> int:
    assert operation.returned is not None, f"an answered operation returned nowhere: {operation}"
    return operation.returned


def _repeated(grants: list[Operation]) -> Iterable[Anomaly]:
    first: dict[Value, Operation] = {}
    for grant in grants:
        earlier = first.setdefault(grant.result, grant)
        if earlier is not grant:
            sentence = f"token {grant.result} was granted to {grant.process} and before to {earlier.process}"
            yield Anomaly("token-repeated", sentence, grant.returned)


def _out_of_order(
    operations: list[Operation], token_of: Callable[[Operation], Value], kind: str, verb: str
) -> Iterable[Anomaly]:
    """Operations that began after another with a greater token was answered."""
    answered = sorted(operations, key=_returned)
    greatest: Operation | None = None
    following = 0
    for operation in sorted(operations, key=lambda each: each.invoked):
        while following < len(answered) and _returned(answered[following]) < operation.invoked:
            done = answered[following]
            greatest = done if greatest is None or token_of(done) > token_of(greatest) else greatest
            following += 1
        if greatest is not None and token_of(operation) < token_of(greatest):
            newer = f"{token_of(greatest)} of {greatest.process}"
            sentence = f"token {token_of(operation)} of {operation.process} {verb} after {newer}"
            yield Anomaly(kind, sentence, operation.returned)


def _two_holders(grants: list[Operation], operations: list[Operation]) -> Iterable[Anomaly]:
    """Grants whose sure holding overlaps that of the holder before."""
    releases: dict[Hashable, list[int]] = {}
    for operation in operations:
        if operation.f == "release" and operation.outcome is not EventType.FAIL:
            releases.setdefault(operation.process, []).append(operation.invoked)
    held = []
    for grant in grants:
        ends = [end for end in releases.get(grant.process, []) if end > _returned(grant)]
        held.append((_returned(grant), min(ends, default=None), grant))
    holder: tuple[int | None, Operation] | None = None  # the one that holds longest of those granted so far
    for start, end, grant in held:
        if holder is not None and (holder[0] is None or holder[0] > start):
            sentence = f"{grant.process} was granted the lock that {holder[1].process} held since {holder[1].returned}"
            yield Anomaly("two-holders", sentence, start)
        if holder is None or (holder[0] is not None and (end is None or end > holder[0])):
            holder = (end, grant)
