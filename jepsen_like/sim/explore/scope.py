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

Disk: TypeAlias = Literal["prompt", "entries", "held"]
"""prompt: a write completes before anything else happens. held: completing the oldest write of a node is an action.
entries: the same, but a write of term and vote alone completes at once where none waits before it."""

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
    changes: tuple[tuple[str, ...], ...] = ()
    """Changes of the membership that a leader may be told to make, whoever is alive: `remove=n4`."""
    asked: int = 0
    """How often a leader is told to make one of them."""
    opening: tuple[str, ...] = ()
    """What happens first, in the words of actions: exploring begins after it."""
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


_CONTACT = (Heartbeat, HeartbeatAck)
"""What only keeps an office, where time stands still anyway."""

SCOPES: dict[str, Scope] = {
    scope.name: scope
    for scope in (
        Scope(
            name="two-nodes",
            about="Two nodes with everything a message: pre-votes, heartbeats, and disks that take their time.",
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
            max_log=3,
            flights=4,
            crashes=2,
            proposals=1,
            lose=_CONTACT,
        ),
        Scope(
            name="three-nodes-elections",
            about="Three nodes elect and elect again, with answers that come late or twice.",
            membership=voters(1, 2, 3),
            max_term=2,
            max_log=2,
            flights=5,
            timeouts=4,
            duplicates=1,
            lose=(*_CONTACT, AppendRequest),
        ),
        Scope(
            name="three-nodes-replication",
            about="Three nodes replicate what two terms bring, pipelined and out of order.",
            membership=voters(1, 2, 3),
            max_term=2,
            max_log=3,
            flights=5,
            timeouts=3,
            proposals=1,
            lose=_CONTACT,
        ),
        Scope(
            name="two-nodes-reads",
            about="Two nodes that answer reads of both, across an election and a restart.",
            membership=voters(1, 2),
            max_term=2,
            max_log=2,
            flights=5,
            timeouts=3,
            crashes=1,
            reads=2,
        ),
        Scope(
            name="three-nodes-reads",
            about="n1 led term 1 and decided 1@1, which n2 has; whoever leads next must know before it answers a read.",
            membership=voters(1, 2, 3),
            max_term=2,
            max_log=2,
            flights=5,
            pasts=(Past((1,), 1, NodeId(1), 1), Past((1,), 1, NodeId(1)), Past((), 1, NodeId(1))),
            timeouts=1,
            reads=1,
        ),
        Scope(
            name="three-nodes-stale-reads",
            about="Two leaders at once, of which the older one is asked: nothing confirms it, so it must not answer.",
            membership=voters(1, 2, 3),
            max_term=3,
            max_log=3,
            flights=4,
            pasts=(Past((1,), 1, NodeId(1), 1), Past((1,), 1, NodeId(1), 1), Past((1,), 1, NodeId(1), 1)),
            timeouts=2,
            reads=1,
            lose=_CONTACT,
        ),
        Scope(
            name="three-nodes-crashes",
            about="Three nodes that lose the entries they were writing, and whose answers from before arrive.",
            membership=voters(1, 2, 3),
            disk="entries",
            max_term=2,
            max_log=2,
            flights=5,
            timeouts=2,
            crashes=1,
            lose=_CONTACT,
        ),
        Scope(
            name="three-nodes-tails",
            about="Logs that end in different terms come to one; the node that lacks everything is ahead in terms.",
            membership=voters(1, 2, 3),
            max_term=4,
            max_log=4,
            flights=5,
            max_append=65,
            pasts=(Past((1, 1, 1), 2, None, 1), Past((1, 2), 2, NodeId(2), 1), Past((), 3)),
            timeouts=2,
            duplicates=1,
            lose=_CONTACT,
        ),
        Scope(
            name="three-nodes-stale-tail",
            about="n1 led term 1 and wrote more than it could replicate; n2 and n3 went on in term 2 and decided 2@2.",
            membership=voters(1, 2, 3),
            max_term=3,
            max_log=3,
            flights=6,
            pasts=(
                Past((1, 1, 1), 1, NodeId(1), 1),
                Past((1, 2), 2, NodeId(2), 2),
                Past((1, 2), 2, NodeId(2), 1),
            ),
            timeouts=2,
            heartbeats=1,
        ),
        Scope(
            name="four-nodes",
            about="Four nodes elect, where half of them is not enough.",
            membership=voters(1, 2, 3, 4),
            max_term=1,
            max_log=1,
            flights=6,
            duplicates=2,
            lose=(*_CONTACT, AppendRequest),
        ),
        Scope(
            name="figure-8",
            about="Figure 8 of the paper with three nodes: n1 led term 1, n2 led term 2, and n3 has nothing yet.",
            membership=voters(1, 2, 3),
            max_term=4,
            max_log=3,
            flights=4,
            max_append=65,
            pasts=(Past((1,), 1, NodeId(1)), Past((2,), 2, NodeId(2)), Past((), 2, NodeId(2))),
            timeouts=4,
            lose=_CONTACT,
        ),
        Scope(
            name="four-nodes-changes",
            about="n1 and n2 both lead four nodes, of which n2 is the newer; each is told to remove another one.",
            membership=voters(1, 2, 3, 4),
            max_term=3,
            max_log=4,
            flights=6,
            opening=(
                "timeout n1",
                "deliver n1@1 -> n2 vote last 0@0",
                "deliver n1@1 -> n3 vote last 0@0",
                "deliver n2@1 -> n1 vote-answer yes",
                "deliver n3@1 -> n1 vote-answer yes",
                "timeout n2",
                "deliver n2@2 -> n3 vote last 0@0",
                "deliver n2@2 -> n4 vote last 0@0",
                "deliver n3@2 -> n2 vote-answer yes",
                "deliver n4@2 -> n2 vote-answer yes",
            ),
            timeouts=4,
            changes=(("remove=n4",), ("remove=n1",)),
            asked=2,
            lose=_CONTACT,
        ),
        Scope(
            name="joint-3",
            about="A membership that is joint from the start, of n1 alone and of all three, and left at once.",
            membership=voters(1, outgoing=(1, 2, 3)),
            max_term=2,
            max_log=3,
            flights=5,
            timeouts=3,
            crashes=1,
            lose=_CONTACT,
        ),
    )
}
