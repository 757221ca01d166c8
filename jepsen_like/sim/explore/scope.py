"""The bounds of an exploration, and the scopes that have a name."""

from typing import Literal, TypeAlias

import msgspec

from raftlog.core.ids import Index, NodeId, Term
from raftlog.core.membership import Member, Membership
from raftlog.core.message import (
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
)

Disk: TypeAlias = Literal["prompt", "held"]
"""prompt: a write completes before anything else happens. held: completing the oldest write of a node is an action."""

PreVote: TypeAlias = Literal["messages", "at once"]
"""messages: pre-votes travel like everything else. at once: asking and answering are one action, for which every voter
answers that is asked, and those who agree come first. It changes nobody but the asker, so nothing wrong can come
of what this leaves out but an office won with ballots of different moments."""


class Past(msgspec.Struct, frozen=True):
    """What a node has lived through before: the terms of its log's entries, and its hard state."""

    log: tuple[Term, ...] = ()
    term: Term = 0
    vote: NodeId | None = None
    commit: Index = 0


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What may happen, and how often. Everything within is explored, nothing beyond.

    Invariants: node ids are 1..n; `pasts` is empty or has one for each of them, and their logs could have been
    written by rightful leaders.
    """

    name: str
    about: str
    """One sentence."""
    membership: Membership
    disk: Disk = "prompt"
    pre_vote: PreVote = "at once"
    max_term: Term
    max_log: Index
    flights: int
    """Messages under way at most. Where one more would be too many, those that would change nothing are lost."""
    lose: tuple[type[Message], ...] = ()
    """Kinds of messages that never arrive."""
    pasts: tuple[Past, ...] = ()
    max_append: int = 256 * 1024
    """Bytes of entries in one message; 65 gives each entry a message of its own."""
    crashes: int = 0
    drops: int = 0
    """A message that is never delivered is lost as well: dropping one only makes room for another."""
    duplicates: int = 0
    proposals: int = 0
    reads: int = 0
    heartbeats: int = 0
    timeouts: int = 15
    """Election timeouts in all, of leaders who hear nobody too; beside it `max_term` bounds them."""

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """Everyone, sorted."""
        return self.membership.ids


def voters(*incoming: int, outgoing: tuple[int, ...] = ()) -> Membership:
    """A membership of these voters; joint with `outgoing`."""
    ids = sorted({*incoming, *outgoing})
    members = tuple(Member(NodeId(id), f"n{id}", "", "") for id in ids)
    return Membership(tuple(map(NodeId, incoming)), tuple(map(NodeId, outgoing)), (), members)


_ELECTION = (Heartbeat, HeartbeatAck)

SCOPES: dict[str, Scope] = {
    scope.name: scope
    for scope in (
        Scope(
            name="two-nodes",
            about="Two nodes, pre-votes and heartbeats as messages, a disk that takes its time.",
            membership=voters(1, 2),
            disk="held",
            pre_vote="messages",
            max_term=2,
            max_log=2,
            flights=4,
            heartbeats=1,
            timeouts=3,
        ),
        Scope(
            name="two-nodes-crashes",
            about="Two nodes that crash with writes under way and keep some of them.",
            membership=voters(1, 2),
            disk="held",
            max_term=2,
            max_log=2,
            flights=4,
            crashes=2,
            lose=_ELECTION,
        ),
        Scope(
            name="three-nodes-elections",
            about="Three nodes elect and elect again, with answers that come late or twice.",
            membership=voters(1, 2, 3),
            max_term=2,
            max_log=2,
            flights=6,
            duplicates=1,
            lose=(*_ELECTION, AppendRequest),
        ),
        Scope(
            name="three-nodes-replication",
            about="Three nodes replicate what two terms bring, pipelined and out of order.",
            membership=voters(1, 2, 3),
            max_term=2,
            max_log=3,
            flights=5,
            proposals=1,
            lose=_ELECTION,
        ),
    )
}
