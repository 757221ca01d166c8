"""The leader: creates entries, replicates them, decides what is committed, and vouches for reads."""

from collections import deque
from collections.abc import Sequence

from raftlog.core.change import Change as MembershipChange
from raftlog.core.comparison import Comparison
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import EntryId, Index, Micros, NodeId, RequestId
from raftlog.core.membership import Member, Membership, encode_membership
from raftlog.core.message import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    TimeoutNow,
    VoteRequest,
)
from raftlog.core.outrun import Outrun
from raftlog.core.progress import Mode, Progress
from raftlog.core.reads import ReadRequest, Reads
from raftlog.core.ready import (
    Busy,
    ChangeProposal,
    ChangeRefused,
    Load,
    Missing,
    NoSpace,
    PeerFull,
    PeerImpaired,
    Proposal,
    Proposed,
    ReadRefused,
    ReadReleased,
    Refusal,
    StatesDiffer,
    TransferAnswer,
    TransferBegun,
    TransferEnded,
    TransferRefused,
)
from raftlog.core.roles.ballot import answer_vote
from raftlog.core.roles.changing import Changing
from raftlog.core.roles.handover import Handover
from raftlog.core.roles.role import Change, Follow, Role
from raftlog.core.state import State


class Leader(Role):
    """Leads one term.

    Invariants: it holds every committed entry; it commits by counting only entries of its own term (paper figure 8);
    its own match is what is durable here; a read is released by acknowledgements of a heartbeat sent after it came;
    while it hands over it appends nothing.
    """

    name = "leader"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        assert state.vote == state.node, f"leads a term in which it voted for {state.vote}"
        assert state.vote_is_durable, f"leads without a durable vote: {state.synced}"
        self.progress: dict[NodeId, Progress] = {}
        """Every other member, and those it is still telling that they are removed."""
        self._changing = Changing(state, self.progress, self._in_contact)
        self._handover: Handover | None = None
        self.comparison = Comparison(state.node)
        self._asked_after: EntryId | None = None
        """The snapshot after which the driver was last asked to take another."""
        self._heartbeat_due: Micros = state.now
        self._round = 0
        self._reads = Reads()
        self._wall_offset = state.wall - state.wall_at
        """Wall clock minus monotonic clock, read once: log time runs evenly through a leadership."""
        self._undecided: deque[tuple[Index, int]] = deque()
        self._undecided_bytes = 0
        self._outrun = Outrun()
        self._heir_since: Micros | None = None
        """Since when, without space here, another has some and all the entries there are."""
        self.opening: Index = 0
        """The index of its no-op: the first entry of its own term."""

    @property
    def deadline(self) -> Micros:
        """When the next heartbeat is due, or the end of a hand-over."""
        if self._handover is None:
            return self._heartbeat_due
        return min(self._heartbeat_due, self._handover.until)

    @property
    def leader(self) -> NodeId | None:
        """Itself."""
        return self.state.node

    def enter(self) -> Change | None:
        """Open the term with an entry of its own and tell everyone who leads."""
        self.opening = self._create(EntryKind.NO_OP, b"").index
        self._heartbeat()
        return None

    def leave(self) -> None:
        """Nobody can vouch for the waiting reads any more."""
        for request in self._reads.abandon():
            self._answer_read(request, None)
        self._end_handover("has left office")

    # -- time

    def tick(self) -> Change | None:
        """Send heartbeats; resign without a quorum, or where another's disk does what this one does not."""
        state = self.state
        if not state.membership.quorum.agrees(self._in_contact):
            return Follow(None, "heard no quorum for an election timeout")
        if state.slow and self._without_self() > state.log.durable:
            return self._leave_to_a_faster_disk(
                "has not completed a write for an election timeout, others have"
            )
        if (heir := self._heir()) is not None:
            self._call_on(heir)
            return Follow(None, f"its disk is full, and {heir} has space")
        if self._handover is not None and state.now >= self._handover.until:
            self._end_handover("was not followed within an election timeout")
        if state.now >= self._heartbeat_due:
            self._changing.see_off()
            self._heartbeat()
            self._go_on()
        return None

    def _leave_to_a_faster_disk(self, reason: str) -> Change:
        """Call on whoever has most to stand at once; if that fails, the others elect somebody in their own time."""
        self.state.dragging = True
        if (heir := self._successor()) is not None:
            self._call_on(heir)
        return Follow(None, f"its disk {reason}")

    def _without_self(self) -> Index:
        """What a quorum without this node has on disk; 0 where there is none, and resigning would gain nothing."""
        me = self.state.node
        return self.state.membership.quorum.committed(lambda node: 0 if node == me else self._match(node))

    def _heir(self) -> NodeId | None:
        """Who would do better, with a full disk here that has had an election timeout to find space."""
        state = self.state
        heir = None if state.room is None else self._has_space_and_all()
        if heir is None:
            self._heir_since = None
        elif self._heir_since is None:
            self._heir_since = state.now
        elif state.now - self._heir_since >= state.settings.election_timeout:
            return heir
        return None

    def _has_space_and_all(self) -> NodeId | None:
        """A voter in contact that has space for commands, and everything that is in this log: it would be elected."""
        last = self.state.log.last.index
        for node in self.state.membership.quorum.voters:
            progress = self.progress.get(node)
            if progress is None or progress.full or progress.acked_round == 0:
                continue  # whether it is full is known from its first answer to a heartbeat on
            if progress.match_index == last and self._in_contact(node):
                return node
        return None

    def _in_contact(self, node: NodeId) -> bool:
        if node == self.state.node:
            return True
        return self.state.now - self.progress[node].heard_at < self.state.settings.election_timeout

    def _heartbeat(self) -> None:
        state = self.state
        self._round += 1
        self._heartbeat_due = state.now + state.settings.heartbeat
        if self._reads.waiting and self._may_read:
            self._reads.begin(self._round, state.committed)
        self.comparison.keep(self.progress)
        compare = self.comparison.compare(state.digests)
        decided = self.comparison.decided(state.membership.quorum, state.digests)
        state.fence.agreed = max((state.fence.agreed, *(at.index for at in decided)))
        for peer, progress in self.progress.items():
            commit = min(progress.match_index, state.committed)
            heartbeat = Heartbeat(
                **state.head(peer),
                round=self._round,
                commit=commit,
                vote_span=state.settings.vote_span,
                compare=compare,
                decided=decided,
            )
            state.send(heartbeat)
        self._call()
        self._release_reads()

    # -- messages

    def step(self, message: Message) -> Change | None:
        """Serve the followers."""
        progress = self.progress.get(message.sender)
        if progress is not None:
            progress.heard_at = self.state.now
        match message:
            case AppendAccepted() if progress is not None:
                self._accepted(message, progress)
            case AppendRejected() if progress is not None:
                agrees = self.state.log.last_not_after(message.hint).index
                progress.rejected(message.prev.index, agrees)
            case HeartbeatAck() if progress is not None:
                self._heartbeat_acked(message, progress)
                if (change := self._compare(message)) is not None:
                    return change
            case ReadIndexRequest():
                self._reads.add(ReadRequest(message.sender, message.id))
            case VoteRequest():
                answer_vote(self.state, message, leading=True)
            case AppendRequest() | Heartbeat() | SnapshotOffer() | TimeoutNow():
                self.state.refuse(message, f"claims to lead term {self.state.term}, which this node leads")
            case _:
                pass
        return self._retires()

    def _accepted(self, message: AppendAccepted, progress: Progress) -> None:
        last = self.state.log.last
        if message.match > last.index:
            self.state.refuse(
                message, f"acknowledges {message.match}, but this leader's log ends with {last}"
            )
            return
        news = progress.accepted(message.match, self.state.now)
        self._changing.accepted(message.sender, message.match)
        if progress.mode is Mode.SNAPSHOT:
            self._is_nearer(message.sender, progress, news)
        if news and message.match > self.state.committed:
            self._advance_commit()
        if news and message.match > self.state.log.durable and not self._outrun.waits:
            if (level := self._without_self()) > self.state.log.durable:
                self._outrun.others_have(level, self.state.now)
        self._go_on()
        if news and self._handover is not None and self._handover.target == message.sender:
            self._call()

    def _is_nearer(self, peer: NodeId, progress: Progress, news: bool) -> None:
        """It may still need more than this log has: it is offered a newer snapshot then, once for each step."""
        if self.state.log.term_at(progress.match_index) is not None:
            progress.caught_up()
        elif news:
            progress.offered = None
            self._offer(peer, progress)

    def _heartbeat_acked(self, message: HeartbeatAck, progress: Progress) -> None:
        progress.acked_round = max(progress.acked_round, message.round)
        progress.applied, progress.digest = message.applied, message.digest
        if progress.has_space(not message.full):
            self.state.outbox.events.append(PeerFull(message.sender, message.full))
        self._release_reads()
        if progress.mode is Mode.SNAPSHOT and message.round > progress.offered_round:
            self._offer(message.sender, progress)
        if progress.stalled(self.state.now, self.state.settings.heartbeat):
            self._nudge(message.sender, progress)

    def _compare(self, message: HeartbeatAck) -> Change | None:
        """Look at the state of a follower beside the own one; resign when a quorum contradicts that."""
        state, comparison = self.state, self.comparison
        if message.wants is not None and state.snapshot.index < max(message.wants, 1):
            state.outbox.snapshot_wanted |= self._asked_after != state.snapshot
            self._asked_after = state.snapshot
        if (difference := comparison.heard(message.sender, message.checkpoints, state.digests)) is not None:
            state.outbox.events.append(StatesDiffer(difference))
        if not comparison.overruled(state.membership.quorum, state.digests):
            return None
        assert comparison.question is not None, "nobody was asked"
        state.contradicted(comparison.question)
        return Follow(None, state.fence.reason)

    def _nudge(self, peer: NodeId, progress: Progress) -> None:
        """Ask whether what was sent has arrived, without sending it again: a lost message shows as a refusal."""
        term = self.state.log.term_at(progress.next_index - 1)
        if term is not None:
            self._send_append(peer, EntryId(term, progress.next_index - 1), ())
        else:  # lost, and compacted since: it was out of contact
            self._snapshot_needed(peer, progress)

    # -- commit

    def synced(self) -> Change | None:
        """Its own disk has caught up."""
        state = self.state
        if state.log.durable > state.committed:
            self._advance_commit()
            self._go_on()
        if self._outrun.own_has(state.log.durable, state.now, state.settings.election_timeout):
            return self._leave_to_a_faster_disk("is far slower than those of the others")
        return self._retires()

    def _advance_commit(self) -> None:
        state = self.state
        index = state.membership.quorum.committed(self._match)
        if index > state.committed and state.log.term_at(index) == state.term:
            state.commit_to(index)

    def _match(self, node: NodeId) -> Index:
        return self.state.log.durable if node == self.state.node else self.progress[node].match_index

    # -- proposals

    def propose(self, payload: bytes) -> Proposal:
        """Append an entry, unless too much is undecided already, another is to lead, or too few disks have space."""
        if full := self._without_space():
            return NoSpace(full, self.state.settings.election_timeout)
        if self._handover is not None:
            return Busy(self.state.settings.heartbeat)
        if self._undecided_bytes + len(payload) > self.state.settings.max_undecided:
            return Busy(self.state.settings.heartbeat)
        return Proposed(self._create(EntryKind.COMMANDS, payload).id)

    def _without_space(self) -> tuple[NodeId, ...]:
        """The full voters, if this node is among them or the rest is no quorum; commands are refused then."""
        state = self.state
        if state.room is None and not any(progress.full for progress in self.progress.values()):
            return ()
        quorum = state.membership.quorum
        full = tuple(node for node in quorum.voters if self._is_full(node))
        return full if state.room is not None or not quorum.agrees(lambda node: node not in full) else ()

    def _is_full(self, node: NodeId) -> bool:
        return self.state.room is not None if node == self.state.node else self.progress[node].full

    def _create(self, kind: EntryKind, payload: bytes) -> Entry:
        entry = self.state.create(kind, payload, self._wall_offset + self.state.now)
        self._undecided.append((entry.index, entry.size))
        self._undecided_bytes += entry.size
        return entry

    def applied(self, index: Index) -> None:
        """Room for new proposals."""
        while self._undecided and self._undecided[0][0] <= index:
            self._undecided_bytes -= self._undecided.popleft()[1]

    # -- membership

    @property
    def departing(self) -> tuple[Member, ...]:
        """Who is removed and has yet to be told."""
        return self._changing.departing

    def ready(self, learner: NodeId) -> bool:
        """Whether a learner has caught up."""
        return self._changing.ready(learner)

    def propose_membership(
        self, changes: Sequence[MembershipChange], expected: Index | None, *, force: bool
    ) -> ChangeProposal:
        """Append the first entry of a change, unless something speaks against it.

        Before an entry of its own term is decided, a leader does not know which membership is (thesis 4.1; M1).
        """
        if self._handover is not None or self.state.committed < self.opening:
            why = (
                "is handing over"
                if self._handover is not None
                else "has not decided anything in its term yet"
            )
            return ChangeRefused(Refusal.TOO_EARLY, f"the leader {why}: try again")
        begun = self._changing.begin(changes, expected, force=force)
        return begun if isinstance(begun, ChangeRefused) else Proposed(self._put_in_force(begun).id)

    def _put_in_force(self, membership: Membership) -> Entry:
        entry = self._create(EntryKind.MEMBERSHIP, encode_membership(membership))
        self._changing.follow(entry.index)
        return entry

    def _go_on(self) -> None:
        """Do what a decided membership asks for next."""
        if self.state.committed < self.opening or self._handover is not None:
            return
        due = self._changing.due()
        if due is not None:
            self._put_in_force(due)

    def _retires(self) -> Change | None:
        """Step down once a membership is decided in which it has no vote; until then only it can see to that (M12)."""
        state = self.state
        at = state.memberships[-1]
        if at.index > state.committed or at.membership.may_vote(state.node):
            return None
        self._heartbeat()
        if (heir := self._successor()) is not None:
            self._call_on(heir)
        return Follow(None, f"has no vote in the membership of entry {at.index}")

    # -- handing over

    @property
    def transferring(self) -> NodeId | None:
        """To whom it is handing over."""
        return None if self._handover is None else self._handover.target

    def transfer(self, target: NodeId | None) -> TransferAnswer:
        """Take no more proposals, and call on the target to stand as soon as it has everything."""
        state = self.state
        if self._handover is not None:
            return TransferRefused(f"the leader is handing over to {self._handover.target} already")
        heir = self._successor() if target is None else target
        if heir is None or not self._may_inherit(heir):
            whom = "any other node" if target is None else f"node {target:x}"
            return TransferRefused(f"the leader knows of no vote of {whom}, or has not heard from it lately")
        self._handover = Handover(heir, state.now + state.settings.election_timeout)
        self._call()
        return TransferBegun(heir)

    def _may_inherit(self, node: NodeId) -> bool:
        progress = self.progress.get(node)
        healthy = progress is not None and progress.answered and progress.mode is not Mode.SNAPSHOT
        return healthy and node in self.state.membership.voters and self._in_contact(node)

    def _successor(self) -> NodeId | None:
        """Who has most of the log; among equals the lowest id."""
        heirs = [node for node in self.state.membership.voters if self._may_inherit(node)]
        return max(heirs, key=lambda node: (self.progress[node].match_index, -node), default=None)

    def _call(self) -> None:
        """Call on the target once it has everything."""
        if self._handover is not None:
            progress = self.progress.get(self._handover.target)
            if progress is not None and progress.match_index == self.state.log.last.index:
                self._call_on(self._handover.target)

    def _call_on(self, node: NodeId) -> None:
        self.state.send(TimeoutNow(**self.state.head(node), round=self._round))

    def _end_handover(self, reason: str) -> None:
        if self._handover is not None:
            self.state.outbox.events.append(TransferEnded(self._handover.target, reason))
            self._handover = None

    # -- replication

    @property
    def pending(self) -> bool:
        """Whether a follower can be sent something, or a read needs a round."""
        return (self._reads.waiting and self._may_read) or any(map(self._can_send, self.progress.values()))

    def prepare(self) -> None:
        """Send followers what they lack, as far as their windows allow, and start a round for the waiting reads."""
        for peer, progress in self.progress.items():
            while self._can_send(progress):
                self._send_entries(peer, progress)
        if self._reads.waiting and self._may_read:
            self._heartbeat()

    def _can_send(self, progress: Progress) -> bool:
        behind = progress.next_index <= self._meant_for(progress)
        return behind and progress.may_send(self.state.settings.max_inflight)

    def _meant_for(self, progress: Progress) -> Index:
        """How far a follower is sent entries: one with a full disk no further than a term and a membership need it."""
        if progress.full:
            return max(self.opening, self.state.memberships[-1].index)
        return self.state.log.last.index

    def _send_entries(self, peer: NodeId, progress: Progress) -> None:
        state, first = self.state, progress.next_index
        if state.log.term_at(first - 1) is None:
            self._snapshot_needed(peer, progress)
            return
        last = self._meant_for(progress)
        entries = state.log.recent(first, last, state.settings.max_append)
        if entries is None:
            progress.loading = True
            last = min(last, state.log.durable)
            state.outbox.loads.append(Load(peer, first, last, state.settings.max_append))
            return
        self._replicate(peer, progress, entries)

    def loaded(self, peer: NodeId, first: Index, entries: tuple[Entry, ...] | Missing) -> Change | None:
        """Send on what storage has read, if the follower still wants it."""
        progress = self.progress.get(peer)
        if progress is None or not progress.loading:
            return None
        progress.loading = False
        if entries is Missing.DAMAGED:
            return self._impaired(peer, progress, first)
        if progress.next_index != first or not progress.may_send(self.state.settings.max_inflight):
            return None
        if isinstance(entries, Missing):
            self._snapshot_needed(peer, progress)
        elif self._still_follow(entries):
            self._replicate(peer, progress, entries)
        return None

    def _still_follow(self, entries: tuple[Entry, ...]) -> bool:
        """A slow read may be of an earlier leadership, and replaced since; or what precedes it is compacted."""
        log = self.state.log
        return log.term_at(entries[0].index - 1) is not None and all(
            log.matches(entry.id) for entry in entries
        )

    def _snapshot_needed(self, peer: NodeId, progress: Progress) -> None:
        progress.needs_snapshot()
        reason = f"needs entry {progress.next_index}, which a snapshot has replaced"
        self.state.outbox.events.append(PeerImpaired(peer, reason))
        self._offer(peer, progress)

    def _offer(self, peer: NodeId, progress: Progress) -> None:
        """Repeated with each heartbeat that is answered, for an offer may be lost and its receiver may start anew.

        Once for all answers that were under way: a follower whose disk hung for long gives very many at once.
        """
        last = self.state.snapshot
        progress.offered_round = self._round
        if progress.offered is None:
            progress.offered = last.index
        self.state.send(SnapshotOffer(**self.state.head(peer), last=last))

    @property
    def needed_from(self) -> Index:
        """The first index that a follower in contact may still ask for."""
        contact = (progress for peer, progress in self.progress.items() if self._in_contact(peer))
        return min((progress.needed_from for progress in contact), default=self.state.log.last.index + 1)

    def _impaired(self, peer: NodeId, progress: Progress, first: Index) -> Change:
        progress.impaired = True
        self.state.hole = min(self.state.hole or first, first)
        self.state.outbox.events.append(PeerImpaired(peer, f"entry {first} cannot be read here"))
        return Follow(None, f"its log is damaged at entry {first}")

    def _replicate(self, peer: NodeId, progress: Progress, entries: tuple[Entry, ...]) -> None:
        term = self.state.log.term_at(entries[0].index - 1)
        assert term is not None, f"entries from {entries[0].id} have no predecessor"
        self._send_append(peer, EntryId(term, entries[0].index - 1), entries)
        progress.sent(entries[-1].index, sum(entry.size for entry in entries), self.state.now)

    def _send_append(self, peer: NodeId, prev: EntryId, entries: tuple[Entry, ...]) -> None:
        state = self.state
        state.send(AppendRequest(**state.head(peer), prev=prev, entries=entries, commit=state.committed))

    # -- reads

    @property
    def _may_read(self) -> bool:
        """Before an entry of its own term commits, a leader does not know what is committed (thesis 6.4)."""
        return self.state.committed >= self.opening

    def read_index(self, id: RequestId) -> None:
        """Take a read; the next round confirms it."""
        self._reads.add(ReadRequest(self.state.node, id))

    def _release_reads(self) -> None:
        agrees = self.state.membership.quorum.agrees
        for round_ in self._reads.confirmed(lambda number: agrees(lambda node: self._confirms(node, number))):
            for request in round_.requests:
                self._answer_read(request, round_.index)

    def _confirms(self, node: NodeId, number: int) -> bool:
        return node == self.state.node or self.progress[node].acked_round >= number

    def _answer_read(self, request: ReadRequest, index: Index | None) -> None:
        state = self.state
        if request.origin != state.node:
            state.send(ReadIndexResponse(**state.head(request.origin), id=request.id, index=index))
        elif index is None:
            state.outbox.reads.append(ReadRefused(request.id, None))
        else:
            state.outbox.reads.append(ReadReleased(request.id, index))
