"""The core's events in words, for people who run a node."""

from collections.abc import Mapping, Sequence

from raftlog.core.digests import Difference
from raftlog.core.ids import GroupId, NodeId
from raftlog.core.membership import Membership
from raftlog.core.ready import (
    Event,
    Fenced,
    Healed,
    LeftGroup,
    MembershipChanged,
    MessageRefused,
    PeerFull,
    PeerImpaired,
    RoleChanged,
    SnapshotContradicts,
    StatesDiffer,
    TransferEnded,
    Unfenced,
)
from raftlog.transport.events import OnEvent


def tell(event: Event, group: GroupId, on_event: OnEvent) -> None:
    """Say what happened in a group."""
    fields: Mapping[str, object]
    match event:
        case RoleChanged():
            leader = None if event.leader is None else f"{event.leader:016x}"
            fields = {"term": event.term, "leader": leader, "reason": event.reason}
            on_event(f"role: {event.role}", {"group": group, **fields})
        case PeerImpaired():
            on_event(event.reason, {"group": group, "peer": f"{event.peer:016x}"})
        case PeerFull():
            text = "the disk of a follower is full" if event.full else "a follower's disk has space again"
            on_event(text, {"group": group, "peer": f"{event.peer:016x}"})
        case MessageRefused():
            fields = {"group": group, "peer": f"{event.sender:016x}"}
            on_event(f"refused a message: {event.reason}", fields)
        case Healed():
            text = "has again all it ever acknowledged: votes and may lead"
            on_event(text, {"group": group, "index": event.at})
        case SnapshotContradicts():
            text = f"refused a fetched snapshot: {event.reason}"
            on_event(text, {"group": group, "at": str(event.at)})
        case MembershipChanged():
            members = event.membership
            fields = {"index": event.at, "voters": _names(members, members.voters)}
            fields |= {"outgoing": _names(members, members.outgoing)} if members.joint else {}
            fields |= {"learners": _names(members, members.learners)} if members.learners else {}
            on_event(
                "membership decided" if event.decided else "membership in force", {"group": group, **fields}
            )
        case LeftGroup():
            text = "is no member any more: does not campaign, and may be stopped"
            on_event(text, {"group": group, "index": event.at})
        case TransferEnded():
            text = f"hands over no more: {event.reason}"
            on_event(text, {"group": group, "peer": f"{event.target:016x}"})
        case StatesDiffer(difference=found):
            on_event(difference_text(found), {"group": group})
        case Fenced():
            text = f"fenced: {event.reason}; it answers nobody, and takes its state from a peer"
            on_event(text, {"group": group})
        case Unfenced():
            on_event("has the state of a quorum again: no longer fenced", {"group": group, "index": event.at})


def _names(membership: Membership, nodes: Sequence[NodeId]) -> str:
    members = [(node, membership.member(node)) for node in nodes]
    return ", ".join(f"{node:016x}" if member is None else member.name for node, member in members)


def difference_text(found: Difference) -> str:
    """Whose state is not the same, and since when."""
    return f"its state and that of node {found.peer:016x} differ since some entry of {found.first} to {found.last}"
