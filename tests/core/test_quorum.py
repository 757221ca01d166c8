"""Majorities and joint quorums against counting out every subset."""

from itertools import combinations, product
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from raftlog.core.ids import NodeId
from raftlog.core.quorum import Majority, Quorum, VoteResult

SIZES = range(1, 8)
Halves: TypeAlias = tuple[tuple[NodeId, ...], tuple[NodeId, ...]]


def _ids(count: int, start: int = 1) -> tuple[NodeId, ...]:
    return tuple(NodeId(id) for id in range(start, start + count))


def _majorities(voters: tuple[NodeId, ...]) -> list[set[NodeId]]:
    """Every subset of more than half: two of them always share a voter."""
    return [
        set(some)
        for size in range(len(voters) + 1)
        if 2 * size > len(voters)
        for some in combinations(voters, size)
    ]


def test_size_is_the_smallest_set_that_meets_every_other() -> None:
    for count in SIZES:
        voters = _ids(count)
        smallest = next(
            size
            for size in range(1, count + 1)
            if all(set(a) & set(b) for a in combinations(voters, size) for b in combinations(voters, size))
        )
        assert Majority(voters).size == smallest, f"{count} voters"


def test_every_outcome_of_every_vote() -> None:
    for count in SIZES:
        voters = _ids(count)
        for ballots in product((True, False, None), repeat=count):
            box = dict(zip(voters, ballots, strict=True))
            yes = {voter for voter, ballot in box.items() if ballot}
            maybe = {voter for voter, ballot in box.items() if ballot is not False}
            won = any(majority <= yes for majority in _majorities(voters))
            can_win = any(majority <= maybe for majority in _majorities(voters))
            expected = VoteResult.WON if won else VoteResult.PENDING if can_win else VoteResult.LOST
            assert Majority(voters).vote(box.get) is expected, box


def _reached(voters: tuple[NodeId, ...], match: dict[NodeId, int]) -> int:
    """The highest index that all of some majority have reached."""
    return max(min(match[voter] for voter in majority) for majority in _majorities(voters))


def test_committed_is_what_some_majority_has_reached() -> None:
    for count in SIZES:
        voters = _ids(count)
        for reached in product(range(3), repeat=count):
            match = dict(zip(voters, reached, strict=True))
            assert Majority(voters).committed(match.__getitem__) == _reached(voters, match), match


@st.composite
def _joint(draw: st.DrawFn) -> Halves:
    def some(least: int) -> tuple[NodeId, ...]:
        return tuple(sorted(draw(st.sets(st.sampled_from(_ids(7)), min_size=least))))

    return some(1), some(0)


@given(_joint(), st.lists(st.integers(0, 9), min_size=7, max_size=7))
def test_joint_committed_needs_both_halves(halves: Halves, reached: list[int]) -> None:
    match = dict(zip(_ids(7), reached, strict=True))
    expected = min(_reached(half, match) for half in halves if half)
    assert Quorum.of(*halves).committed(match.__getitem__) == expected


@given(_joint(), st.lists(st.sampled_from((True, False, None)), min_size=7, max_size=7))
def test_joint_vote_is_won_by_both_halves_and_lost_by_either(
    halves: Halves, ballots: list[bool | None]
) -> None:
    box = dict(zip(_ids(7), ballots, strict=True))
    results = [Majority(half).vote(box.get) for half in halves if half]
    quorum = Quorum.of(*halves)
    if VoteResult.LOST in results:
        assert quorum.vote(box.get) is VoteResult.LOST
    elif VoteResult.PENDING in results:
        assert quorum.vote(box.get) is VoteResult.PENDING
    else:
        assert quorum.vote(box.get) is VoteResult.WON
    assert quorum.agrees(lambda voter: box[voter] is True) == all(
        Majority(half).vote(lambda voter: box[voter] is True) is VoteResult.WON for half in halves if half
    )


@given(_joint())
def test_two_winning_sets_of_one_quorum_meet(halves: Halves) -> None:
    quorum = Quorum.of(*halves)
    assert quorum.voters == tuple(sorted({*halves[0], *halves[1]}))
    for size in range(len(quorum.voters) + 1):
        for some in combinations(quorum.voters, size):
            rest = set(quorum.voters) - set(some)
            assert not (quorum.agrees(some.__contains__) and quorum.agrees(rest.__contains__)), some


def test_nobody_wins_where_nobody_votes() -> None:
    assert Quorum.of(()).vote(lambda _: True) is VoteResult.LOST
    assert Quorum.of(()).committed(lambda _: 9) == 0
