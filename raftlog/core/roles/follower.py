"""The follower: takes entries from the leader of its term and campaigns when it hears nothing."""

from collections.abc import Sequence

from raftlog.core.digests import Difference
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import Boot, EntryId, Index, Micros, NodeId, RequestId
from raftlog.core.membership import decode_membership
from raftlog.core.message import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    NotAMember,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    TimeoutNow,
    VoteRequest,
)
from raftlog.core.ready import Fetch, MessageRefused, ReadRefused, ReadReleased, StatesDiffer
from raftlog.core.roles.ballot import answer_vote
from raftlog.core.roles.role import Ask, Change, Role, Stand
from raftlog.core.settings import MAX_VOTE_SPAN
from raftlog.core.state import State

SPARED = 2
"""How often a node with a poor disk lets its patience run out without asking for votes."""


class Follower(Role):
    """Waits for a leader, then follows it.

    Invariants: `verified` is the end of the prefix known to equal that of this term's leader; only what is verified
    and durable is acknowledged, and only what is verified becomes committed.
    """

    name = "follower"

    def __init__(self, state: State, leader: NodeId | None) -> None:
        super().__init__(state)
        self._leader = leader
        self._patience_ends = state.now if state.alone else state.patience()
        self.verified: Index = state.committed
        self._round = 0
        """The newest heartbeat heard from the leader; 0 for none."""
        self._owes_ack = False
        """Verified entries wait for the disk before they are acknowledged."""
        self._reads: dict[RequestId, Micros] = {}
        """Reads passed to the leader, and when to give them up."""
        self._healing: RequestId | None = None
        """An impaired node's question what is decided."""
        self._healing_until: Micros = 0
        """When to ask it again."""
        self._whole_at: Index | None = None
        """The leader's answer: with everything up to here this node is whole again."""
        self._spared = 0
        """How often it has left the election to others since it last heard a leader."""

    @property
    def deadline(self) -> Micros:
        """When it gives up on the leader, or on the oldest read it passed on."""
        return min(self._patience_ends, next(iter(self._reads.values()), self._patience_ends))

    @property
    def leader(self) -> NodeId | None:
        """The leader, once it has spoken."""
        return self._leader

    def leave(self) -> None:
        """Refuse the reads that only this leader could have answered."""
        self._refuse_reads(tuple(self._reads))

    def tick(self) -> Change | None:
        """Give up on overdue reads and, in the end, on the leader."""
        self._refuse_reads(tuple(id for id, until in self._reads.items() if until <= self.state.now))
        if self.state.now < self._patience_ends:
            return None
        self._patience_ends = self.state.patience()
        self._leader, self._owes_ack = None, False
        if not self.state.may_campaign or self._leaves_it_to_others():
            return None
        return Ask("heard no leader for an election timeout")

    def _leaves_it_to_others(self) -> bool:
        """A full or slow disk is no place for a leader: whoever has a better one gets the first chances."""
        self._spared += 1
        return self.state.reluctant and self._spared <= SPARED

    def step(self, message: Message) -> Change | None:
        """Serve the leader and those who want votes."""
        match message:
            case AppendRequest() if self._hears(message.sender):
                self._append(message)
            case Heartbeat() if self._hears(message.sender):
                self._heartbeat(message)
            case SnapshotOffer() if self._hears(message.sender):
                self._offered(message)
            case VoteRequest():
                if answer_vote(self.state, message, leading=False):
                    self._patience_ends = self.state.patience()
            case ReadIndexResponse():
                self._read_answered(message)
            case NotAMember() if self._leader is None:
                self.state.expel(message.decided)
            case TimeoutNow() if self._is_called(message):
                return Stand(f"{message.sender} hands over", transfer=True)
            case _:
                pass
        return None

    def synced(self) -> Change | None:
        """Acknowledge what has become durable."""
        if self._owes_ack:
            self._acknowledge()
        self._heal()
        return None

    def read_index(self, id: RequestId) -> None:
        """Ask the leader."""
        if self._leader is None:
            super().read_index(id)
            return
        self._reads[id] = self.state.now + self.state.settings.election_timeout
        self.state.send(ReadIndexRequest(**self.state.head(self._leader), id=id))

    # -- the leader speaks

    def _hears(self, sender: NodeId) -> bool:
        """Take the sender for the leader of the term; there is only one."""
        if self._leader not in (None, sender):
            self.state.outbox.events.append(
                MessageRefused(sender, f"leads term {self.state.term}, as does {self._leader}")
            )
            return False
        self._leader = sender
        self._spared = 0
        self._patience_ends = self.state.patience()
        self.state.expelled = False
        return True

    def _is_called(self, message: TimeoutNow) -> bool:
        """Whether its leader hands over to it just now: an earlier call comes too late (T4, Q13)."""
        prompt = 0 < self._round <= message.round
        return self._leader == message.sender and prompt and self.state.may_campaign

    def _heartbeat(self, message: Heartbeat) -> None:
        state = self.state
        if message.commit > state.log.last.index:
            state.refuse(
                message, f"heartbeat commits {message.commit}, but the log here ends with {state.log.last}"
            )
            return
        self._round = max(self._round, message.round)
        span = min(message.vote_span, MAX_VOTE_SPAN)
        state.votes_refused_until = max(state.votes_refused_until, state.now + span)
        if self._patience_ends < state.votes_refused_until:
            self._patience_ends = state.patience()
        self.verified = max(self.verified, message.commit)
        state.commit_to(message.commit)
        self._compare(message)
        self._want_state(message.sender)
        state.send(acknowledgement(state, message))
        self._heal()

    def _append(self, message: AppendRequest) -> None:
        state = self.state
        if problem := _malformed(state, message):
            state.refuse(message, problem)
            return
        prev, entries = _after_base(state, message)
        if not state.log.matches(prev):
            hint = state.log.last_not_after(prev)
            state.send(AppendRejected(**state.head(message.sender), prev=prev, hint=hint))
            return
        new = [entry for entry in entries if not state.log.matches(entry.id)]
        if new and not self._take(message, new):
            return
        end = entries[-1].index if entries else prev.index
        self.verified = max(self.verified, end)
        state.commit_to(min(message.commit, end))
        self._owes_ack = True
        if state.log.durable >= end:
            self._acknowledge()

    def _take(self, message: AppendRequest, new: Sequence[Entry]) -> bool:
        """Write new entries, unless they contradict what is decided or there is no more memory or space for them."""
        state = self.state
        if new[0].index <= state.committed:
            state.refuse(message, f"entry {new[0].id} contradicts what is committed up to {state.committed}")
            return False
        if state.log.undurable_bytes > state.settings.max_undecided or not state.has_room(new):
            return False
        state.splice(new)
        return True

    def _acknowledge(self) -> None:
        state = self.state
        if state.installing:
            return
        assert self._leader is not None, "entries were taken from a leader"
        match = min(self.verified, state.log.durable)
        if state.hole is not None:
            match = min(match, state.hole - 1)
        self._owes_ack = match < self.verified
        state.send(AppendAccepted(**state.head(self._leader), match=match))

    # -- snapshots

    def _offered(self, message: SnapshotOffer) -> None:
        """Have the driver fetch it, unless this log has come further; then the leader learns that."""
        state = self.state
        if message.last.index <= state.committed:
            self.verified = max(self.verified, state.committed)
            self._owes_ack = True
            self._acknowledge()
        elif state.fetching is None:
            state.fetching = message.last
            state.outbox.fetch = Fetch(message.sender, message.last)

    def installed(self) -> None:
        """The log now begins after a fetched snapshot; its leader is told once that is durable.

        Where the snapshot contradicted what an overtaken leader had sent, that is gone.
        """
        self.verified = min(max(self.verified, self.state.committed), self.state.log.last.index)
        self._owes_ack = self._leader is not None

    # -- the state machine, compared

    def _compare(self, message: Heartbeat) -> None:
        """Find out whether a quorum, or at least the leader, has another state than this node."""
        state, fence = self.state, self.state.fence
        for decided in message.decided:
            if (mine := state.digests.at(decided.index)) is None:
                continue
            if mine != decided.digest:
                state.contradicted(decided.index)
                return
            fence.agreed = max(fence.agreed, decided.index)
            if fence.up and not fence.wants_state and decided.index > fence.restored_at:
                state.let_out(decided.index)
        if (at := message.compare) is not None and (mine := state.digests.at(at.index)) is not None:
            if mine == at.digest:
                fence.differs = None
            elif fence.differs is None:
                first, last = fence.range_to(at.index)
                fence.differs = Difference(message.sender, first, last)
                state.outbox.events.append(StatesDiffer(fence.differs))

    def _want_state(self, leader: NodeId) -> None:
        """Have the driver get a state from the leader, where this node has none that may be used."""
        state = self.state
        if state.fence.wants_state and state.fetching is None and state.now >= state.fence.ask_at:
            state.fence.ask_at = state.now + state.settings.election_timeout
            state.fetching = state.log.base.last
            state.outbox.fetch = Fetch(leader, state.fetching, only=True)

    # -- an impaired node

    def _heal(self) -> None:
        """Ask what is decided, and be whole again once all of that is durable here (see `State.heal`)."""
        state = self.state
        if not state.impaired or self._leader is None:
            return
        if self._whole_at is not None and self._whole_at <= min(state.committed, state.log.durable):
            state.heal()
        elif self._whole_at is None and state.now >= self._healing_until:
            self._healing = RequestId(Boot(state.random.getrandbits(64)), state.random.getrandbits(32))
            self._healing_until = state.now + state.settings.election_timeout
            state.send(ReadIndexRequest(**state.head(self._leader), id=self._healing))

    # -- reads

    def _read_answered(self, message: ReadIndexResponse) -> None:
        if message.id == self._healing:
            self._healing, self._whole_at = None, message.index
            self._heal()
            return
        if self._reads.pop(message.id, None) is None:
            return
        if message.index is None:
            self.state.outbox.reads.append(ReadRefused(message.id, self._leader))
            return
        self.state.commit_to(max(self.state.committed, min(message.index, self.verified)))
        self.state.outbox.reads.append(ReadReleased(message.id, message.index))

    def _refuse_reads(self, ids: Sequence[RequestId]) -> None:
        for id in ids:
            del self._reads[id]
            self.state.outbox.reads.append(ReadRefused(id, None))


