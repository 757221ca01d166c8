"""The steps of membership changes, against quorums counted out and sequences of changes drawn at random."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftlog.core.change import (
    AddLearner,
    Change,
    Demote,
    Describe,
    ImpossibleChange,
    Promote,
    Remove,
    Replace,
    enter_joint,
    leave_joint,
    simple,
    step,
)
from raftlog.core.ids import NodeId
from raftlog.core.membership import Member, Membership

NODES = range(1, 8)


def _member(id: int, *, promote: bool = False, replaces: int | None = None) -> Member:
    replaced = None if replaces is None else NodeId(replaces)
    return Member(NodeId(id), f"n{id}", f"h{id}:1", f"h{id}:2", promote, replaced)


def _of(*voters: int, learners: tuple[int, ...] = ()) -> Membership:
    ids = sorted({*voters, *learners})
    return Membership(
        tuple(map(NodeId, sorted(voters))), (), tuple(map(NodeId, learners)), tuple(map(_member, ids))
    )


# -- quorums, counted out


def _quorums(membership: Membership) -> list[frozenset[int]]:
    """Every set of voters that may decide: more than half of each half there is."""
    halves = [half for half in (membership.voters, membership.outgoing) if half]
    everyone = sorted({*membership.voters, *membership.outgoing})
    return [
        frozenset(some)
        for size in range(1, len(everyone) + 1)
        for some in combinations(everyone, size)
        if all(2 * len(set(some) & set(half)) > len(half) for half in halves)
    ]


def _overlap(one: Membership, other: Membership) -> bool:
    """Whether each quorum of the one has a node in common with each of the other."""
    return all(a & b for a in _quorums(one) for b in _quorums(other))


def _swap(membership: Membership, voters: frozenset[int]) -> list[Change]:
    """The changes that make exactly these nodes the voters; who is no voter any more goes."""
    known = membership.ids
    added: list[Change] = [AddLearner(_member(id)) for id in sorted(voters) if id not in known]
    ups: list[Change] = [Promote(NodeId(id)) for id in sorted(voters) if id not in membership.voters]
    return [*added, *ups, *(Remove(id) for id in membership.voters if id not in voters)]


def test_two_changes_of_one_membership_never_decide_apart() -> None:
    """All pairs of voter sets among seven nodes: each joint membership meets both, and every other."""
    groups = [frozenset(some) for size in (1, 2, 3, 4) for some in combinations(NODES, size)]
    old = _of(1, 2, 3)
    ways = [enter_joint(old, _swap(old, group)) for group in groups if group != {1, 2, 3}]
    for joint in ways:
        assert _overlap(old, joint), joint
        assert _overlap(joint, leave_joint(joint)), joint
    for one, other in zip(ways, ways[7:] + ways[:7], strict=True):
        assert _overlap(one, other), "two leaders may each have begun a change of the same membership"


def test_quorums_are_those_of_the_core() -> None:
    """Counting out and `Quorum.agrees` say the same, for every set of every joint membership of up to seven nodes."""
    for count in range(2, 8):
        old = _of(*range(1, count // 2 + 2))
        joint = step(old, _swap(old, frozenset(range(count // 2 + 1, count + 1))))
        deciding = set(_quorums(joint))
        for size in range(len(joint.ids) + 1):
            for some in combinations(joint.ids, size):
                agrees = joint.quorum.agrees(some.__contains__)
                assert agrees == (frozenset(some) & {*joint.voters, *joint.outgoing} in deciding), some


# -- any reachable sequence


CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(
        AddLearner,
        st.builds(
            lambda id, promote, replaces: _member(id, promote=promote, replaces=replaces),
            st.sampled_from(NODES),
            st.booleans(),
            st.none() | st.sampled_from(NODES),
        ),
    ),
    st.builds(Promote, st.sampled_from(NODES).map(NodeId)),
    st.builds(Demote, st.sampled_from(NODES).map(NodeId)),
    st.builds(Remove, st.sampled_from(NODES).map(NodeId)),
    st.builds(Replace, st.sampled_from(NODES).map(NodeId), st.sampled_from(NODES).map(_member)),
    st.builds(Describe, st.sampled_from(NODES).map(lambda id: _member(id, promote=True))),
)


def _plainly(voters: set[int], learners: set[int], change: Change) -> bool:
    """What a change does to two sets, written down as plainly as it can be; False where it does not fit."""
    fits = False
    match change:
        case AddLearner(member=member):
            fits = member.id not in voters | learners and member.replaces in (None, *voters, *learners)
            learners |= {int(member.id)} if fits else set()
        case Promote(node=node):
            fits = node in learners
            voters |= {int(node)} & learners
            learners -= {node}
        case Demote(node=node):
            fits = node in voters
            learners |= {int(node)} & voters
            voters -= {node}
        case Remove(node=node):
            fits = node in voters | learners
            voters -= {node}
            learners -= {node}
        case Replace(node=node, member=member):
            fits = node in voters | learners and member.id not in voters and member.id != node
            (voters if node in voters else learners).add(int(member.id))
            voters -= {node}
            learners -= {node, *(voters & {member.id})}
        case Describe(member=member):
            fits = member.id in voters | learners
    return fits


@settings(max_examples=300)
@given(st.lists(st.lists(CHANGES, min_size=1, max_size=4), max_size=6))
def test_any_reachable_sequence_keeps_quorums_that_overlap(story: list[list[Change]]) -> None:
    now = _of(1, 2, 3, learners=(4,))
    for changes in story:
        voters, learners = {int(id) for id in now.voters}, {int(id) for id in now.learners}
        fits = all(_plainly(voters, learners, change) for change in changes) and voters
        try:
            after, problem = step(now, changes), ""
        except ImpossibleChange as impossible:
            after, problem = now, str(impossible)
        if problem:
            assert not fits or "nothing changes" in problem or "both have" in problem, problem
            continue
        assert fits, (now, changes)
        assert _overlap(now, after), (now, after)
        assert after.joint == (set(now.voters) != voters), "joint exactly where the voters change"
        if after.joint:
            assert after.outgoing == now.voters
            assert not set(now.ids) - set(after.ids) & set(now.voters), "a voter is a member until it is left"
            with pytest.raises(ImpossibleChange, match="wait for that"):
                step(after, changes)
            assert _overlap(after, leave_joint(after)), after
            after = leave_joint(after)
        assert (set(after.voters), set(after.learners)) == (voters, learners)
        assert set(after.ids) == voters | learners, "nobody is named who is neither voter nor learner"
        for member in after.members:
            assert not (member.promote_when_ready and member.id in voters), "its wish is fulfilled"
            assert member.replaces is None or member.replaces in after.ids
        now = after


# -- one by one


def test_a_learner_comes_and_goes_in_one_step() -> None:
    added = step(_of(1, 2, 3), [AddLearner(_member(4, promote=True, replaces=3))])
    assert added.learners == (4,)
    assert not added.joint
    assert added.member(NodeId(4)) == _member(4, promote=True, replaces=3)
    assert step(added, [Remove(NodeId(4))]) == _of(1, 2, 3)


def test_a_promotion_and_a_removal_are_one_joint_step() -> None:
    joint = step(_of(1, 2, 3, learners=(4,)), [Promote(NodeId(4)), Remove(NodeId(3))])
    assert (joint.voters, joint.outgoing, joint.learners) == ((1, 2, 4), (1, 2, 3), ())
    assert joint.ids == (1, 2, 3, 4)
    assert leave_joint(joint) == _of(1, 2, 4)


def test_a_demoted_voter_is_a_learner_once_the_joint_membership_is_left() -> None:
    joint = step(_of(1, 2, 3), [Demote(NodeId(3))])
    assert (joint.voters, joint.outgoing, joint.learners, joint.demoted) == ((1, 2), (1, 2, 3), (), (3,))
    assert joint.may_vote(NodeId(3))
    assert leave_joint(joint) == _of(1, 2, learners=(3,))


def test_a_replacement_may_have_the_address_of_the_one_it_replaces() -> None:
    stranger = Member(NodeId(9), "n3", "h3:1", "h3:2")
    joint = step(_of(1, 2, 3), [Replace(NodeId(3), stranger)])
    assert joint.ids == (1, 2, 3, 9)
    assert leave_joint(joint).members[-1] == stranger
    patient = Member(NodeId(9), "n3", "h3:1", "h3:2", True, NodeId(3))
    assert step(_of(1, 2, 3), [AddLearner(patient)]).learners == (9,)


def test_a_described_member_keeps_its_part() -> None:
    moved = Member(NodeId(2), "n2", "elsewhere:1", "elsewhere:2")
    after = simple(_of(1, 2), [Describe(moved)])
    assert after.member(NodeId(2)) == moved
    assert after.voters == (1, 2)


@pytest.mark.parametrize(
    "changes, says",
    [
        ([AddLearner(_member(2))], "n2 (2) is a member already"),
        ([AddLearner(_member(0))], "other than 0"),
        ([AddLearner(_member(8, replaces=9))], "node 9 is no member"),
        ([Promote(NodeId(8))], "node 8 is no member"),
        ([Promote(NodeId(2))], "n2 (2) is a voter already"),
        ([Demote(NodeId(4))], "n4 (4) is a learner already"),
        ([Remove(NodeId(8))], "node 8 is no member"),
        ([Remove(NodeId(1)), Demote(NodeId(2)), Remove(NodeId(3))], "no voter would be left"),
        ([Replace(NodeId(2), _member(2))], "cannot take its own place"),
        ([Replace(NodeId(2), _member(3))], "n3 (3) is a voter already"),
        ([Describe(_member(9))], "node 9 is no member"),
        ([Describe(Member(NodeId(2), "n3", "", ""))], "2 and 3 would both have the name n3"),
        ([Describe(Member(NodeId(2), "", "h1:1", ""))], "both have the peer address h1:1"),
        ([AddLearner(_member(8)), Remove(NodeId(8))], "nothing changes"),
        ([], "nothing changes"),
    ],
)
def test_what_cannot_be_done_says_why(changes: list[Change], says: str) -> None:
    with pytest.raises(ImpossibleChange) as problem:
        step(_of(1, 2, 3, learners=(4,)), changes)
    assert says in str(problem.value)


def test_one_step_is_refused_where_voters_change() -> None:
    with pytest.raises(ImpossibleChange, match="voters 1, 2, 3 cannot become 1, 2 in one step"):
        simple(_of(1, 2, 3), [Remove(NodeId(3))])
    with pytest.raises(ImpossibleChange, match="not joint"):
        leave_joint(_of(1, 2, 3))
