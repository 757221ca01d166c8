"""Who must be well for a group to decide: most of every half of every membership that may be in force, counted anew.

A core that is wrong about majorities must not be asked what one is.
"""

from collections.abc import Collection, Iterable, Sequence
from random import Random

from raftlog.core.ids import NodeId
from raftlog.core.membership import Membership

Halves = list[tuple[NodeId, ...]]


def halves(memberships: Iterable[Membership]) -> Halves:
    """The sets of voters of which each must have a majority.

    Learners that become voters when they are ready count as if they were: that happens in a moment that nobody chooses.
    """
    found: set[tuple[NodeId, ...]] = set()
    for membership in memberships:
        found |= {membership.voters, membership.outgoing}
        voters = set(membership.voters)
        for member in membership.members:
            if member.promote_when_ready and member.id in membership.learners:
                voters.add(member.id)
                found.add(tuple(sorted(voters)))
                found.add(tuple(sorted(voters - {member.replaces})))
    return sorted(half for half in found if half)


def enough(sets: Halves, nodes: Collection[NodeId]) -> bool:
    """Whether these nodes are most of each half."""
    return all(2 * sum(voter in nodes for voter in half) > len(half) for half in sets)


def smallest(sets: Halves, nodes: Sequence[NodeId], random: Random) -> list[NodeId]:
    """Some of the nodes that are enough, without one that could be spared; all of them where they are not enough."""
    order = list(nodes)
    random.shuffle(order)
    chosen = list(order)
    for node in order:
        fewer = [other for other in chosen if other != node]
        if enough(sets, fewer):
            chosen = fewer
    return sorted(chosen)
