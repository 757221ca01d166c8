"""Who must be well for a group to decide, and what a plan's membership faults ask for."""

from itertools import combinations
from random import Random

from jepsen_like.sim.core.changes import asked
from jepsen_like.sim.electorate import enough, halves, smallest
from jepsen_like.sim.faults import How, MemberChange
from jepsen_like.sim.notation import changes, membership, node_text, nodes
from raftlog.core.change import ImpossibleChange, step
from raftlog.core.ids import NodeId


def test_every_half_of_every_membership_counts() -> None:
    sets = halves([membership(["voters=n1,n2", "outgoing=n1..n3"]), membership(["voters=n4"])])
    assert sets == [(1, 2), (1, 2, 3), (4,)]
    assert enough(sets, nodes("n1,n2,n4"))
    assert not enough(sets, nodes("n1,n3,n4"))
    assert not enough(sets, nodes("n1..n3"))


def test_learners_that_wait_to_be_promoted_count_as_if_they_were() -> None:
    """With n4 a voter, two of three are not enough any more; in n3's place, others are needed than before."""
    waiting = step(membership(["voters=n1..n3"]), changes(["replace-later=n3:n4"]))
    assert halves([waiting]) == [(1, 2, 3), (1, 2, 3, 4), (1, 2, 4)]
    assert not enough(halves([waiting]), nodes("n2,n3"))
    growing = step(membership(["voters=n1..n3"]), changes(["add-voter=n4"]))
    assert not enough(halves([growing]), nodes("n1,n2"))


def test_the_smallest_has_nobody_to_spare() -> None:
    random = Random("electorate")
    for _ in range(200):
        everyone = [NodeId(id) for id in range(1, random.randint(2, 8))]
        sets = [tuple(sorted(random.sample(everyone, random.randint(1, len(everyone))))) for _ in range(3)]
        chosen = smallest(sets, everyone, random)
        assert enough(sets, chosen)
        for fewer in combinations(chosen, len(chosen) - 1):
            assert not enough(sets, fewer), (sets, chosen)
    assert smallest([(NodeId(1), NodeId(2))], [NodeId(1)], random) == [1], (
        "all there are, where that is not enough"
    )


def test_what_is_asked_for_fits_the_membership() -> None:
    """Whatever nodes a plan names, it is something the membership can be changed to, or nothing at all."""
    random = Random("asked")
    hows: tuple[How, ...] = (
        "grow", "learn", "promote", "demote", "shrink", "replace", "replace-later", "reshape",
    )  # fmt: skip
    now, done = membership(["voters=n1..n3", "learners=n4"]), 0
    for at in range(400):
        some = [NodeId(id) for id in random.sample(range(1, 7), random.randint(1, 4))]
        fault = MemberChange(at=at, how=random.choice(hows), nodes=tuple(map(node_text, some)))
        wanted = asked(fault, some, now)
        try:
            after, problem = step(now, wanted), ""
        except ImpossibleChange as impossible:
            after, problem = now, str(impossible)
        if problem:
            assert "nothing changes" in problem or "no voter would be left" in problem, problem
            continue
        done += 1
        if fault.how == "reshape":
            assert set(after.voters) == set(some)
        if not after.joint and random.random() < 0.3:
            now = after
    assert done > 150
