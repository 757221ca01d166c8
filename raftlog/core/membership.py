"""Who is in a group: voters, learners, and the names and addresses of all of them."""

import msgspec

from raftlog.core.ids import Index, NodeId
from raftlog.core.quorum import Quorum


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One node's changeable attributes; its identity is the id alone."""

    id: NodeId
    name: str
    """For people: `n1`."""
    peer_address: str
    """`host:port` where other nodes reach it."""
    client_address: str
    """`host:port` where clients reach it; may equal the peer address."""
    promote_when_ready: bool = False
    """A learner that is to become a voter as soon as it has caught up; whoever leads then sees to it."""
    replaces: NodeId | None = None
    """Who is removed in the step that makes this learner a voter."""


class Membership(msgspec.Struct, frozen=True, array_like=True):
    """The nodes of a group. While `outgoing` is not empty, the change is joint and decisions need both majorities.

    Invariants: every tuple is sorted and free of repeats; every id named has a `Member`; nobody is voter and
    learner at once; `demoted` are voters of `outgoing` alone. How one membership becomes another is told by
    `raftlog.core.change`.
    """

    voters: tuple[NodeId, ...] = ()
    outgoing: tuple[NodeId, ...] = ()
    """The voters being left, while joint."""
    learners: tuple[NodeId, ...] = ()
    members: tuple[Member, ...] = ()
    demoted: tuple[NodeId, ...] = ()
    """Those of `outgoing` who stay as learners once it is left; the others who are no voters any more go."""

    def __post_init__(self) -> None:
        ids = tuple(member.id for member in self.members)
        for group in (self.voters, self.outgoing, self.learners, self.demoted, ids):
            if list(group) != sorted(set(group)):
                raise ValueError(f"membership ids are not sorted and unique: {group}")
        if missing := set(self.voters + self.outgoing + self.learners) - set(ids):
            raise ValueError(f"nodes without a name and address in the membership: {sorted(missing)}")
        if both := set(self.learners) & set(self.voters + self.outgoing):
            raise ValueError(f"nodes that are voter and learner at once: {sorted(both)}")
        if wrong := set(self.demoted) - (set(self.outgoing) - set(self.voters)):
            raise ValueError(
                f"demoted in the membership, but no voters of the outgoing half alone: {sorted(wrong)}"
            )

    @property
    def quorum(self) -> Quorum:
        """The agreement that decisions under this membership need."""
        return Quorum.of(self.voters, self.outgoing)

    @property
    def joint(self) -> bool:
        """Whether a change is half done: both halves decide together."""
        return bool(self.outgoing)

    @property
    def ids(self) -> tuple[NodeId, ...]:
        """Everyone named, sorted: voters and learners alike."""
        return tuple(member.id for member in self.members)

    def may_vote(self, node: NodeId) -> bool:
        """Whether the node's vote and acknowledgement count towards a decision."""
        return node in self.voters or node in self.outgoing

    def member(self, node: NodeId) -> Member | None:
        """The attributes of a node, or None for a stranger."""
        return next((member for member in self.members if member.id == node), None)


class MembershipAt(msgspec.Struct, frozen=True, array_like=True):
    """A membership and the index of the entry that set it (0: the bootstrap record)."""

    index: Index
    membership: Membership


def encode_membership(membership: Membership) -> bytes:
    """The payload of a membership entry. Tuples are sorted, so equal memberships have equal bytes."""
    return msgspec.msgpack.encode(membership)


def decode_membership(payload: bytes) -> Membership:
    """Read a membership entry's payload.

    Raises:
        ValueError: the bytes are not a membership (`msgspec.ValidationError` and `DecodeError` are ValueErrors).
    """
    return msgspec.msgpack.decode(payload, type=Membership)
