"""Whether a bank keeps its money: reads of all accounts must always show the same total."""

from collections.abc import Collection, Iterable, Mapping

from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.history import Event, EventType, Operation, Value, paired


def check_bank(
    history: Iterable[Event],
    *,
    total: int,
    accounts: Collection[Value] | None = None,
    may_be_negative: bool = False,
) -> Finding:
    """Look at every `read`, which answers {account: balance}, or pairs of them. `transfer` moves money.

    - `wrong-total`: the balances do not add up to `total`.
    - `negative`: a balance below zero, unless that is allowed.
    - `unexpected-account`, `missing-account`: the accounts are not those named, where they are named.
    - `no-balance`: an account without a number.

    Without any answered read the verdict is UNKNOWN.
    """
    reads = [each for each in paired(list(history)) if each.f == "read" and each.outcome is EventType.OK]
    anomalies = [
        Anomaly(kind, f"process {read.process} read {sentence}", read.returned)
        for read in reads
        for kind, sentence in _wrong(read, total, accounts, may_be_negative)
    ]
    remarks = [] if reads else [Anomaly("no-reads", "no read was answered, so nothing is known of the total")]
    return Finding.of(anomalies, remarks, undecided=not reads)


def _mapped(balances: Value) -> Mapping[Value, Value] | None:
    """The balances by account; a recording that keeps immutable values has them as pairs."""
    if isinstance(balances, Mapping):
        return balances
    if isinstance(balances, tuple) and all(isinstance(each, tuple) and len(each) == 2 for each in balances):
        return dict(balances)
    return None


def _wrong(
    read: Operation, total: int, accounts: Collection[Value] | None, may_be_negative: bool
) -> Iterable[tuple[str, str]]:
    balances = _mapped(read.result)
    if balances is None:
        yield "no-balance", f"{read.result!r}, which is no map of balances"
        return
    if accounts is not None:
        for account in sorted(set(balances) - set(accounts), key=repr):
            yield "unexpected-account", f"{account!r}, which is no account"
        for account in sorted(set(accounts) - set(balances), key=repr):
            yield "missing-account", f"nothing of account {account!r}"
    numbers = {account: amount for account, amount in balances.items() if isinstance(amount, int | float)}
    for account in sorted(set(balances) - set(numbers), key=repr):
        yield "no-balance", f"{balances[account]!r} for account {account!r}"
    if len(numbers) == len(balances) and sum(numbers.values()) != total:
        yield "wrong-total", f"{sum(numbers.values())} in all, not {total}: {dict(balances)!r}"
    for account, amount in sorted(numbers.items(), key=repr):
        if amount < 0 and not may_be_negative:
            yield "negative", f"{amount} for account {account!r}"
