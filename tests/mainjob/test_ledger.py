"""The account of the writes adds up, and knows how long nothing was acknowledged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog.mainjob.ledger import Ledger, Outcome, Silence, percentile


def kept(*times: int) -> Ledger:
    """A ledger with one acknowledgement at each time."""
    ledger = Ledger(len(times))
    for position, time in enumerate(times):
        ledger.acknowledge(position, time - 5, time)
    return ledger


def test_a_line_is_settled_once() -> None:
    ledger = Ledger(3)
    ledger.acknowledge(1, 10, 14)
    ledger.doubt(0, "its leader went away")
    assert ledger.positions(Outcome.ACKNOWLEDGED) == [1]
    assert ledger.positions(Outcome.UNKNOWN) == [0]
    assert ledger.counts() == {Outcome.PENDING: 1, Outcome.ACKNOWLEDGED: 1, Outcome.UNKNOWN: 1}
    assert (ledger.latencies, ledger.reasons) == ([4], {0: "its leader went away"})
    with pytest.raises(AssertionError, match="write 1 is acknowledged"):
        ledger.doubt(1, "again")


@pytest.mark.parametrize(
    "times, moment, silence",
    [
        ((100, 110, 120, 900, 910), 115, Silence(120, 900)),
        ((100, 110, 120, 900, 910), 905, Silence(900, 910)),
        ((500,), 100, Silence(100, 500)),
        ((100, 200), 300, None),
        ((), 0, None),
    ],
)
def test_the_silence_of_a_failover_spans_the_gap_after_the_kill(
    times: tuple[int, ...], moment: int, silence: Silence | None
) -> None:
    assert kept(*times).silence_after(moment) == silence


def test_the_recent_rate_counts_one_window() -> None:
    assert kept(0, 500_000, 1_000_000, 1_200_000).recent_rate(1_400_000) == 3.0


@given(st.lists(st.integers(0, 50), min_size=1), st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_a_percentile_is_the_smallest_value_that_covers_the_share(values: list[int], share: float) -> None:
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values)
    assert all(
        sum(value <= lower for value in values) < share * len(values)
        for lower in set(values)
        if lower < found
    )


def test_of_no_values_there_is_no_percentile() -> None:
    assert percentile([], 0.5) == 0
