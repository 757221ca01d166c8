"""One node's part in one group: every input of the algorithm, and the `Ready` that comes out."""

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final

from raftlog.core.change import Change as MembershipChange
from raftlog.core.digests import Difference
from raftlog.core.durable import HardState, Recovered, SnapshotMeta
from raftlog.core.entry import Entry
from raftlog.core.ids import EntryId, GroupId, Index, Micros, NodeId, RequestId
from raftlog.core.membership import Member, Membership, MembershipAt
from raftlog.core.message import (
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    NotAMember,
    PreVoteRequest,
    PreVoteResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    VoteRequest,
    VoteResponse,
)
from raftlog.core.ready import (
    ChangeProposal,
    Missing,
    Proposal,
    Ready,
    RoleChanged,
    SnapshotContradicts,
    TransferAnswer,
)
from raftlog.core.roles.ballot import answer_pre_vote
from raftlog.core.roles.candidate import Candidate, PreCandidate
from raftlog.core.roles.follower import Follower
from raftlog.core.roles.leader import Leader
from raftlog.core.roles.role import Ask, Change, Follow, Lead, Role, Stand
from raftlog.core.settings import Settings
from raftlog.core.state import State
from raftlog.core.status import PeerStatus, Status


class Raft:
    """Raft (Ongaro 2014) with pre-vote, check-quorum, leader stickiness and ReadIndex, as a function of its inputs.

    Every input carries `now`, microseconds of a monotonic clock that counts suspended time. After any number of
    inputs, while `has_ready` holds, take `ready()` and perform it as `raftlog.core.ready` says. Equal inputs give
    equal outputs.

    Not safe for use from several threads. Nothing here awaits, so an input is never interleaved with another.
    """

    def __init__(
        self,
        *,
        node: NodeId,
        group: GroupId,
        recovered: Recovered,
        settings: Settings,
        random: Random,
        now: Micros,
    ) -> None:
        self._state: Final = State(
            node=node, group=group, recovered=recovered, settings=settings, random=random, now=now
        )
        self._role: Role = Follower(self._state, None)
        self._shown = self._face()
        self._writes: deque[tuple[Micros, Index | None]] = deque()
        """Of each write handed to storage and not yet completed: when it was, and its first entry's index."""
        self._installing = 0
        """How many writes, counted from the oldest, must complete until an installed snapshot stands in the log."""

    # -- inputs

    def tick(self, now: Micros, wall: Micros) -> None:
        """Time has passed. Due at `deadline` at the latest; `wall` (Unix microseconds) is used for log time alone."""
        state = self._state
        state.now, state.wall, state.wall_at = max(now, state.now), wall, max(now, state.now)
        self._change(self._role.tick())

    def step(self, message: Message, now: Micros) -> None:
        """A message from another node of the group has arrived. It may be old, repeated or out of order."""
        state = self._state
        self._at(now)
        if message.group != state.group or message.to != state.node or message.sender == state.node:
            state.refuse(message, f"addressed to node {message.to} of group {message.group}")
            return
        if isinstance(message, PreVoteRequest):
            answer_pre_vote(state, message, leading=isinstance(self._role, Leader))
        elif isinstance(message, NotAMember):
            self._change(self._role.step(message))
        elif message.term < state.term and not isinstance(message, PreVoteResponse):
            self._answer_stale(message)
        elif message.term <= state.term or self._adopt(message):
            self._dispatch(message)

    def propose(self, payload: bytes, now: Micros) -> Proposal:
        """Append one entry of encoded commands to the log, if this node leads.

        It is decided when it comes back through `Ready.apply`.
        """
        self._at(now)
        return self._role.propose(payload)

    def propose_membership(
        self,
        changes: Sequence[MembershipChange],
        now: Micros,
        *,
        expected: Index | None = None,
        force: bool = False,
    ) -> ChangeProposal:
        """Begin a change of the membership, if this node leads and no other change is under way.

        `expected` is the index of the membership that the change was made for (`Status.membership_index`); with another
        one in force it is refused. With `force` nobody asks who is alive or has caught up: what cannot be decided then
        stays undecided until enough nodes are there. The first entry is in the log when this returns. The change is
        through once `Status.decided_index` has come to it and the membership is not joint any more.
        """
        self._at(now)
        return self._role.propose_membership(changes, expected, force=force)

    def transfer(self, target: NodeId | None, now: Micros) -> TransferAnswer:
        """Hand leadership over to a voter; None: to the one in contact that has most of the log.

        Its success shows as another leader (`RoleChanged`). After an election timeout at the latest this node has
        stepped down or takes proposals again; `TransferEnded` says so.
        """
        self._at(now)
        return self._role.transfer(target)

    def read_index(self, id: RequestId, now: Micros) -> None:
        """Ask from which applied index on a linearizable read that has just arrived may be answered.

        The answer comes through `Ready.reads`, exactly once per id. Ids must not repeat within a boot.
        """
        self._at(now)
        self._role.read_index(id)

    def storage_done(self, hard_state: HardState | None, last: EntryId | None, now: Micros) -> None:
        """The oldest write not yet reported is synced: its hard state, and its entries up to `last`."""
        state = self._state
        self._at(now)
        assert self._writes, "storage reports a write that was never handed over"
        handed_over, _ = self._writes.popleft()
        state.writing_since = self._writes[0][0] if self._writes else None
        state.wrote_within(state.now - handed_over)
        self._installs_done()
        if hard_state is not None:
            state.synced = state.synced.newest(hard_state)
        if last is not None:
            state.log.mark_durable(last, rewritten_from=self._rewritten_from)
        self._change(self._role.synced())

    def hard_state_done(self, hard_state: HardState, now: Micros) -> None:
        """Term and vote of writes that are still under way are synced, ahead of their entries.

        For storage that has no space for entries and some left for these: what waited for term and vote alone, as all
        `messages_after_sync` do, may go. `storage_done` is due for each of these writes all the same, in their order.
        """
        state = self._state
        self._at(now)
        state.synced = state.synced.newest(hard_state)
        self._change(self._role.synced())

    def disk_room(self, room: int | None, now: Micros) -> None:
        """How many bytes of commands storage has room for while it finds no more space; None: it finds it.

        Without space a leader refuses commands, and gives up its office as soon as another has space and all its
        entries; a follower takes no more than there is room for. Entries without commands are always taken.
        """
        self._at(now)
        self._state.room = room

    @property
    def _rewritten_from(self) -> Index | None:
        """The lowest index that a write still under way, or not yet handed over, replaces or adds."""
        firsts = [first for _, first in self._writes if first is not None]
        firsts += [entry.index for entry in self._state.unwritten[:1]]
        return min(firsts, default=None)

    def snapshot_taken(self, at: EntryId, now: Micros) -> None:
        """The driver has a durable snapshot of the state machine at `at`, which it has applied."""
        self._at(now)
        self._state.snapshot_taken(at)

    def compact(self, index: Index, log_time: Micros, now: Micros) -> None:
        """Let the log begin right after `index`, whose entry has that log time; never beyond the newest snapshot.

        `needed_from` tells which entries followers would then have to do without.
        """
        self._at(now)
        if index > self._state.log.base.last.index:
            self._state.compact(index, log_time)

    def snapshot_fetched(self, meta: SnapshotMeta, digest: int, now: Micros) -> None:
        """What `Ready.fetch` asked for is here, checked and durable; `digest` is that of its state.

        It is taken where it is news; an older snapshot never replaces newer state. It may come from a node that is
        ahead of whoever offered it: the term of its last entry is entered first, or this node could yet win the
        election of an earlier term with a log that ends in a later one. Who stands for election stops: the log that its
        questions speak of is gone. A leader takes nothing; what is decided in its term or before is in its log.
        """
        state = self._state
        self._at(now)
        state.fetching = None
        if problem := state.contradiction(meta.last):
            state.outbox.events.append(SnapshotContradicts(meta.last, problem))
            return
        if meta.last.index <= state.committed:
            if state.takes_state(meta):
                state.reinstall(meta, digest)
            return
        if meta.last.term > state.term:
            state.adopt(meta.last.term)
            self._change(Follow(None, f"term {meta.last.term} seen in a snapshot"))
        if isinstance(self._role, PreCandidate | Candidate):
            self._change(Follow(None, f"a snapshot at {meta.last} has come"))
        if isinstance(self._role, Follower):
            state.install(meta, digest)
            self._installing = len(self._writes) + 1
            state.installing = True
            self._role.installed()

    def fetch_failed(self, now: Micros) -> None:
        """What `Ready.fetch` asked for cannot be had; the leader will offer again."""
        self._at(now)
        self._state.fetching = None

    def _installs_done(self) -> None:
        """Nothing is acknowledged before the write that made the log begin after the snapshot is synced."""
        if self._installing:
            self._installing -= 1
            self._state.installing = self._installing > 0

    def state_lost(self, reason: str, now: Micros) -> None:
        """The driver cannot build the state of the state machine from what is here: get it from the leader.

        Until it has it, this node does not lead; it votes and acknowledges, for its log is whole.
        """
        self._at(now)
        self._state.fence.wants_state = True
        if not isinstance(self._role, Follower):
            self._change(Follow(None, reason))

    def entries_loaded(
        self, peer: NodeId, first: Index, entries: tuple[Entry, ...] | Missing, now: Micros
    ) -> None:
        """The answer to a `Load` for `peer` that began at `first`."""
        self._at(now)
        self._change(self._role.loaded(peer, first, entries))

    def applied(self, index: Index, digest: int | None, now: Micros) -> None:
        """The state machine has applied everything up to `index`; `digest` is its running digest there.

        Digests of any indexes may be left out, or all of them: what is not known is not compared.
        """
        state = self._state
        self._at(now)
        assert state.applied <= index <= state.handed, (
            f"applied {index}, outside {state.applied}..{state.handed}"
        )
        state.applied = index
        if digest is not None:
            state.digest = digest
            state.digests.note(index, digest)
        self._role.applied(index)

    def campaign(self, now: Micros) -> None:
        """Start an election now, as if the leader had been silent; for tests and operators."""
        self._at(now)
        if self._state.may_campaign and not isinstance(self._role, Leader):
            self._change(Ask("was told to campaign"))

    def allow_leading(self, allowed: bool, reason: str, now: Micros) -> None:
        """Whether this node may lead: not while it cannot apply, for nothing it decides could then be answered."""
        self._at(now)
        self._state.may_lead = allowed
        if not allowed and not isinstance(self._role, Follower):
            self._change(Follow(None, reason))

    def damaged(self, index: Index, now: Micros) -> None:
        """The entry at `index` cannot be read here: this node promises nothing at or beyond it, and does not lead."""
        state = self._state
        self._at(now)
        state.hole = index if state.hole is None else min(state.hole, index)
        if not isinstance(self._role, Follower):
            self._change(Follow(None, f"its log is damaged at entry {index}"))

    def readable(self, index: Index, now: Micros) -> None:
        """The entry at `index`, which was reported as `damaged`, can be read after all."""
        self._at(now)
        if self._state.hole == index:
            self._state.hole = None

    # -- outputs

    @property
    def has_ready(self) -> bool:
        """Whether `ready` would say anything."""
        state = self._state
        return bool(state.outbox) or state.has_write or self._role.pending or state.can_apply

    def ready(self) -> Ready:
        """Everything to do since the last call. The caller owes its performance, in order."""
        state = self._state
        self._role.prepare()
        state.tell_membership()
        hard_state, entries = state.take_write()
        outbox = state.take_outbox()
        made = Ready(
            messages=tuple(outbox.messages),
            base=state.take_base(),
            hard_state=hard_state,
            entries=entries,
            messages_after_sync=tuple(outbox.after_sync),
            loads=tuple(outbox.loads),
            install=outbox.install,
            apply=state.take_apply(),
            reads=tuple(outbox.reads),
            fetch=outbox.fetch,
            healed=outbox.healed,
            fenced=outbox.fenced,
            snapshot_wanted=outbox.snapshot_wanted,
            events=tuple(outbox.events),
        )
        if made.writes:
            self._writes.append((state.now, entries[0].index if entries else None))
            state.writing_since = self._writes[0][0]
        return made

    def recent(self, first: Index, last: Index, max_bytes: int) -> tuple[Entry, ...] | None:
        """Bodies from memory: from `first` on while they fit, at least one; None when only storage has them."""
        return self._state.log.recent(first, last, max_bytes)

    @property
    def deadline(self) -> Micros:
        """When `tick` is due at the latest."""
        return self._role.deadline

    @property
    def leader(self) -> NodeId | None:
        """The leader of the current term, where it is known."""
        return self._role.leader

    @property
    def needed_from(self) -> Index:
        """The first index another node in contact may still ask this one for: what lies there is to be kept."""
        return self._role.needed_from

    @property
    def leads(self) -> bool:
        """Whether this node is the leader of its current term, as far as it knows."""
        return isinstance(self._role, Leader)

    @property
    def hole(self) -> Index | None:
        """The first entry known to be unreadable here: nothing from it on is handed out to be applied."""
        return self._state.hole

    @property
    def slow(self) -> bool:
        """Whether its disk has let it down: it took an election timeout over a write and was not prompt since."""
        return self._state.slow

    @property
    def hangs(self) -> bool:
        """Whether its disk is at a write for an election timeout."""
        return self._state.hangs

    @property
    def room(self) -> int | None:
        """What is left of what `disk_room` said."""
        return self._state.room

    @property
    def durable_index(self) -> Index:
        """The last entry that is synced here."""
        return self._state.log.durable

    @property
    def full_followers(self) -> tuple[NodeId, ...]:
        """Whose disks are full, as far as a leader knows."""
        return tuple(peer.id for peer in self._peer_status() if peer.full)

    @property
    def applied_index(self) -> Index:
        """The highest index reported by `applied`."""
        return self._state.applied

    @property
    def snapshot_index(self) -> Index:
        """The newest snapshot the core was told of."""
        return self._state.snapshot.index

    @property
    def contacts(self) -> tuple[Member, ...]:
        """Everybody that messages may have to reach or come from, sorted by id: all of the memberships that may be in
        force in the group, and whom a leader is still telling that they are removed. Never this node itself.
        """
        found = {member.id: member for at in self._state.possible for member in at.membership.members}
        found |= {member.id: member for member in self._role.departing if member.id not in found}
        return tuple(found[node] for node in sorted(found) if node != self._state.node)

    @property
    def is_member(self) -> bool:
        """Whether a membership that may be in force names this node; False for a stranger, and once it is removed."""
        return self._state.is_member and not self._state.expelled

    @property
    def snapshot(self) -> EntryId:
        """The snapshot that the state comes from after a restart, as far as the core was told."""
        return self._state.snapshot

    @property
    def first_index(self) -> Index:
        """The first entry that the log still has, or would have."""
        return self._state.log.first

    @property
    def fenced(self) -> str:
        """Why the state may not be shown to anybody; empty: it may."""
        return self._state.fence.reason

    @property
    def wants_state(self) -> bool:
        """Whether it waits for a state from its leader."""
        return self._state.fence.wants_state

    def membership_at(self, index: Index) -> MembershipAt:
        """The membership that was in force at an index of the retained log."""
        return self._state.membership_at(index)

    @property
    def membership(self) -> Membership:
        """The membership in force; equal until it changes, also by identity."""
        return self._state.membership

    def status(self) -> Status:
        """Everything an outside checker needs."""
        state = self._state
        return Status(
            node=state.node,
            group=state.group,
            role=self._role.name,
            term=state.term,
            vote=state.vote,
            leader=self._role.leader,
            first=state.log.first,
            last=state.log.last.index,
            committed=state.committed,
            applied=state.applied,
            durable=state.log.durable,
            snapshot=state.snapshot.index,
            impaired=state.impaired,
            full=state.room is not None,
            slow=state.slow,
            fenced=state.fence.reason,
            differs=self.differs,
            digest=state.digest,
            runs=state.log.runs,
            membership=state.membership,
            membership_index=state.memberships[-1].index,
            decided_index=state.membership_at(state.committed).index,
            is_member=self.is_member,
            transferring=self._role.transferring,
            peers=self._peer_status(),
        )

    @property
    def differs(self) -> tuple[Difference, ...]:
        """Whose state is known not to be the same as this node's: see `Status.differs`."""
        if isinstance(self._role, Leader):
            return self._role.comparison.differences
        differs = self._state.fence.differs
        return () if differs is None else (differs,)

    def _peer_status(self) -> tuple[PeerStatus, ...]:
        if not isinstance(self._role, Leader):
            return ()
        return tuple(
            PeerStatus(
                peer,
                progress.mode.value,
                progress.match_index,
                progress.next_index,
                progress.applied,
                progress.digest,
                progress.full,
                self._role.ready(peer),
            )
            for peer, progress in self._role.progress.items()
        )

    # -- terms and roles

    def _at(self, now: Micros) -> None:
        self._state.now = max(now, self._state.now)

    def _adopt(self, message: Message) -> bool:
        """Enter the higher term of a message; False when the message is to be ignored altogether.

        A request for votes does not count while this node keeps a promise to a leader or leads with a quorum: so a
        disturber cannot depose a leader that is in contact with a majority (thesis 4.2.3). A candidate stuck in a
        higher term frees itself by answering that leader. Who was asked to stand by the leader of this very term is let
        through; in any later term it is a disturber like others.
        """
        asks = isinstance(message, VoteRequest) and not (
            message.transfer and message.term == self._state.term + 1
        )
        if asks and (self._state.refuses_votes or isinstance(self._role, Leader)):
            return False
        if isinstance(message, PreVoteResponse) and message.granted:
            return False
        speaks = isinstance(message, AppendRequest | Heartbeat | SnapshotOffer)
        self._state.adopt(message.term)
        self._change(
            Follow(message.sender if speaks else None, f"term {message.term} seen from {message.sender}")
        )
        return True

    def _dispatch(self, message: Message) -> None:
        """Hand a message of the current term to the role; whoever hears the term's leader follows it first.

        A read that was meant for a leader is refused by everyone else, so that its asker need not wait for nothing.
        """
        if isinstance(message, AppendRequest | Heartbeat | SnapshotOffer) and isinstance(
            self._role, PreCandidate | Candidate
        ):
            self._change(Follow(message.sender, f"{message.sender} leads the term"))
        if isinstance(message, ReadIndexRequest) and not self.leads:
            head = self._state.head(message.sender)
            self._state.send(ReadIndexResponse(**head, id=message.id, index=None))
            return
        self._change(self._role.step(message))

    def _answer_stale(self, message: Message) -> None:
        """Tell whoever acts in an old term which term it is; old answers are dropped."""
        state = self._state
        head = state.head(message.sender)
        match message:
            case AppendRequest() | Heartbeat() | SnapshotOffer():
                state.send(HeartbeatAck(**head, round=0, applied=state.applied, digest=state.digest))
            case VoteRequest():
                state.promise(VoteResponse(**head, granted=False))
            case ReadIndexRequest():
                state.send(ReadIndexResponse(**head, id=message.id, index=None))
            case _:
                pass

    def _change(self, change: Change | None) -> None:
        """Carry out changes of role until there is none, and show the outcome."""
        reason = "" if change is None else change.reason
        while change is not None:
            self._role.leave()
            self._role = self._become(change)
            change = self._role.enter()
        face = self._face()
        if face != self._shown:
            self._shown = face
            role, term, leader = face
            self._state.outbox.events.append(RoleChanged(role, term, leader, reason or "heard the leader"))

    def _become(self, change: Change) -> Role:
        match change:
            case Follow():
                return Follower(self._state, change.leader)
            case Ask():
                return PreCandidate(self._state)
            case Stand():
                return Candidate(self._state, transfer=change.transfer)
            case Lead():
                return Leader(self._state)

    def _face(self) -> tuple[str, int, NodeId | None]:
        return self._role.name, self._state.term, self._role.leader
