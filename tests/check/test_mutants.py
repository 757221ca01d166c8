"""The checkers are checked: with any of these bugs planted, the tests that it names fail."""

import pytest

from jepsen_like.mutants.mutant import Mutant
from jepsen_like.mutants.plant import planted
from tests.check.planted import failing, mutants

ALL = mutants()


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_noticed(mutant: Mutant) -> None:
    assert mutant.tests, "nothing is named that notices it"
    with planted(mutant):
        assert failing(mutant.tests) == [*mutant.tests]


def test_without_bugs_none_of_these_tests_fails() -> None:
    assert failing(tuple(sorted({test for mutant in ALL for test in mutant.tests}))) == []
