"""Every guard is needed: with one taken out, the scripts and tests that guard it fail."""

import pytest

from jepsen_like.mutants.mutant import Mutant
from jepsen_like.mutants.plant import planted
from jepsen_like.mutants.table import find, read
from tests.guards.stories import tell

TABLE = read(find(None))
GUARDED = [mutant for mutant in TABLE.mutants if mutant.scripts or mutant.tests]


@pytest.mark.parametrize("mutant", GUARDED, ids=lambda mutant: mutant.name)
def test_without_its_guard_it_fails(mutant: Mutant) -> None:
    with planted(mutant):
        assert tell(mutant) == [*mutant.scripts, *mutant.tests]


def test_the_code_is_itself_again_afterwards() -> None:
    for mutant in GUARDED[:3]:
        with planted(mutant):
            pass
        assert tell(mutant) == []


@pytest.mark.parametrize("mutant", TABLE.mutants, ids=lambda mutant: mutant.name)
def test_every_mutant_fits_the_code(mutant: Mutant) -> None:
    with planted(mutant):
        pass


def test_every_starred_row_is_planted_or_absent_or_impossible() -> None:
    assert not TABLE.owed(), f"without a mutant: {TABLE.owed()}"


def test_every_mutant_that_no_tier_looks_for_says_why() -> None:
    silent = [each.name for each in TABLE.mutants if not (each.tiers or each.absent or each.why)]
    assert not silent, f"neither tiers nor absent nor why: {silent}"


def test_every_mutant_has_somebody_to_kill_it() -> None:
    without = [each.name for each in TABLE.mutants if not (each.tiers or each.scripts or each.tests)]
    assert not without, f"nothing is named that kills {without}"
