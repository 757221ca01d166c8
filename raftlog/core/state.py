"""What every role of a node may touch: its term and vote, its log, its membership and its outbox."""

from collections.abc import Sequence
from random import Random
from typing import Any

from raftlog.core.digests import Digests
from raftlog.core.durable import HardState, Recovered, SnapshotMeta
from raftlog.core.entry import Entry, EntryKind, seal
from raftlog.core.fence import Fence
from raftlog.core.ids import EntryId, GroupId, Index, Micros, NodeId, Term
from raftlog.core.log import Log
from raftlog.core.membership import Membership, MembershipAt, decode_membership
from raftlog.core.message import Envelope, Message
from raftlog.core.outbox import Outbox
from raftlog.core.ready import (
    Fenced,
    Healed,
    IndexRange,
    LeftGroup,
    MembershipChanged,
    MessageRefused,
    Unfenced,
)
from raftlog.core.settings import MAX_VOTE_SPAN, Settings

ENTRY_ROOM = 1024
"""What an entry is charged with besides its bytes."""


class State:
    """One node's part of one group, whatever its role.

    Invariants:
    - `term` never decreases, and within a term `vote` is set at most once;
    - nothing leaves in a term that is not durable: such messages wait for the sync;
    - `base <= snapshot <= applied <= handed <= min(committed, durable)`, `committed <= last`; none ever decreases;
    - no entry at or below `committed` is ever replaced;
    - the membership in force is that of the newest entry in the log that sets one, committed or not (thesis 4.1).
    """

    __slots__ = (
        "_last_log_time",
        "_told",
        "_unwritten_base",
        "_was_member",
        "_written",
        "applied",
        "committed",
        "digest",
        "digests",
        "dragging",
        "expelled",
        "fence",
        "fetching",
        "group",
        "handed",
        "hole",
        "impaired",
        "installing",
        "log",
        "may_lead",
        "memberships",
        "node",
        "now",
        "outbox",
        "random",
        "room",
        "settings",
        "snapshot",
        "synced",
        "term",
        "unwritten",
        "vote",
        "votes_refused_until",
        "wall",
        "wall_at",
        "writing_since",
    )  # fmt: skip

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
        base = recovered.base
        self.node = node
        self.group = group
        self.settings = settings
        self.random = random
        self.now = now
        self.wall: Micros = 0
        self.wall_at: Micros = now
        self.term: Term = recovered.hard_state.term
        self.vote: NodeId | None = recovered.hard_state.vote
        self.log = Log(base, recovered.runs, recovered.last, max_bytes=settings.max_recent)
        self._enter_later_term(recovered.impaired)
        self.memberships = [base.membership, *recovered.memberships]
        self.snapshot: EntryId = base.last if recovered.snapshot is None else recovered.snapshot
        """The newest durable snapshot of the state machine."""
        self.committed: Index = max(recovered.hard_state.commit, self.snapshot.index)
        self.handed: Index = self.snapshot.index
        self.applied: Index = self.snapshot.index
        self.digest = 0
        self.digests = Digests()
        """What is known of the running digest of the state as it is now."""
        self.fence = Fence(reason=recovered.fenced, wants_state=bool(recovered.fenced))
        self.synced = recovered.hard_state
        """Term and vote as they are on disk."""
        self.unwritten: list[Entry] = []
        """Entries the next Ready hands to storage."""
        self.writing_since: Micros | None = None
        """When the oldest write still under way was handed over."""
        self.votes_refused_until: Micros = now
        self.may_lead = True
        """False while the driver cannot apply what it would decide."""
        self.hole: Index | None = None
        """The first index known to be unreadable here: such a node promises nothing at or beyond it."""
        self.impaired = recovered.impaired
        """It had to give up entries that it may have acknowledged: it neither votes nor campaigns (see `heal`)."""
        self.room: int | None = None
        """Bytes of commands that storage has room for before it finds more space; None: it has found it."""
        self.dragging = False
        """Its disk took too long over a write and has not completed one promptly since."""
        self.fetching: EntryId | None = None
        """The snapshot the driver was asked to get and has not reported."""
        self.installing = False
        """An installed snapshot does not yet stand in the durable log."""
        self.expelled = False
        """It was told that it is no member any more: it does not campaign until a leader speaks to it."""
        self.outbox = Outbox()
        self._written = recovered.hard_state
        self._unwritten_base: SnapshotMeta | None = None
        self._last_log_time = recovered.last_log_time
        assert self.committed <= self.log.last.index, (
            f"commit hint {self.committed} is beyond {self.log.last}"
        )
        assert self.log.base.last.index <= self.snapshot.index, (
            f"the log begins after {self.log.base.last}, the snapshot stands for {self.snapshot}"
        )
        if self._may_have_promised(recovered):
            self.votes_refused_until = now + MAX_VOTE_SPAN
        self._told = self.memberships[-1], self.membership_at(self.committed).index
        """The membership last shown, and which one was decided then."""
        self._was_member = self.is_member

    def _enter_later_term(self, impaired: bool) -> None:
        """Two kinds of nodes do not go on in the term they have on disk.

        One whose log begins after a snapshot of a later term, fetched just before a crash: in the meantime it would
        take an overtaken leader for its own. And one that lost entries: the leader of its term may still count it
        among those who have them, or be about to, once an old acknowledgement arrives. A leader of a later term
        counts only what this node says from now on, and has all that was decided by counting it before.
        """
        term = max(self.term + impaired, self.log.last.term)
        if term > self.term:
            self.adopt(term)

    def _may_have_promised(self, recovered: Recovered) -> bool:
        """A lone voter never delays itself; a node that has seen no term has answered no heartbeat."""
        return not self.alone and recovered.hard_state.term > 0

    # -- who and when

    @property
    def membership(self) -> Membership:
        """The membership in force."""
        return self.memberships[-1].membership

    @property
    def possible(self) -> tuple[MembershipAt, ...]:
        """The newest decided membership and all that follow it: one of them is in force in the group, or will be."""
        decided = self.membership_at(self.committed).index
        return tuple(at for at in self.memberships if at.index >= decided)

    @property
    def is_member(self) -> bool:
        """Whether one of the memberships that are possible names this node."""
        return any(at.membership.member(self.node) for at in self.possible)

    @property
    def peers(self) -> tuple[NodeId, ...]:
        """Every other node of the group, sorted."""
        return tuple(node for node in self.membership.ids if node != self.node)

    @property
    def alone(self) -> bool:
        """Whether this node decides everything by itself."""
        return self.membership.quorum.voters == (self.node,)

    @property
    def may_campaign(self) -> bool:
        """Only a voter with a whole log and a working state machine asks for votes.

        A voter of the newest decided membership is one until a later one is decided: it may have to lead to decide
        that, if nobody else has its entry (thesis 4.2.2).
        """
        voter = any(at.membership.may_vote(self.node) for at in self.possible)
        able = self.may_lead and self.whole and self.fence.lets_lead
        return able and not self.expelled and voter

    @property
    def slow(self) -> bool:
        """Whether its disk drags or hangs."""
        return self.dragging or self.hangs

    @property
    def hangs(self) -> bool:
        """Whether its disk is at a write for an election timeout."""
        since = self.writing_since
        return since is not None and self.now - since >= self.settings.election_timeout

    def wrote_within(self, took: Micros) -> None:
        """A write has completed. On a full disk it may have waited for space, which says nothing of the device."""
        if took <= self.settings.heartbeat:
            self.dragging = False
        elif took >= self.settings.election_timeout and self.room is None:
            self.dragging = True

    @property
    def reluctant(self) -> bool:
        """Whether its disk makes it a poor leader: others come first, where there are others."""
        return (self.room is not None or self.slow) and not self.alone

    @property
    def whole(self) -> bool:
        """Whether everything this node ever acknowledged can be read here."""
        return self.hole is None and not self.impaired

    @property
    def refuses_votes(self) -> bool:
        """Whether a promise to a leader is still in force (D14)."""
        return self.now < self.votes_refused_until

    def patience(self) -> Micros:
        """When to stop waiting: one to two election timeouts from now, drawn anew each time, never within a promise.

        The draw comes on top of the promise too, or nodes that restarted together would all campaign at its very end.
        """
        timeout = self.settings.election_timeout
        return max(self.now + timeout, self.votes_refused_until) + self.random.randrange(timeout)

    # -- term and vote

    def adopt(self, term: Term) -> None:
        """Enter a higher term, with no vote given in it."""
        assert term > self.term, f"term would fall from {self.term} to {term}"
        self.term, self.vote = term, None

    def give_vote(self, candidate: NodeId) -> None:
        """Vote in the current term; counts for nothing until it is durable."""
        assert self.vote in (None, candidate), f"already voted for {self.vote} in term {self.term}"
        self.vote = candidate

    @property
    def vote_is_durable(self) -> bool:
        """Whether term and vote are on disk as they stand now."""
        return self.synced.term == self.term and self.synced.vote == self.vote

    # -- the log

    def create(self, kind: EntryKind, payload: bytes, wall: Micros) -> Entry:
        """Append a new entry of the current term. Only a leader may call this, and never across an `await`."""
        self._last_log_time = max(self._last_log_time, wall)
        at = EntryId(self.term, self.log.last.index + 1)
        entry = seal(group=self.group, at=at, kind=kind, log_time=self._last_log_time, payload=payload)
        self._extend([entry])
        return entry

    def splice(self, entries: Sequence[Entry]) -> None:
        """Make the log end with `entries`, replacing what disagrees. The caller has checked what precedes them."""
        first = entries[0].index
        assert first > self.committed, f"would replace committed entry {first} <= {self.committed}"
        if first <= self.log.last.index:
            self.log.truncate(first - 1)
            while len(self.memberships) > 1 and self.memberships[-1].index >= first:
                self.memberships.pop()
            while self.unwritten and self.unwritten[-1].index >= first:
                self.unwritten.pop()
        self._extend(entries)

    def _extend(self, entries: Sequence[Entry]) -> None:
        self.log.append(entries)
        self.unwritten.extend(entries)
        if self.room is not None:
            self.room = max(0, self.room - sum(map(room_for, entries)))
        self._last_log_time = entries[-1].log_time
        for entry in entries:
            if entry.kind is EntryKind.MEMBERSHIP:
                self.memberships.append(MembershipAt(entry.index, decode_membership(entry.payload)))

    def commit_to(self, index: Index) -> None:
        """Everything up to `index` is decided."""
        assert index <= self.log.last.index, f"cannot commit {index}: the log ends with {self.log.last}"
        self.committed = max(self.committed, index)

    # -- snapshots

    def snapshot_taken(self, at: EntryId) -> None:
        """The state at `at` is in a durable file."""
        assert at.index <= self.applied, f"a snapshot at {at}, and only {self.applied} is applied"
        self.snapshot = max(self.snapshot, at)

    def compact(self, index: Index, log_time: Micros) -> None:
        """Let the log begin after `index`, whose entry has that log time."""
        term = self.log.term_at(index)
        assert term is not None, (
            f"cannot begin after {index}: the log has {self.log.base.last} to {self.log.last}"
        )
        assert index <= self.snapshot.index, (
            f"cannot begin after {index}: the snapshot stands for {self.snapshot}"
        )
        self._begin_after(SnapshotMeta(EntryId(term, index), self.membership_at(index), log_time))

    def contradiction(self, at: EntryId) -> str | None:
        """Why a snapshot at `at` cannot be of what was decided here; None when it can."""
        index = min(at.index, self.committed)
        term = self.log.term_at(index)
        if term is None or term == at.term or (term < at.term and index < at.index):
            return None
        return f"{EntryId(term, index)} is decided here, which cannot be followed or replaced by {at}"

    def membership_at(self, index: Index) -> MembershipAt:
        """The newest membership set at or before `index`, which lies in the log or is its base."""
        return next(at for at in reversed(self.memberships) if at.index <= index)

    def install(self, meta: SnapshotMeta, digest: int) -> None:
        """Take the state that a durable, fetched snapshot stands for; it is decided, and newer than what is here."""
        at = meta.last
        assert at.index > self.committed, f"a snapshot at {at} is no news: {self.committed} is committed"
        if not self.log.install(meta):
            self.memberships = [meta.membership]
            self.unwritten.clear()
            self._last_log_time = meta.log_time
        self._begin_after(meta)
        self.snapshot = at
        self.committed = self.handed = self.applied = at.index
        self._stand_at(meta, digest)

    def takes_state(self, meta: SnapshotMeta) -> bool:
        """Whether the log goes on from this snapshot with what is decided and durable here."""
        index = meta.last.index
        reaches = self.log.base.last.index <= index <= min(self.committed, self.log.durable)
        return self.fence.wants_state and reaches and self.log.matches(meta.last)

    def reinstall(self, meta: SnapshotMeta, digest: int) -> None:
        """Throw the state away for that of a durable, fetched snapshot, which may be older.

        What is applied goes back, and nothing else: the log from there on is here, and what is decided stays decided.
        Only for who wants a state; whoever waited for an answer from the old one has been told that there is none.
        """
        index = meta.last.index
        assert self.takes_state(meta), (
            f"a state at {meta.last} does not go with a log of {self.log.runs}, committed up to {self.committed}"
        )
        self.snapshot = meta.last
        self.handed = self.applied = index
        self._stand_at(meta, digest)

    def _stand_at(self, meta: SnapshotMeta, digest: int) -> None:
        """The state is another one from now on; its digest counts once the driver has it."""
        self.digest = digest
        self.digests.clear()
        self.fence.wants_state = False
        self.fence.restored_at = meta.last.index
        self.outbox.install = meta

    def contradicted(self, last: Index) -> None:
        """A quorum has another state after `last`: show this one to nobody, and replace it."""
        first, last = self.fence.range_to(last)
        self.fence.wants_state = True
        if not self.fence.up:
            self.fence.reason = (
                f"its state differs from that of a quorum since some entry of {first} to {last}"
            )
            self.outbox.fenced = self.fence.reason
            self.outbox.events.append(Fenced(self.fence.reason))

    def let_out(self, at: Index) -> None:
        """The state has come from a peer, and what it has become since then is what a quorum has."""
        self.fence.reason = ""
        self.outbox.fenced = ""
        self.outbox.events.append(Unfenced(at))

    def _begin_after(self, base: SnapshotMeta) -> None:
        index = base.last.index
        if base.last != self.log.base.last:
            self.log.compact(base)
        self.memberships = [base.membership, *(at for at in self.memberships if at.index > index)]
        self.unwritten = [entry for entry in self.unwritten if entry.index > index]
        if self.hole is not None and self.hole <= index:
            self.hole = None
        self._unwritten_base = base

    def heal(self) -> None:
        """Be a full member again.

        The leader it follows was elected in a term after the loss (see `_enter_later_term`), so it has everything that
        was ever decided by counting this node: whoever acknowledged one of those entries and voted for that leader
        did so with a whole log. It vouches for what is decided only after an entry of its own, which stands behind all
        that it took over. So once this node has everything up to there, it has again all it ever acknowledged that
        counted. A heartbeat's commit will not do: it is capped at what the leader knows to match here, and may be as
        little as nothing.
        """
        self.impaired = False
        self.outbox.healed = True
        self.outbox.events.append(Healed(self.committed))

    def expel(self, decided: EntryId) -> bool:
        """Somebody says that what is decided up to there does not name this node; whether that ends its hopes.

        It does unless the membership in force here was set later, or is known to be that of a later moment: an older
        one is overwritten or overtaken.
        """
        if self.expelled or self._newer_than(decided):
            return False
        self.expelled = True
        if self._was_member:
            self._was_member = False
            self.outbox.events.append(LeftGroup(decided.index))
        return True

    def _newer_than(self, decided: EntryId) -> bool:
        index = self.memberships[-1].index
        term = self.log.term_at(index) if index > self.log.base.last.index else None
        return (self.log.base.last if term is None else EntryId(term, index)) > decided

    def tell_membership(self) -> None:
        """Show what has become of the membership since the last time."""
        newest, decided = self.memberships[-1], self.membership_at(self.committed).index
        if self._told == (newest, decided):
            return
        (before, _), self._told = self._told, (newest, decided)
        if newest != before or decided == newest.index:
            event = MembershipChanged(newest.index, newest.membership, decided == newest.index)
            self.outbox.events.append(event)
        was_member, self._was_member = self._was_member, self.is_member
        if was_member and not self._was_member:
            self.outbox.events.append(LeftGroup(self.committed))

    # -- effects

    def send(self, message: Message) -> None:
        """Send as soon as everything it implies is durable: a term that is not on disk binds nobody yet."""
        early = self.synced.term == self.term
        (self.outbox.messages if early else self.outbox.after_sync).append(message)

    def promise(self, message: Message) -> None:
        """Send after the sync of the Ready it leaves with: it gives or asks for a vote."""
        self.outbox.after_sync.append(message)

    def head(self, to: NodeId) -> dict[str, Any]:
        """The fields every message carries."""
        return {"group": self.group, "sender": self.node, "to": to, "term": self.term}

    def refuse(self, message: Envelope, reason: str) -> None:
        """Report a message that no correct peer sends; nothing else happens."""
        self.outbox.events.append(MessageRefused(message.sender, reason))

    # -- for Ready

    def take_base(self) -> SnapshotMeta | None:
        """Where the log begins, if that has changed."""
        taken, self._unwritten_base = self._unwritten_base, None
        return taken

    def take_write(self) -> tuple[HardState | None, tuple[Entry, ...]]:
        """What storage must write next: the hard state where it changed, and new entries.

        The commit hint rides along with other writes and never causes one.
        """
        entries = tuple(self.unwritten)
        self.unwritten.clear()
        current = HardState(self.term, self.vote, min(self.committed, self.log.durable))
        must = (current.term, current.vote) != (self._written.term, self._written.vote)
        if not must and not (entries and current != self._written):
            return None, entries
        assert current.term >= self._written.term, f"term falls on disk: {self._written} to {current}"
        assert current.term > self._written.term or self._written.vote in (None, current.vote), (
            "vote changes in a term"
        )
        self._written = current
        return current, entries

    @property
    def has_write(self) -> bool:
        """Whether `take_write` would give anything."""
        if self.unwritten or self._unwritten_base is not None:
            return True
        return (self.term, self.vote) != (self._written.term, self._written.vote)

    @property
    def can_apply(self) -> bool:
        """Whether `take_apply` would give anything."""
        return self._appliable > self.handed

    @property
    def _appliable(self) -> Index:
        end = min(self.committed, self.log.durable)
        return end if self.hole is None else min(end, self.hole - 1)

    def take_apply(self) -> IndexRange | None:
        """Entries that may be applied and have not been handed out."""
        if not self.can_apply:
            return None
        first, self.handed = self.handed + 1, self._appliable
        return IndexRange(first, self.handed)

    def has_room(self, entries: Sequence[Entry]) -> bool:
        """Whether storage has room for these. What carries no commands always finds the room kept for it."""
        if self.room is None or all(entry.kind is not EntryKind.COMMANDS for entry in entries):
            return True
        return sum(map(room_for, entries)) <= self.room

    def take_outbox(self) -> Outbox:
        """What has piled up, leaving an empty outbox."""
        taken, self.outbox = self.outbox, Outbox()
        return taken


def room_for(entry: Entry) -> int:
    """Bytes an entry takes on disk at most, the batch it may be alone in included."""
    return entry.size + ENTRY_ROOM
