"""What must hold after every step of a cluster, whatever was done to it: I1 to I12 and I14 of the list of traps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jepsen_like.sim.core.store import Image, Store, Write
from raftlog.core.durable import HardState
from raftlog.core.entry import Entry
from raftlog.core.ids import EntryId, Index, NodeId, RequestId, Term
from raftlog.core.membership import Membership
from raftlog.core.message import AppendAccepted, Message, VoteRequest, VoteResponse
from raftlog.core.status import Status


class Violation(AssertionError):
    """An invariant does not hold; the message names it, the node and the values."""


class Observed(Protocol):
    """What a checker may see of a node."""

    id: NodeId
    store: Store


@dataclass(slots=True)
class _Seen:
    """What was last seen of one incarnation of a node."""

    term: Term = 0
    committed: Index = 0
    applied: Index = 0
    led: Term = 0
    match: dict[NodeId, Index] = field(default_factory=dict)


class Checker:
    """Watches a whole run, restarts included, and raises `Violation` at the first step that breaks an invariant.

    It knows nothing of the algorithm: only what a node reports, what is on the disks and what leaves a node.
    """

    def __init__(self, nodes: Mapping[NodeId, Observed]) -> None:
        self._nodes = nodes
        self._seen = {node: _Seen() for node in nodes}
        self._leaders: dict[Term, NodeId] = {}
        self._votes: dict[tuple[NodeId, Term], NodeId] = {}
        self._hard: dict[NodeId, HardState] = {node: HardState() for node in nodes}
        self._entries: dict[EntryId, tuple[int, Term]] = {}
        """Checksum of every entry ever made, and the term of the one before it."""
        self.decided: list[tuple[EntryId, Term]] = []
        """The committed log as it became known, and in which term each entry was first seen committed."""
        self._decided_under: Membership | None = None
        self._digests: dict[Index, int] = {0: 0}
        self._floors: dict[RequestId, Index] = {}

    def committed(self, node: NodeId) -> Index:
        """What this incarnation of a node was last seen to have committed."""
        return self._seen[node].committed

    @property
    def highest_term(self) -> Term:
        """The highest term that had a leader; 0 when none had."""
        return max(self._leaders, default=0)

    # -- told by the cluster

    def prepared(self, node: NodeId, image: Image, history: Sequence[Entry]) -> None:
        """A node starts its life with this disk; `history` is its whole log, the compacted part included."""
        self._learn(history, 0)
        self._hard[node] = image.hard_state
        self._seen[node] = _Seen()
        for entry in history[len(self.decided) : max(image.base.last.index, image.hard_state.commit)]:
            self.decided.append((entry.id, entry.term))

    def known(self, entries: Sequence[Entry], before: Term) -> None:
        """A story says that these entries exist and were made by rightful leaders."""
        self._learn(entries, before)

    def started(self, node: NodeId) -> None:
        """A new incarnation begins from what is durable."""
        self._seen[node] = _Seen()

    def wrote(self, node: NodeId, write: Write) -> None:
        """A node hands a write to its disk: checked before it is performed."""
        if write.hard_state is not None:
            hint, durable = write.hard_state.commit, self._nodes[node].store.durable.last
            _hold(hint <= durable.index, "I8", node, f"writes the commit hint {hint}, durable is {durable}")
        if not write.entries:
            return
        first = write.entries[0].index
        image, seen = self._nodes[node].store.written, self._seen[node]
        _hold(first <= image.last.index + 1, "I3", node, f"writes {first} after {image.last}: a gap")
        for entry in write.entries:
            _hold(entry.intact(), "I3", node, f"writes {entry.id}, which fails its checksum")
            if (old := image.at(entry.index)) is not None and entry.index <= len(self.decided):
                decided, term = self.decided[entry.index - 1]
                # A leader of a term before the decision may still replace it where it does not count.
                safe = old.id != decided or entry.id == decided or seen.term < term
                _hold(safe, "I6", node, f"replaces {decided}, decided in term {term}, by {entry.id}")
            if entry.id not in self._entries:
                maker = self._leaders.get(entry.term)
                _hold(
                    maker == node, "I10", node, f"makes {entry.id}, but term {entry.term} is led by {maker}"
                )
        self._learn(write.entries, _previous_term(image, first))

    def synced(self, node: NodeId) -> None:
        """A disk has changed for good."""
        now, before = self._nodes[node].store.durable.hard_state, self._hard[node]
        _hold(now.term >= before.term, "I2", node, f"durable term falls from {before.term} to {now.term}")
        _hold(
            now.term > before.term or before.vote in (None, now.vote),
            "I2",
            node,
            f"durable vote of term {now.term} changes from {before.vote} to {now.vote}",
        )
        self._hard[node] = now

    def crashed(self) -> None:
        """Unsynced writes are lost: what was decided must still be on a quorum's disks (I7)."""
        if self._decided_under is not None:
            self._held_by_quorum(self.decided[-1][0], self._decided_under, None)

    def made(self, message: Message, term: Term) -> None:
        """A node in this term has made a message (E22)."""
        _hold(message.term == term, "E22", message.sender, f"is in term {term} and says {message}")

    def sent(self, message: Message) -> None:
        """A message leaves a node (I11, I2)."""
        node, durable = message.sender, self._nodes[message.sender].store.durable
        hard = durable.hard_state
        _hold(hard.term >= message.term, "I11", node, f"speaks in term {message.term}, durable is {hard}")
        match message:
            case VoteRequest():
                promised = hard.term > message.term or hard.vote == node
                _hold(promised, "I11", node, f"asks for votes of term {message.term}, durable is {hard}")
                self._voted(node, message.term, node)
            case VoteResponse(granted=True):
                promised = hard.term > message.term or hard.vote == message.to
                _hold(promised, "I11", node, f"votes for {message.to} in {message.term}, durable is {hard}")
                self._voted(node, message.term, message.to)
            case AppendAccepted(match=match):
                _hold(match <= durable.last.index, "I11", node, f"acknowledges {match} of {durable.last}")
            case _:
                pass

    def asked(self, read: RequestId) -> None:
        """A linearizable read begins: it must see everything decided by now (I14)."""
        self._floors[read] = len(self.decided)

    def answered(self, node: NodeId, read: RequestId, index: Index) -> None:
        """A read was released at `index`."""
        floor = self._floors[read]
        _hold(
            index >= floor, "I14", node, f"read {read} is released at {index}, {floor} was decided before it"
        )

    def applied(self, node: NodeId, index: Index, digest: int) -> None:
        """A state machine has applied `index` (I5)."""
        known = self._digests.setdefault(index, digest)
        _hold(known == digest, "I5", node, f"its digest at {index} is {digest:x}, another's is {known:x}")

    def observe(self, node: NodeId, status: Status) -> None:
        """A node has taken an input."""
        seen = self._seen[node]
        self._terms(node, status, seen)
        self._pointers(node, status, seen)
        if status.committed > seen.committed:
            self._commits(node, status, seen)
        if status.role == "leader":
            self._leads(node, status, seen)
        seen.term, seen.committed, seen.applied = status.term, status.committed, status.applied

    def settled(self, node: NodeId, status: Status) -> None:
        """A node has handed over everything: its disk's written image must be its log (I12)."""
        written = self._nodes[node].store.written
        _hold(status.last == written.last.index, "I3", node, f"ends with {status.last}, wrote {written.last}")
        ends = _term_at(status, status.last)
        _hold(ends == written.last.term, "I3", node, f"ends in term {ends}, wrote {written.last}")
        _hold(status.durable <= written.last.index, "I8", node, f"durable {status.durable} of {written.last}")
        set_by = status.membership_index
        if set_by > written.base.last.index:
            entry = written.at(set_by)
            _hold(
                entry is not None and entry.kind == 3,
                "I12",
                node,
                f"membership of {set_by}, not one: {entry}",
            )
        newer = [at.index for at in written.memberships() if at.index > set_by] if written.entries else []
        _hold(not newer, "I12", node, f"membership of {set_by} in force, newer ones at {newer}")

    # -- one check each

    def _terms(self, node: NodeId, status: Status, seen: _Seen) -> None:
        _hold(status.term >= seen.term, "I2", node, f"term falls from {seen.term} to {status.term}")
        if status.vote is not None:
            self._voted(node, status.term, status.vote)

    def _voted(self, node: NodeId, term: Term, candidate: NodeId) -> None:
        # A vote lost in a crash before its sync may be given anew: only what is durable or has left binds.
        hard = self._nodes[node].store.durable.hard_state
        if hard.term == term and hard.vote is not None:
            given = self._votes.setdefault((node, term), hard.vote)
            _hold(given == hard.vote, "I2", node, f"voted for {given} in term {term}, now for {hard.vote}")
        given = self._votes.get((node, term), candidate)
        _hold(given == candidate, "I2", node, f"voted for {given} in term {term}, now for {candidate}")

    def _pointers(self, node: NodeId, status: Status, seen: _Seen) -> None:
        _hold(status.committed >= seen.committed, "I6", node, f"commit falls to {status.committed}")
        _hold(status.applied >= seen.applied, "I8", node, f"applied falls to {status.applied}")
        order = (status.snapshot, status.applied, min(status.committed, status.durable), status.last)
        _hold(list(order) == sorted(order), "I8", node, f"snapshot, applied, decided, last: {order}")
        _hold(max(status.committed, status.durable) <= status.last, "I8", node, f"beyond its log: {status}")
        durable = self._nodes[node].store.durable
        if status.durable > status.snapshot:
            ends = EntryId(_term_at(status, status.durable), status.durable)
            _hold(durable.holds(ends), "I8", node, f"believes {ends} durable, the disk has {durable.last}")

    def _commits(self, node: NodeId, status: Status, seen: _Seen) -> None:
        start = max(seen.committed, status.snapshot)
        news = False
        for index in range(start + 1, status.committed + 1):
            position = EntryId(_term_at(status, index), index)
            if index > len(self.decided):
                assert index == len(self.decided) + 1, f"n{node} commits {index} after {len(self.decided)}"
                self.decided.append((position, status.term))
                news = True
            decided = self.decided[index - 1][0]
            _hold(decided == position, "I6", node, f"commits {position}, but {decided} was decided")
        if news:
            self._decided_under = status.membership
            self._held_by_quorum(self.decided[-1][0], status.membership, node)

    def _held_by_quorum(self, position: EntryId, membership: Membership, node: NodeId | None) -> None:
        def holds(peer: NodeId) -> bool:
            return peer in self._nodes and self._nodes[peer].store.durable.holds(position)

        held = [peer for peer in sorted(self._nodes) if holds(peer)]
        _hold(
            membership.quorum.agrees(holds), "I7", node, f"{position} is decided, but durable only on {held}"
        )

    def _leads(self, node: NodeId, status: Status, seen: _Seen) -> None:
        if seen.led != status.term:
            leader = self._leaders.setdefault(status.term, node)
            _hold(leader == node, "I1", node, f"leads term {status.term}, as does {leader}")
            seen.led, seen.match = status.term, {}
            self._complete(node, status)
        for peer in status.peers:
            match, before = peer.match_index, seen.match.get(peer.id, 0)
            _hold(peer.next_index > match, "I9", node, f"next {peer.next_index} of {peer.id}, match {match}")
            _hold(match >= before, "I9", node, f"match of {peer.id} falls from {before} to {match}")
            seen.match[peer.id] = match
            if match > before and peer.id in self._nodes:
                self._really_matches(node, status, peer.id, match)

    def _really_matches(self, node: NodeId, status: Status, peer: NodeId, match: Index) -> None:
        durable = self._nodes[peer].store.durable
        if durable.hard_state.term <= status.term and match > status.snapshot:
            position = EntryId(_term_at(status, match), match)
            _hold(durable.holds(position), "I9", node, f"counts {position} of {peer}, who has {durable.last}")

    def _complete(self, node: NodeId, status: Status) -> None:
        for position, term in self.decided:
            if term < status.term and position.index > status.snapshot:
                has = position.index <= status.last and _term_at(status, position.index) == position.term
                _hold(has, "I4", node, f"leads term {status.term} without the decided {position}")

    def _learn(self, entries: Sequence[Entry], before: Term) -> None:
        for entry in entries:
            known = self._entries.setdefault(entry.id, (entry.checksum, before))
            made = (entry.checksum, before)
            _hold(
                known == made, "I3", None, f"two entries {entry.id}: (checksum, term before) {known}, {made}"
            )
            before = entry.term


def _hold(fact: bool, invariant: str, node: NodeId | None, problem: str) -> None:
    if not fact:
        raise Violation(f"{invariant}: n{node} {problem}" if node else f"{invariant}: {problem}")


def _term_at(status: Status, index: Index) -> Term:
    return next((run.term for run in reversed(status.runs) if run.first <= index), 0)


def _previous_term(image: Image, index: Index) -> Term:
    entry = image.at(index - 1)
    return entry.term if entry is not None else image.base.last.term
