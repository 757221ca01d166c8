"""A readable state of one node's disk, as far as the algorithm relies on it: what checkers compare promises with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from raftlog.core.durable import HardState, Recovered, SnapshotMeta, TermRun
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import EntryId, Index
from raftlog.core.membership import MembershipAt, decode_membership
from raftlog.core.message import Message


@dataclass(frozen=True, slots=True)
class Write:
    """One batch for the disk; `after` are the messages that wait for its sync."""

    hard_state: HardState | None
    entries: tuple[Entry, ...]
    after: tuple[Message, ...] = ()
    base: SnapshotMeta | None = None
    """Where the log begins from now on: performed before the entries."""

    @property
    def bears(self) -> bool:
        """Whether it writes anything, or only waits its turn."""
        return self.hard_state is not None or bool(self.entries) or self.base is not None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole and durable file: what it stands for, the digest of its state, and the state, which nobody changes."""

    meta: SnapshotMeta
    digest: int
    state: Any = None


@dataclass(slots=True)
class Image:
    """Invariants: `entries` are consecutive from `base.last.index + 1`; `memberships` are those that entries set."""

    base: SnapshotMeta
    hard_state: HardState
    entries: list[Entry] = field(default_factory=list)
    snapshot: Snapshot | None = None
    """The newest; None before there is one, and the state is the first one then."""
    impaired: bool = False
    """Entries it may have acknowledged were lost."""
    fenced: str = ""
    """Why its state may not be shown."""
    memberships: list[MembershipAt] = field(init=False)
    """Those set by entries, oldest first."""

    def __post_init__(self) -> None:
        self.memberships = _memberships(self.entries)

    @property
    def last(self) -> EntryId:
        """The last entry, or the base."""
        return self.entries[-1].id if self.entries else self.base.last

    @property
    def membership(self) -> MembershipAt:
        """The membership in force for whoever starts from here."""
        return self.memberships[-1] if self.memberships else self.base.membership

    @property
    def snapshot_index(self) -> Index:
        """Up to where the newest snapshot stands for the log; 0 without one."""
        return 0 if self.snapshot is None else self.snapshot.meta.last.index

    def at(self, index: Index) -> Entry | None:
        """The entry at `index`; None when it is not here."""
        at = index - self.base.last.index - 1
        return self.entries[at] if 0 <= at < len(self.entries) else None

    def holds(self, position: EntryId) -> bool:
        """Whether that entry is here, as a record or covered by the base or a snapshot."""
        if position.index <= self.base.last.index or position.index <= self.snapshot_index:
            return True
        entry = self.at(position.index)
        return entry is not None and entry.term == position.term

    def take(self, write: Write) -> None:
        """Perform a write: entries replace whatever stood at their first index and after it."""
        if write.base is not None:
            self.begin_after(write.base)
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.entries:
            first = write.entries[0].index
            keep = first - self.base.last.index - 1
            assert 0 <= keep <= len(self.entries), f"a write from {write.entries[0].id} after {self.last}"
            del self.entries[keep:]
            while self.memberships and self.memberships[-1].index >= first:
                self.memberships.pop()
            self.entries.extend(write.entries)
            for entry in write.entries:
                if entry.kind is EntryKind.MEMBERSHIP:
                    self.memberships.append(MembershipAt(entry.index, decode_membership(entry.payload)))

    def begin_after(self, base: SnapshotMeta) -> None:
        """Let the log begin after `base`; a log that does not contain it goes as a whole."""
        index = base.last.index
        assert index >= self.base.last.index, f"a log that begins after {self.base.last} is to after {index}"
        entry = self.at(index)
        contains = base.last == self.base.last or (entry is not None and entry.id == base.last)
        keep = index - self.base.last.index if contains else len(self.entries)
        del self.entries[:keep]
        self.memberships = [at for at in self.memberships if at.index > index] if contains else []
        self.base = base

    def keep(self, snapshot: Snapshot) -> None:
        """A snapshot is durable; an older one than the newest changes nothing."""
        if snapshot.meta.last.index > self.snapshot_index:
            self.snapshot = snapshot

    def recover(self) -> Recovered:
        """What a node that starts from this disk is given.

        An installation that a crash has interrupted is completed: a snapshot that reaches beyond the log was
        fetched, is durable and stands for what is decided.
        """
        if self.snapshot is not None and not self._reaches(self.snapshot.meta.last):
            self.begin_after(self.snapshot.meta)
        return self.recovered()

    def _reaches(self, position: EntryId) -> bool:
        entry = self.at(position.index)
        return position.index <= self.base.last.index or (entry is not None and entry.id == position)

    def recovered(self) -> Recovered:
        """What the core would be given as it is."""
        runs: list[TermRun] = []
        for entry in self.entries:
            if not runs or runs[-1].term != entry.term:
                runs.append(TermRun(entry.index, entry.term))
        return Recovered(
            hard_state=self.hard_state,
            base=self.base,
            runs=tuple(runs),
            last=self.last.index,
            memberships=tuple(self.memberships),
            last_log_time=self.entries[-1].log_time if self.entries else self.base.log_time,
            snapshot=None if self.snapshot is None else self.snapshot.meta.last,
            impaired=self.impaired,
            fenced=self.fenced,
        )

    def meta_at(self, index: Index) -> SnapshotMeta:
        """What a snapshot at an entry of this log, or a log that begins after it, says of itself."""
        entry = self.at(index)
        assert entry is not None, f"no entry {index}: the log is {self.base.last} to {self.last}"
        before = (at for at in self.memberships if at.index <= index)
        membership = max(before, key=lambda at: at.index, default=self.base.membership)
        return SnapshotMeta(entry.id, membership, entry.log_time)

    def damage(self, index: Index) -> None:
        """Everything from the entry at `index` on is unreadable; a snapshot is not."""
        assert index > self.base.last.index, f"the log begins after {self.base.last}"
        del self.entries[index - self.base.last.index - 1 :]
        self.memberships = [at for at in self.memberships if at.index < index]
        hard = self.hard_state
        self.hard_state = HardState(hard.term, hard.vote, min(hard.commit, self.last.index))
        self.impaired = True

    def copy(self) -> "Image":
        """An image that changes by itself."""
        return Image(
            self.base, self.hard_state, list(self.entries), self.snapshot, self.impaired, self.fenced
        )


def _memberships(entries: Sequence[Entry]) -> list[MembershipAt]:
    return [
        MembershipAt(entry.index, decode_membership(entry.payload))
        for entry in entries
        if entry.kind is EntryKind.MEMBERSHIP
    ]
