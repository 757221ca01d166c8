"""Checks I1 to I15 after every step of a run, by looking at what that step has changed."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from jepsen_like.sim.image import Image, Snapshot, Write
from jepsen_like.sim.invariants.history import History, who
from jepsen_like.sim.invariants.view import View
from jepsen_like.sim.verdict import Violation
from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import EntryId, Index, NodeId, RequestId, Term
from raftlog.core.log import Log
from raftlog.core.membership import Membership, MembershipAt, decode_membership
from raftlog.core.message import (
    AppendAccepted,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from raftlog.core.progress import Progress
from raftlog.core.raft import Raft
from raftlog.core.roles.role import Role


class Disk(Protocol):
    """What a checker may see of a node's disk: what would survive a crash now, and what a read would find."""

    durable: Image
    written: Image
    pending: deque[Write]
    """What has been handed over and is not durable yet, oldest first."""


class _Seen:
    """One incarnation of a node, and what was last seen of it."""

    __slots__ = (
        "applied",
        "base",
        "committed",
        "disk",
        "durable",
        "last",
        "match",
        "membership",
        "progress",
        "role",
        "snapshot",
        "state",
        "term",
        "view",
        "vote",
    )

    def __init__(self, view: View, disk: Disk) -> None:
        self.view = view
        self.state = view.state
        self.disk = disk
        self.term: Term = 0
        self.vote: NodeId | None = None
        self.committed: Index = 0
        self.applied: Index = 0
        self.durable: Index = 0
        self.last: EntryId | None = None
        self.base: SnapshotMeta | None = None
        self.snapshot: EntryId | None = None
        self.role: Role | None = None
        self.progress: dict[NodeId, Progress] | None = None
        """While it leads."""
        self.match: dict[NodeId, Index] = {}
        self.membership: MembershipAt = view.membership


