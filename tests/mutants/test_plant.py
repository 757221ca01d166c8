"""A bug is planted as it is written, for as long as it is asked for, and never into code that has moved on."""

import asyncio

import pytest

from jepsen_like.mutants.plant import Unplantable, planted
from tests.mutants.fake import Service
from tests.mutants.rows import FAKE, mutant


def test_the_bug_is_there_as_long_as_it_is_asked_for() -> None:
    with planted(mutant(new="seed * 3")):
        assert Service().answer(7) == 21
    assert Service().answer(7) == 14


def test_an_exception_takes_the_bug_out_as_well() -> None:
    with pytest.raises(KeyError), planted(mutant(new="seed * 3")):
        raise KeyError
    assert Service().answer(7) == 14


def test_properties_and_coroutines_can_be_wrong_too() -> None:
    bug = mutant(
        where=f"{FAKE}:Service.limit",
        old="100",
        new="7",
        also=[{"where": f"{FAKE}:Service.later", "old": "return seed", "new": "return -seed"}],
    )
    with planted(bug):
        assert Service().limit == 7
        assert asyncio.run(Service.later(3)) == -3
    assert Service().limit == 100
    assert asyncio.run(Service.later(3)) == 3


def test_edits_of_one_function_add_up() -> None:
    bug = mutant(
        old="doubled = seed * 2",
        new="doubled = seed * 3",
        also=[{"where": f"{FAKE}:Service.answer", "old": "return doubled", "new": "return doubled + 1"}],
    )
    with planted(bug):
        assert Service().answer(2) == 7


@pytest.mark.parametrize(
    "change, said",
    [
        ({"old": "seed * 4"}, "occurs 0 times"),
        ({"old": "seed"}, "occurs 4 times"),
        ({"where": f"{FAKE}:Service.gone"}, "there is no tests.mutants.fake:Service.gone"),
        ({"where": "tests.mutants.gone:Service"}, "No module named"),
        ({"where": f"{FAKE}:HOUR"}, "is not a function"),
        ({"new": "seed *"}, "invalid syntax"),
    ],
)
def test_a_bug_that_does_not_fit_is_named(change: dict[str, str], said: str) -> None:
    bug = mutant(**change)
    with pytest.raises(Unplantable, match=said), planted(bug):
        pass
    assert Service().answer(7) == 14


def test_of_two_bugs_neither_stays_when_the_second_does_not_fit() -> None:
    with pytest.raises(Unplantable), planted(mutant(new="0"), mutant("other", old="gone")):
        pass
    assert Service().answer(7) == 14
