"""What cores tell people, in the words of stories and timelines."""

from jepsen_like.sim.notation import membership_text, node_text
from raftlog.core.ids import NodeId
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


def event_text(node: NodeId, event: Event) -> str:
    """`n1@2 leader: won the election`."""
    who = node_text(node)
    match event:
        case RoleChanged():
            under = "" if event.leader in (None, node) else f" of {node_text(event.leader)}"
            return f"{who}@{event.term} {event.role}{under}: {event.reason}"
        case PeerImpaired():
            return f"{who} cannot serve {node_text(event.peer)}: {event.reason}"
        case PeerFull():
            return f"{who} hears that the disk of {node_text(event.peer)} {'is full' if event.full else 'has space'}"
        case MessageRefused():
            return f"{who} refuses {node_text(event.sender)}: {event.reason}"
        case Healed():
            return f"{who} is whole again at {event.at}"
        case SnapshotContradicts():
            return f"{who} refuses a snapshot: {event.reason}"
        case MembershipChanged():
            how = "has decided" if event.decided else "acts on"
            return f"{who} {how} the membership of {event.at}: {membership_text(event.membership)}"
        case LeftGroup():
            return f"{who} is no member as of {event.at}"
        case StatesDiffer(difference=found):
            where = f"since some entry of {found.first} to {found.last}"
            return f"{who} has another state than {node_text(found.peer)} {where}"
        case Fenced():
            return f"{who} is fenced: {event.reason}"
        case Unfenced():
            return f"{who} is let out at {event.at}"
        case TransferEnded():
            return f"{who} hands over to {node_text(event.target)} no more: {event.reason}"
