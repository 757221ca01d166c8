"""What nodes of one group say to each other: one type per message, each with only the fields it needs.

Every message carries `group`, `sender`, `to` and the sender's `term`. A receiver in a lower term adopts it, one in a
higher term answers with its own; the exceptions are stated at `PreVoteRequest` and `NotAMember`. Later kinds join this
union; the wire format holds their numbers free.
"""

from typing import TypeAlias

import msgspec

from raftlog.core.digests import Checkpoint
from raftlog.core.entry import Entry
from raftlog.core.ids import EntryId, GroupId, Index, Micros, NodeId, RequestId, Term


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What every message says of itself."""

    group: GroupId
    sender: NodeId
    to: NodeId
    term: Term


class PreVoteRequest(Envelope, frozen=True, kw_only=True):
    """Would you vote for me in `term + 1`? Asked without raising a term (thesis 9.6); changes nothing at the receiver.

    `term` is the sender's own, current term: the proposed one is never mistaken for it.
    """

    last: EntryId
    """The last entry of the sender's log."""


class PreVoteResponse(Envelope, frozen=True, kw_only=True):
    """Whether the receiver would vote. A refusal carries the receiver's term, so that a group behind it catches up."""

    proposed_term: Term
    """The term that was asked about."""
    granted: bool


class VoteRequest(Envelope, frozen=True, kw_only=True):
    """Vote for me in `term`. Leaves only after the sender's own term and vote are durable."""

    last: EntryId
    transfer: bool = False
    """The leader of `term - 1` asked for this election: promises to it do not stand in the way."""


class VoteResponse(Envelope, frozen=True, kw_only=True):
    """The vote of `term`. A grant leaves only after it is durable."""

    granted: bool


class AppendRequest(Envelope, frozen=True, kw_only=True):
    """Entries that follow `prev`; without entries, a probe whether `prev` matches.

    Invariants: entries are consecutive from `prev.index + 1`; `commit` may exceed what this message verifies, so the
    receiver caps it at `prev.index + len(entries)`.
    """

    prev: EntryId
    entries: tuple[Entry, ...]
    commit: Index


class AppendAccepted(Envelope, frozen=True, kw_only=True):
    """The sender's log is durable and equal to that of the leader of `term` up to and including `match`."""

    match: Index


class AppendRejected(Envelope, frozen=True, kw_only=True):
    """The entry at `prev` is missing or of another term.

    `hint` is the last entry of the sender's log at or before `prev` whose term is at most `prev`'s: nothing between
    them can match, so the leader need not probe there.
    """

    prev: EntryId
    hint: EntryId


class Heartbeat(Envelope, frozen=True, kw_only=True):
    """I lead. Carries no entries, so it never waits behind any.

    `commit` is at most what the leader knows to match at this receiver: an unverified tail must not commit.
    """

    round: int
    """Counts up within a leadership; an answer confirms this and every earlier round."""
    commit: Index
    vote_span: Micros
    """For this long after receipt the receiver refuses votes, whatever its own settings."""
    compare: Checkpoint | None = None
    """A digest of the leader's own state: the receiver compares, and says what it has there."""
    decided: tuple[Checkpoint, ...] = ()
    """Digests that a quorum agrees on: a state that differs there is wrong."""


class HeartbeatAck(Envelope, frozen=True, kw_only=True):
    """I still follow you, at `round`. It acknowledges no entry."""

    round: int
    applied: Index
    digest: int
    """The running digest of the sender's state machine at `applied` (u64)."""
    full: bool = False
    """Its disk has no space for further commands: sending them is of no use."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Digests to compare: the newest ones, and that at the index the leader named. None of a state not yet restored."""
    wants: Index | None = None
    """It has lost its state, or may not use it: it needs a snapshot that reaches at least this far."""


class ReadIndexRequest(Envelope, frozen=True, kw_only=True):
    """A follower asks from which applied index on its own linearizable reads may be answered."""

    id: RequestId


class ReadIndexResponse(Envelope, frozen=True, kw_only=True):
    """The answer; `index` is None when the asked node cannot vouch for being the leader."""

    id: RequestId
    index: Index | None


class SnapshotOffer(Envelope, frozen=True, kw_only=True):
    """What you need next is compacted here: fetch the state at `last`, or a later one, from me or whoever has it.

    Said again with every heartbeat until the receiver has come this far. The state itself travels beside the messages
    of the cores, in a stream of its own.
    """

    last: EntryId


class TimeoutNow(Envelope, frozen=True, kw_only=True):
    """Stand for election at once, in `term + 1` and without asking first: I hand over to you (thesis 3.10).

    Said again with every heartbeat until the sender gives up. Who has heard a later round knows that it did, or at
    least that this one comes late, and stays.
    """

    round: int
    """The sender's newest heartbeat round."""


class NotAMember(Envelope, frozen=True, kw_only=True):
    """You asked whether you could win an election, and everything decided up to `decided` does not name you.

    Raises no term. It goes beside the answer to a pre-vote and never instead of it: whoever knows of a later
    membership that does name it goes on (E12, E15).
    """

    decided: EntryId


Message: TypeAlias = (
    PreVoteRequest
    | PreVoteResponse
    | VoteRequest
    | VoteResponse
    | AppendRequest
    | AppendAccepted
    | AppendRejected
    | Heartbeat
    | HeartbeatAck
    | ReadIndexRequest
    | ReadIndexResponse
    | SnapshotOffer
    | TimeoutNow
    | NotAMember
)
