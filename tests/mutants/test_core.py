"""A handful of the table's mutants on the real core tier: each oracle here is seen to work whenever tests run."""

import pytest

from jepsen_like.mutants.campaign import Report, campaign
from jepsen_like.mutants.hunt import Ground
from jepsen_like.mutants.table import find, read

SECOND = 1_000_000
TABLE = read(find(None))
SOON = {
    "logs_are_not_compared": "E6",
    "unsorted_matches": "I7",
    "applied_before_it_is_decided": "I8",
    "heartbeat_answer_acknowledges": "R22",
    "proposal_after_stepping_down": "I10",
    "speaks_in_a_term_not_on_disk": "I11",
    "read_at_another_index": "I14",
    "no_pre_vote": "E14",
    "previous_entry_of_another_term": "liveness",
}
"""Which oracle sees each of these, and within a few seeds."""
BLIND = ("partition_leaks", "nobody_asks", "quorums_are_not_checked", "promises_are_not_checked")
"""Bugs of the laboratory that show as soon."""


def hunted(*names: str, seeds: int) -> Report:
    """A campaign over some mutants of the table, with short runs."""
    ground = Ground(seeds=seeds, harness_seeds=1, span=12 * SECOND, tiers=("core",))
    return campaign(TABLE, [TABLE.named(name) for name in names], ground, workers=2)


@pytest.mark.slow
def test_the_intended_oracle_sees_each_of_these_soon() -> None:
    report = hunted(*SOON, seeds=30)
    killed = {each.mutant.name: each.oracle for each in report.hunted}
    assert killed == SOON, "replay with `python -m jepsen_like mutants --tier core --span 12s --seeds 30`"
    assert not report.clean_failures


@pytest.mark.slow
def test_a_blind_laboratory_does_not_pass_for_green() -> None:
    report = hunted(*BLIND, seeds=10)
    survived = [each.mutant.name for each in report.hunted if each.fate != "killed"]
    assert not survived, f"nothing noticed {survived}"
