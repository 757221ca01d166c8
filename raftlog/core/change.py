"""Changes of a membership as pure functions: what is asked for, and the steps that lead there safely.

A change that touches no voter is one step (`simple`). One that does goes through a joint membership, in which the old
voters and the new ones decide together (thesis 4.3), also where it touches a single voter: `enter_joint`, then
`leave_joint`. Any two memberships next to each other in a log, and any two that could follow the same one, so have a
node in common in each two of their quorums.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from raftlog.core.ids import NodeId
from raftlog.core.membership import Member, Membership


class AddLearner(msgspec.Struct, frozen=True, tag=True):
    """A stranger becomes a learner; with `promote_when_ready` it is a voter as soon as it has caught up."""

    member: Member


class Promote(msgspec.Struct, frozen=True, tag=True):
    """A learner becomes a voter."""

    node: NodeId


class Demote(msgspec.Struct, frozen=True, tag=True):
    """A voter becomes a learner."""

    node: NodeId


class Remove(msgspec.Struct, frozen=True, tag=True):
    """A voter or learner is no member any more."""

    node: NodeId


class Replace(msgspec.Struct, frozen=True, tag=True):
    """A stranger or a learner takes the place of a member at once: as a voter where that was one."""

    node: NodeId
    member: Member


class Describe(msgspec.Struct, frozen=True, tag=True):
    """A member has another name, other addresses or other wishes."""

    member: Member


Change: TypeAlias = AddLearner | Promote | Demote | Remove | Replace | Describe


class ImpossibleChange(ValueError):
    """What is asked for cannot be done to this membership; the message names the node and the reason."""


def step(membership: Membership, changes: Sequence[Change]) -> Membership:
    """The first membership on the way: joint where the voters change, else the one asked for.

    Raises:
        ImpossibleChange: the changes do not fit the membership, or change nothing.
    """
    wanted = _wanted(membership, changes)
    return wanted if wanted.voters == membership.voters else _joint(membership, wanted)


def simple(membership: Membership, changes: Sequence[Change]) -> Membership:
    """The membership asked for, in one step: for changes that leave the voters as they are.

    Raises:
        ImpossibleChange: as `step`, or the voters would change.
    """
    wanted = _wanted(membership, changes)
    if wanted.voters != membership.voters:
        raise ImpossibleChange(
            f"voters {_text(membership.voters)} cannot become {_text(wanted.voters)} in one step: enter a joint"
            " membership"
        )
    return wanted


def enter_joint(membership: Membership, changes: Sequence[Change]) -> Membership:
    """The joint membership: the voters asked for come in, those of now go out, and both must agree.

    Who is removed stays a member until it is left. Who is demoted votes with the outgoing half until then.

    Raises:
        ImpossibleChange: as `step`.
    """
    return _joint(membership, _wanted(membership, changes))


def leave_joint(membership: Membership) -> Membership:
    """The membership after a joint one: the incoming half alone decides.

    Raises:
        ImpossibleChange: it is not joint.
    """
    if not membership.joint:
        raise ImpossibleChange(f"voters {_text(membership.voters)} are not joint: there is nothing to leave")
    learners = tuple(sorted({*membership.learners, *membership.demoted}))
    staying = {*membership.voters, *learners}
    return Membership(
        voters=membership.voters,
        learners=learners,
        members=tuple(member for member in membership.members if member.id in staying),
    )


def _joint(membership: Membership, wanted: Membership) -> Membership:
    members = {member.id: member for member in membership.members if member.id in membership.voters}
    members |= {member.id: member for member in wanted.members}
    return Membership(
        voters=wanted.voters,
        outgoing=membership.voters,
        learners=tuple(node for node in wanted.learners if node not in membership.voters),
        members=tuple(members[node] for node in sorted(members)),
        demoted=tuple(node for node in wanted.learners if node in membership.voters),
    )


def _wanted(membership: Membership, changes: Sequence[Change]) -> Membership:
    """The membership that all changes, one after the other, lead to."""
    if membership.joint:
        raise ImpossibleChange(
            f"voters {_text(membership.outgoing)} are just becoming {_text(membership.voters)}: wait for that"
        )
    draft = _Draft(membership)
    for change in changes:
        draft.take(change)
    wanted = draft.membership()
    if wanted == membership:
        raise ImpossibleChange("nothing changes")
    return wanted


class _Draft:
    """A membership in the making."""

    def __init__(self, membership: Membership) -> None:
        self._voters = set(membership.voters)
        self._members = {member.id: member for member in membership.members}

    def take(self, change: Change) -> None:
        match change:
            case AddLearner(member=member):
                self._add(member)
            case Promote(node=node):
                self._is_learner(node)
                self._voters.add(node)
            case Demote(node=node):
                self._is_voter(node)
                self._voters.remove(node)
            case Remove(node=node):
                self._remove(node)
            case Replace(node=node, member=member):
                self._replace(node, member)
            case Describe(member=member):
                self._is_member(member.id)
                self._members[member.id] = member

    def _add(self, member: Member) -> None:
        if member.id in self._members:
            raise ImpossibleChange(f"{self._name(member.id)} is a member already")
        if member.id == 0:
            raise ImpossibleChange("a member needs an id other than 0")
        if member.replaces is not None:
            self._is_member(member.replaces)
        self._members[member.id] = member

    def _remove(self, node: NodeId) -> None:
        self._is_member(node)
        self._voters.discard(node)
        del self._members[node]

    def _replace(self, node: NodeId, member: Member) -> None:
        self._is_member(node)
        if node == member.id:
            raise ImpossibleChange(f"{self._name(node)} cannot take its own place")
        if member.id in self._voters:
            raise ImpossibleChange(f"{self._name(member.id)} is a voter already")
        voter = node in self._voters
        self._remove(node)
        self._members[member.id] = member
        if voter:
            self._voters.add(member.id)

    def membership(self) -> Membership:
        """What has come out.

        Raises:
            ImpossibleChange: nobody would vote, or two members would have one name or address.
        """
        if not self._voters:
            raise ImpossibleChange("no voter would be left")
        members = tuple(self._settled(self._members[node]) for node in sorted(self._members))
        _distinct(members)
        learners = tuple(node for node in sorted(self._members) if node not in self._voters)
        return Membership(voters=tuple(sorted(self._voters)), learners=learners, members=members)

    def _settled(self, member: Member) -> Member:
        """Without wishes that are fulfilled, or that nobody can fulfil any more."""
        waits = member.promote_when_ready and member.id not in self._voters
        replaces = member.replaces if waits and member.replaces in self._members else None
        if (waits, replaces) == (member.promote_when_ready, member.replaces):
            return member
        return msgspec.structs.replace(member, promote_when_ready=waits, replaces=replaces)

    def _is_member(self, node: NodeId) -> None:
        if node not in self._members:
            raise ImpossibleChange(f"node {node:x} is no member")

    def _is_voter(self, node: NodeId) -> None:
        self._is_member(node)
        if node not in self._voters:
            raise ImpossibleChange(f"{self._name(node)} is a learner already")

    def _is_learner(self, node: NodeId) -> None:
        self._is_member(node)
        if node in self._voters:
            raise ImpossibleChange(f"{self._name(node)} is a voter already")

    def _name(self, node: NodeId) -> str:
        member = self._members.get(node)
        return f"node {node:x}" if member is None or not member.name else f"{member.name} ({node:x})"


def _distinct(members: Sequence[Member]) -> None:
    """Two members are told apart by name and address; a learner may have those of the member it is to replace."""
    for at, one in enumerate(members):
        for other in members[:at]:
            if one.replaces == other.id or other.replaces == one.id:
                continue
            for what, ours, theirs in (
                ("the name", one.name, other.name),
                ("the peer address", one.peer_address, other.peer_address),
                ("the client address", one.client_address, other.client_address),
            ):
                if ours and ours == theirs:
                    raise ImpossibleChange(f"nodes {other.id:x} and {one.id:x} would both have {what} {ours}")


def _text(nodes: Sequence[NodeId]) -> str:
    return ", ".join(f"{node:x}" for node in nodes)