class Checker:
    """Watches a whole run, restarts included, and raises `Violation` at the first step that breaks an invariant.

    It is told of each step: `started`, `wrote`, `synced`, `crashed`, `made`, `sent`, `asked`, `answered`, `applied`,
    `took_effect`, `kept`, `damaged`, `healed`; `observe` after every input of a core and `settled` once it has handed
    over everything. It trusts nothing that a core says of itself: what is durable and what was written it reads from
    the disks.

    Invariants: `decided` only grows; of every entry ever made one object and its predecessor's term are known.
    """

    def __init__(self) -> None:
        self._seen: dict[NodeId, _Seen] = {}
        self._disks: dict[NodeId, Disk] = {}
        self._leaders: dict[Term, NodeId] = {}
        self._votes: dict[tuple[NodeId, Term], NodeId] = {}
        self._hard: dict[NodeId, HardState] = {}
        self._entries: dict[tuple[Term, Index], tuple[Entry, Term]] = {}
        """Every entry ever made, and the term of the one before it."""
        self.decided: list[tuple[EntryId, Term]] = []
        """The committed log as it became known, and in which term each entry was first seen committed."""
        self._decided_under: Membership | None = None
        self._applications = 0
        self._digests: dict[Index, int] = {0: 0}
        self._floors: dict[RequestId, Index] = {}
        self._effects: dict[tuple[int, int], Index] = {}
        self._snapshots = 0
        self._history = History(self.entry)
        self._ghosts: dict[NodeId, Image] = {}
        """What the disks of impaired nodes held before the damage: one such loss is what a majority is for."""
        self._decided_before: dict[NodeId, Index] = {}
        """What was decided when they were damaged: whoever is whole again has it, whoever decided it."""
        self._promises: dict[type[Message], Callable[[Message, HardState, Disk], None]] = {
            VoteRequest: self._asks,
            VoteResponse: self._votes_for,
            AppendAccepted: self._acknowledges,
        }

    @property
    def highest_term(self) -> Term:
        """The highest term that had a leader; 0 when none had."""
        return max(self._leaders, default=0)

    @property
    def leaderships(self) -> int:
        """How many terms had a leader."""
        return len(self._leaders)

    def committed(self, node: NodeId) -> Index:
        """What this incarnation of a node was last seen to have committed."""
        return self._seen[node].committed

    def entry(self, index: Index) -> Entry | None:
        """The decided entry at `index`; None when nothing is decided there."""
        if not 0 < index <= len(self.decided):
            return None
        position = self.decided[index - 1][0]
        return self._entries[position.term, position.index][0]

    @property
    def membership(self) -> MembershipAt:
        """The newest decided membership."""
        found = self._history.membership_at(len(self.decided))
        assert found is not None, "nobody has started"
        return found

    def possible(self) -> list[Membership]:
        """The newest decided membership, and those that may be decided after it: they are on some disk, or nowhere."""
        newest = self.membership
        found = [newest.membership]
        for disk in self._disks.values():
            for image in (disk.durable, disk.written):
                for at in image.memberships:
                    if at.index > newest.index and at.membership not in found:
                        found.append(at.membership)
        return found

    def checks(self) -> dict[str, int]:
        """How often invariants whose occasions are rare were put to the test, by name."""
        return {
            "I1": len(self._leaders),
            "I4": len(self._leaders),
            "I5": self._applications,
            "I7": len(self.decided),
            "I10": len(self._entries),
            "I13": self._snapshots,
            "I14": len(self._floors),
            "I15": len(self._effects),
        }

    def effect(self, client: int, sequence: int) -> Index | None:
        """Where a client's command took effect; None when no state machine has applied it."""
        return self._effects.get((client, sequence))

    # -- told by the cluster

    def prepared(self, node: NodeId, image: Image, history: Sequence[Entry]) -> None:
        """A node is about to start its life with this disk; `history` is its whole log, the compacted part included."""
        self._learn(history, 0)
        self._hard[node] = image.hard_state
        for entry in history[len(self.decided) : max(image.base.last.index, image.hard_state.commit)]:
            self.decided.append((entry.id, entry.term))

    def known(self, entries: Sequence[Entry], before: Term) -> None:
        """A story says that these entries exist and were made by rightful leaders."""
        self._learn(entries, before)

    def started(self, node: NodeId, core: Raft, disk: Disk) -> None:
        """A new incarnation begins from what is durable."""
        self._disks[node] = disk
        self._hard.setdefault(node, HardState())
        self._history.begins(disk.durable.base.membership)
        self._seen[node] = _Seen(View(core), disk)

    def wrote(self, node: NodeId, write: Write) -> int:
        """A node hands a write to its disk: checked before it is performed. Returns how many entries it replaces."""
        disk = self._disks[node]
        if write.hard_state is not None:
            hint, durable = write.hard_state.commit, disk.durable.last
            if hint > durable.index and hint > disk.durable.snapshot_index:
                raise _broken("I8", node, f"writes the commit hint {hint}, durable is {durable}")
        image = disk.written
        if write.base is not None:
            image = self._begins_after(node, write.base, image)
        if not write.entries:
            return 0
        first = write.entries[0].index
        last = image.last
        if first > last.index + 1:
            raise _broken("I3", node, f"writes {first} after {last}: a gap")
        before = image.at(first - 1)
        for entry in write.entries:
            if entry.index <= last.index and entry.index <= len(self.decided):
                self._replaces(node, entry, image)
            if (entry.term, entry.index) not in self._entries:
                self._makes(node, entry, before)
                if entry.kind is EntryKind.MEMBERSHIP:
                    self._changes(node, entry, image)
            before = entry
        self._learn(write.entries, _term_before(image, first))
        return last.index + 1 - first

    def _begins_after(self, node: NodeId, base: SnapshotMeta, image: Image) -> Image:
        """Nothing goes from a log that a durable snapshot does not stand for (I8, S3); the log that is left."""
        index, snapshot = base.last.index, self._disks[node].durable.snapshot_index
        if index > snapshot:
            raise _broken("I8", node, f"lets its log begin after {base.last}, its snapshot is at {snapshot}")
        if index < image.base.last.index:
            raise _broken("I8", node, f"lets its log begin after {base.last}, it did after {image.base.last}")
        self._history.holds(node, base)
        image = image.copy()
        image.begin_after(base)
        return image

    def kept(self, node: NodeId, snapshot: Snapshot) -> None:
        """A snapshot has become durable, taken here or fetched (I13)."""
        self._snapshots += 1
        self._history.holds(node, snapshot.meta)
        index = snapshot.meta.last.index
        known = self._digests.setdefault(index, snapshot.digest)
        if known != snapshot.digest:
            raise _broken(
                "I13", node, f"keeps a snapshot at {index} of digest {snapshot.digest:x}, not {known:x}"
            )

    def damaged(self, node: NodeId, before: Image) -> None:
        """A disk has lost entries that it held `before`; its node knows, and is to promise nothing it cannot keep."""
        self._ghosts.setdefault(node, before)
        self._decided_before[node] = len(self.decided)

    def healed(self, node: NodeId) -> None:
        """An impaired node counts as whole again: what is decided must do without what it lost (I7)."""
        self._ghosts.pop(node, None)
        decided, disk = self._decided_before.pop(node, 0), self._disks[node].durable
        if decided and not disk.holds(self.decided[decided - 1][0]):
            raise _broken(
                "W4", node, f"is whole again with {disk.last}, and {decided} was decided before its loss"
            )
        if self._decided_under is not None:
            self._held_by_quorum(self.decided[-1][0], self._decided_under, node)

    def _held(self, node: NodeId, position: EntryId) -> bool:
        """Whether a disk has this entry, or had it before it was damaged."""
        ghost = self._ghosts.get(node)
        return self._disks[node].durable.holds(position) or (ghost is not None and ghost.holds(position))

    def synced(self, node: NodeId) -> None:
        """A disk has changed for good."""
        now, before = self._disks[node].durable.hard_state, self._hard[node]
        if now is before:
            return
        if now.term < before.term:
            raise _broken("I2", node, f"durable term falls from {before.term} to {now.term}")
        if now.term == before.term and before.vote not in (None, now.vote):
            raise _broken(
                "I2", node, f"durable vote of term {now.term} changes from {before.vote} to {now.vote}"
            )
        self._hard[node] = now

    def crashed(self, node: NodeId) -> None:
        """Unsynced writes of a node are lost: what was decided must still be on a quorum's disks (I7)."""
        self.synced(node)
        if self._decided_under is not None:
            self._held_by_quorum(self.decided[-1][0], self._decided_under, None)

    def made(self, message: Message) -> None:
        """A node has made a message (E22)."""
        term = self._seen[message.sender].state.term
        if message.term != term:
            raise _broken("E22", message.sender, f"is in term {term} and says {message}")
        if self._ghosts and message.sender in self._ghosts:
            self._has_no_vote(message)

    def _has_no_vote(self, message: Message) -> None:
        asks = isinstance(message, PreVoteRequest | VoteRequest)
        if asks or (isinstance(message, PreVoteResponse | VoteResponse) and message.granted):
            raise _broken("W4", message.sender, f"has lost entries, is not whole again, and says {message}")

    def sent(self, message: Message) -> None:
        """A message leaves a node (I11, I2)."""
        disk = self._disks[message.sender]
        hard = disk.durable.hard_state
        if hard.term < message.term:
            raise _broken("I11", message.sender, f"speaks in term {message.term}, durable is {hard}")
        promise = self._promises.get(type(message))
        if promise is not None:
            promise(message, hard, disk)

    def asked(self, read: RequestId) -> None:
        """A linearizable read begins: it must see everything decided by now (I14)."""
        self._floors[read] = len(self.decided)

    def answered(self, node: NodeId, read: RequestId, index: Index) -> None:
        """A read was released at `index`."""
        floor = self._floors[read]
        if index < floor:
            raise _broken("I14", node, f"read {read} is released at {index}, {floor} was decided before it")

    def applied(self, node: NodeId, index: Index, digest: int) -> None:
        """A state machine has applied `index` (I5)."""
        self._applications += 1
        known = self._digests.setdefault(index, digest)
        if known != digest:
            raise _broken("I5", node, f"its digest at {index} is {digest:x}, another's is {known:x}")

    def took_effect(self, node: NodeId, client: int, sequence: int, index: Index) -> None:
        """A state machine has executed a client's command, not filtered it as a repetition (I15)."""
        known = self._effects.setdefault((client, sequence), index)
        if known != index:
            raise _broken(
                "I15", node, f"command {sequence} of c{client} takes effect at {index}, and did at {known}"
            )

    def observe(self, node: NodeId) -> None:
        """A node has taken an input."""
        seen = self._seen[node]
        state = seen.state
        if state.term != seen.term or state.vote != seen.vote:
            self._terms(node, seen)
        log = state.log
        if (
            log.last is not seen.last
            or log.durable != seen.durable
            or state.committed != seen.committed
            or state.applied != seen.applied
            or log.base is not seen.base
            or state.snapshot is not seen.snapshot
        ):
            self._moved(node, seen)
        role = seen.view.role
        if role is not seen.role:
            self._takes_role(node, seen, role)
        if seen.progress is not None:
            self._counts(node, seen, seen.progress)

    def settled(self, node: NodeId) -> None:
        """A node has handed over everything: its disk's written image must be its log (I3, I12)."""
        seen = self._seen[node]
        last, written = seen.state.log.last, seen.disk.written
        entries = written.entries
        if entries:
            tail = entries[-1]
            if tail.index != last.index or tail.term != last.term:
                raise _broken("I3", node, f"ends with {last}, wrote {written.last}")
        elif written.base.last != last:
            raise _broken("I3", node, f"ends with {last}, wrote {written.last}")
        membership = seen.state.memberships[-1]
        if membership is not seen.membership:
            self._uses_membership(node, seen, membership, written)
        elif membership.index != written.membership.index:
            raise _out_of_force(node, membership, written)

    # -- terms, votes, roles

    def _terms(self, node: NodeId, seen: _Seen) -> None:
        term, vote = seen.state.term, seen.state.vote
        if term < seen.term:
            raise _broken("I2", node, f"term falls from {seen.term} to {term}")
        if vote is not None:
            self._voted(node, term, vote)
        if term != seen.term:
            seen.role = None  # whoever leads on in another term leads anew
        seen.term, seen.vote = term, vote

    def _voted(self, node: NodeId, term: Term, candidate: NodeId) -> None:
        # A vote lost in a crash before its sync may be given anew: only what is durable or has left binds.
        hard = self._disks[node].durable.hard_state
        if hard.term == term and hard.vote is not None:
            given = self._votes.setdefault((node, term), hard.vote)
            if given != hard.vote:
                raise _broken("I2", node, f"voted for {given} in term {term}, now for {hard.vote}")
        given = self._votes.get((node, term), candidate)
        if given != candidate:
            raise _broken("I2", node, f"voted for {given} in term {term}, now for {candidate}")

    def _takes_role(self, node: NodeId, seen: _Seen, role: Role) -> None:
        seen.role, seen.progress = role, seen.view.progress
        if seen.progress is None:
            return
        term = seen.term
        leader = self._leaders.setdefault(term, node)
        if leader != node:
            raise _broken("I1", node, f"leads term {term}, as does {leader}")
        seen.match = {peer: account.match_index for peer, account in seen.progress.items()}
        if any(seen.match.values()):
            raise _broken("I9", node, f"begins to lead term {term} with {seen.match} counted already")
        self._complete(node, seen)

    def _complete(self, node: NodeId, seen: _Seen) -> None:
        """It must hold the last entry decided in an earlier term: by I3 it then holds all before it (I4)."""
        log = seen.state.log
        for position, term in reversed(self.decided):
            if term < seen.term:
                if position.index > log.base.last.index and log.term_at(position.index) != position.term:
                    raise _broken("I4", node, f"leads term {seen.term} without the decided {position}")
                return

    # -- what leaves

    def _asks(self, message: Message, hard: HardState, disk: Disk) -> None:
        node = message.sender
        image, committed = disk.written, self._seen[node].state.committed
        known = [image.base.membership, *image.memberships]
        decided = max(at.index for at in known if at.index <= max(committed, known[0].index))
        possible = [at.membership for at in known if at.index >= decided]
        if not any(node in membership.voters + membership.outgoing for membership in possible):
            raise _broken(
                "E16", node, f"asks for votes of term {message.term}, and is no voter: {who(possible[-1])}"
            )
        if disk.durable.impaired:
            raise _broken("D10", node, f"asks for votes of term {message.term}, and is impaired")
        if not (hard.term > message.term or hard.vote == node):
            raise _broken("I11", node, f"asks for votes of term {message.term}, durable is {hard}")
        self._voted(node, message.term, node)

    def _votes_for(self, message: Message, hard: HardState, disk: Disk) -> None:
        assert isinstance(message, VoteResponse), f"not an answer to a request for votes: {message}"
        if not message.granted:
            return
        node = message.sender
        if disk.durable.impaired:
            raise _broken("D10", node, f"votes for {message.to} in {message.term}, and is impaired")
        if not (hard.term > message.term or hard.vote == message.to):
            raise _broken("I11", node, f"votes for {message.to} in {message.term}, durable is {hard}")
        self._voted(node, message.term, message.to)

    def _acknowledges(self, message: Message, hard: HardState, disk: Disk) -> None:
        assert isinstance(message, AppendAccepted), f"not an acknowledgement: {message}"
        last = disk.durable.last
        if message.match > last.index:
            raise _broken("I11", message.sender, f"acknowledges {message.match} of {last}")

    # -- pointers and commits

    def _moved(self, node: NodeId, seen: _Seen) -> None:
        state = seen.state
        log = state.log
        committed, applied, durable, last = state.committed, state.applied, log.durable, log.last.index
        if committed < seen.committed:
            raise _broken("I6", node, f"commit falls from {seen.committed} to {committed}")
        if applied < seen.applied and applied != state.fence.restored_at:
            raise _broken("I8", node, f"applied falls from {seen.applied} to {applied}")
        base, snapshot = log.base.last.index, state.snapshot.index
        if log.base is not seen.base:
            self._history.holds(node, log.base)
        if snapshot > max(seen.disk.durable.snapshot_index, base):
            raise _broken(
                "I8",
                node,
                f"counts on a snapshot at {state.snapshot}, durable is one at {seen.disk.durable.snapshot_index}",
            )
        if not base <= snapshot <= applied <= min(committed, durable) <= max(committed, durable) <= last:
            raise _broken(
                "I8",
                node,
                f"out of order: base {base}, snapshot {snapshot}, applied {applied}, committed {committed},"
                f" durable {durable}, last {last}",
            )
        if log.last.term > state.term:
            raise _broken("I2", node, f"is in term {state.term}, and its log ends with {log.last}")
        if durable > base:
            entry, term = seen.disk.durable.at(durable), log.term_at(durable)
            if entry is None or entry.term != term:
                raise _broken(
                    "I8",
                    node,
                    f"believes {durable}@{term} durable, the disk has {seen.disk.durable.last}",
                )
            self._stays(node, durable, seen.disk.pending)
        if committed > seen.committed:
            if (
                seen.progress is not None
                and seen.view.role is seen.role
                and log.term_at(committed) != seen.term
            ):
                raise _broken(
                    "R1", node, f"leads term {seen.term} and counts {committed}@{log.term_at(committed)}"
                )
            self._commits(node, seen, max(seen.committed, base), committed)
        seen.committed, seen.applied, seen.durable, seen.last = committed, applied, durable, log.last
        seen.base, seen.snapshot = log.base, state.snapshot

    def _stays(self, node: NodeId, durable: Index, pending: Sequence[Write]) -> None:
        """What is on disk now and will be taken off it by a write under way is not durable (W13)."""
        for write in pending:
            if write.entries and write.entries[0].index <= durable:
                raise _broken(
                    "I8",
                    node,
                    f"believes {durable} durable, a write under way puts {write.entries[0].id} there",
                )

    def _commits(self, node: NodeId, seen: _Seen, start: Index, end: Index) -> None:
        log, decided = seen.state.log, self.decided
        known = len(decided)
        for index in range(start + 1, end + 1):
            term = log.term_at(index)
            if index > len(decided):
                assert term is not None, f"n{node} commits {index}, beyond {log.last}"
                assert index == len(decided) + 1, f"n{node} commits {index} after {len(decided)}"
                decided.append((EntryId(term, index), seen.term))
            elif decided[index - 1][0].term != term:
                raise _broken("I6", node, f"commits {index}@{term}, but {decided[index - 1][0]} was decided")
        if len(decided) > known:
            self._decided_under = self._deciding(node, seen, known)
            self._held_by_quorum(decided[-1][0], self._decided_under, node)

    def _deciding(self, node: NodeId, seen: _Seen, known: Index) -> Membership:
        """Who had to agree to the last entry that was just decided; `known` were before.

        The newest membership that has been written, for the core may have made the next one since. Only where that
        leaves a joint one, further entries may have been decided by the new voters alone within the same input; those
        up to the joint membership, and to the opening of the term, came before.
        """
        written = seen.disk.written
        newest, membership = written.membership, written.membership.membership
        if not membership.outgoing or seen.state.memberships[-1].index == newest.index:
            return membership
        opening = next((entry.index for entry in written.entries if entry.term == seen.term), 0)
        before = max(newest.index, opening)
        if len(self.decided) <= before:
            return membership
        if before > known:
            self._held_by_quorum(self.decided[before - 1][0], membership, node)
        return msgspec.structs.replace(membership, outgoing=(), demoted=())

    def _held_by_quorum(self, position: EntryId, membership: Membership, node: NodeId | None) -> None:
        """Counted here and not by the core's own quorums, whose mistakes it would share."""
        held = [peer for peer in self._disks if self._held(peer, position)]
        if not _most_of(membership.voters, held) or not _most_of(membership.outgoing, held):
            raise _broken("I7", node, f"{position} is decided, but durable only on {held}")

    # -- a leader's account of its followers

    def _counts(self, node: NodeId, seen: _Seen, progress: dict[NodeId, Progress]) -> None:
        for gone in seen.match.keys() - progress.keys():
            del seen.match[gone]
        for peer, account in progress.items():
            match = account.match_index
            if account.next_index <= match:
                raise _broken("I9", node, f"next {account.next_index} of {peer}, match {match}")
            before = seen.match.get(peer, 0)
            if match != before:
                if match < before:
                    raise _broken("I9", node, f"match of {peer} falls from {before} to {match}")
                seen.match[peer] = match
                if peer in self._disks:
                    self._really_matches(node, seen, peer, match)

    def _really_matches(self, node: NodeId, seen: _Seen, peer: NodeId, match: Index) -> None:
        durable, log = self._disks[peer].durable, seen.state.log
        if durable.hard_state.term <= seen.term and match > log.base.last.index:
            position = EntryId(_known_term(log, match), match)
            if not self._held(peer, position):
                raise _broken("I9", node, f"counts {position} of {peer}, who has {durable.last}")

    # -- entries and memberships

    def _replaces(self, node: NodeId, entry: Entry, image: Image) -> None:
        old = image.at(entry.index)
        decided, term = self.decided[entry.index - 1]
        if old is None or old.term != decided.term or entry.term == decided.term:
            return
        # A leader of a term before the decision may still replace it where it does not count.
        if self._seen[node].state.term >= term:
            raise _broken("I6", node, f"replaces {decided}, decided in term {term}, by {entry.id}")

    def _makes(self, node: NodeId, entry: Entry, before: Entry | None) -> None:
        maker = self._leaders.get(entry.term)
        if maker != node:
            raise _broken("I10", node, f"makes {entry.id}, but term {entry.term} is led by {maker}")
        if before is not None and entry.log_time < before.log_time:
            raise _broken(
                "D8", node, f"makes {entry.id} at {entry.log_time}, before {before.id} at {before.log_time}"
            )

    def _changes(self, node: NodeId, entry: Entry, image: Image) -> None:
        """A leader makes a membership: of a decided one, in its own term, and by steps that keep quorums together."""
        before = max(
            (at for at in image.memberships if at.index < entry.index),
            key=lambda at: at.index,
            default=image.base.membership,
        )
        wanted = decode_membership(entry.payload)
        if before.index > len(self.decided):
            rule = "M7" if before.membership.outgoing else "M2"
            raise _broken(
                rule, node, f"makes the membership {entry.id} while that of {before.index} is not decided"
            )
        if not any(position.term == entry.term for position, _ in reversed(self.decided)):
            raise _broken(
                "M1", node, f"makes the membership {entry.id} before anything of its term is decided"
            )
        if not _follows(before.membership, wanted):
            raise _broken(
                "M10",
                node,
                f"lets {who(wanted)} follow {who(before.membership)}, with quorums that need not meet",
            )

    def _learn(self, entries: Sequence[Entry], before: Term) -> None:
        for entry in entries:
            known = self._entries.get((entry.term, entry.index))
            if known is None or known[0] is not entry:
                if not entry.intact():
                    raise _broken("I3", None, f"{entry.id} is written, and fails its checksum")
                if known is None:
                    known = self._entries[entry.term, entry.index] = entry, before
                elif known[0].checksum != entry.checksum:
                    raise _broken("I3", None, f"two entries {entry.id}: {known[0]} and {entry}")
            if known[1] != before:
                raise _broken("I3", None, f"two entries {entry.id}: one after {known[1]}, one after {before}")
            before = entry.term

    def _uses_membership(self, node: NodeId, seen: _Seen, used: MembershipAt, written: Image) -> None:
        newest = written.membership
        if used.index != newest.index or used.membership != newest.membership:
            raise _out_of_force(node, used, written)
        seen.membership = used


def _follows(before: Membership, after: Membership) -> bool:
    """A joint membership is followed by its incoming half, any other by one with its voters or joint with them."""
    if before.outgoing:
        return not after.outgoing and after.voters == before.voters
    return after.outgoing == before.voters or (not after.outgoing and after.voters == before.voters)


def _broken(invariant: str, node: NodeId | None, problem: str) -> Violation:
    return Violation(invariant, f"n{node} {problem}" if node else problem)


def _out_of_force(node: NodeId, used: MembershipAt, written: Image) -> Violation:
    newest = written.membership
    return _broken(
        "I12",
        node,
        f"uses the membership of {used.index}, {who(used.membership)}; the newest in its log is that of"
        f" {newest.index}, {who(newest.membership)}",
    )


def _most_of(voters: Sequence[NodeId], held: Sequence[NodeId]) -> bool:
    """An absent half of a quorum agrees to everything."""
    return not voters or 2 * sum(voter in held for voter in voters) > len(voters)


def _known_term(log: Log, index: Index) -> Term:
    return log.term_at(index) or 0


def _term_before(image: Image, index: Index) -> Term:
    entry = image.at(index - 1)
    return entry.term if entry is not None else image.base.last.term
