"""The fault atlas never lets a majority lose what it promised to keep."""

from random import Random

import pytest

from jepsen_like.sim.atlas import Atlas


def names(count: int) -> tuple[str, ...]:
    return tuple(f"n{number}" for number in range(1, count + 1))


@pytest.mark.parametrize("voters, budget", [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)])
def test_less_than_half_of_the_voters_may_be_destroyed(voters: int, budget: int) -> None:
    atlas = Atlas(names(voters))
    assert [atlas.claim(name) for name in names(voters)] == [True] * budget + [False] * (voters - budget)
    assert len(atlas.intact) > voters // 2


def test_what_is_repaired_may_be_destroyed_again() -> None:
    atlas = Atlas(names(3))
    assert atlas.claim("n2")
    assert not atlas.claim("n2")
    assert not atlas.claim("n1")
    atlas.repaired("n2")
    assert atlas.claim("n1")
    assert atlas.destroyed == ("n1",)
    assert atlas.intact == ("n2", "n3")


def test_nobody_counts_on_learners() -> None:
    atlas = Atlas(names(3), ("n4",))
    assert atlas.claim("n4")
    assert atlas.claim("n1")
    assert not atlas.claim("n2")
    assert atlas.intact == ("n2", "n3")


def test_a_majority_stays_intact_whatever_is_asked() -> None:
    random = Random("atlas")
    for _ in range(200):
        voters = random.randint(1, 7)
        atlas = Atlas(names(voters))
        for _ in range(30):
            name = random.choice(names(voters))
            if random.random() < 0.7:
                atlas.claim(name)
            else:
                atlas.repaired(name)
            assert len(atlas.intact) * 2 > voters


def test_while_the_voters_change_each_half_keeps_its_majority() -> None:
    atlas = Atlas(names(3), ("n4", "n5"))
    atlas.halves = [frozenset({"n1", "n2", "n3"}), frozenset({"n3", "n4", "n5"})]
    assert atlas.claim("n3")
    assert not atlas.claim("n4"), "of n3 to n5 only one would be left"
    assert not atlas.claim("n1")
    assert not atlas.keeps([frozenset({"n2", "n3"})])
    assert atlas.keeps([frozenset({"n1", "n2", "n3"}), frozenset({"n4"})])