def acknowledgement(state: State, message: Heartbeat) -> HeartbeatAck:
    """The answer to a leader's heartbeat, with the digests that it may compare."""
    digests = state.digests
    newest = digests.latest
    asked = None if message.compare is None else digests.checkpoint(message.compare.index)
    found = (None if newest is None else digests.aligned(newest.index), newest, asked)
    return HeartbeatAck(
        **state.head(message.sender),
        round=message.round,
        applied=state.applied,
        digest=state.digest,
        full=state.room is not None,
        checkpoints=tuple(dict.fromkeys(each for each in found if each is not None)),
        wants=state.log.base.last.index if state.fence.wants_state else None,
    )


def _after_base(state: State, message: AppendRequest) -> tuple[EntryId, Sequence[Entry]]:
    """What of the message lies beyond our compacted prefix, which is committed and so agrees with any leader's."""
    base = state.log.base.last
    if message.prev.index >= base.index:
        return message.prev, message.entries
    return base, tuple(entry for entry in message.entries if entry.index > base.index)


def _malformed(state: State, message: AppendRequest) -> str | None:
    """Why no correct leader sends this, or None. Checked before anything changes and before any acknowledgement."""
    expected, term = message.prev.index + 1, message.prev.term
    for entry in message.entries:
        if entry.index != expected or entry.group != state.group:
            return f"entry {entry.id} of group {entry.group} stands where {expected} of {state.group} should"
        if not term <= entry.term <= message.term:
            return f"entry {entry.id} has a term outside {term}..{message.term}"
        if entry.index == state.log.base.last.index and entry.id != state.log.base.last:
            return f"entry {entry.id} contradicts the snapshot that ends with {state.log.base.last}"
        if not entry.intact():
            return f"entry {entry.id} fails its checksum"
        if entry.kind is EntryKind.MEMBERSHIP:
            try:
                decode_membership(entry.payload)
            except ValueError as problem:
                return f"entry {entry.id} carries no membership: {problem}"
        expected, term = expected + 1, entry.term
    return None
