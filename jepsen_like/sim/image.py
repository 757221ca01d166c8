"""A readable state of one node's disk, as far as the algorithm relies on it: what checkers compare promises with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

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

    @property
    def bears(self) -> bool:
        """Whether it writes anything, or only waits its turn."""
        return self.hard_state is not None or bool(self.entries)


@dataclass(slots=True)
class Image:
    """Invariants: `entries` are consecutive from `base.last.index + 1`; `memberships` are those that entries set."""

    base: SnapshotMeta
    hard_state: HardState
    entries: list[Entry] = field(default_factory=list)
    digest: int = 0
    """The state machine's digest at the base: what a snapshot would hold."""
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

    def at(self, index: Index) -> Entry | None:
        """The entry at `index`; None when it is not here."""
        at = index - self.base.last.index - 1
        return self.entries[at] if 0 <= at < len(self.entries) else None

    def holds(self, position: EntryId) -> bool:
        """Whether that entry is here, as a record or covered by the base."""
        if position.index <= self.base.last.index:
            return True
        entry = self.at(position.index)
        return entry is not None and entry.term == position.term

    def take(self, write: Write) -> None:
        """Perform a write: entries replace whatever stood at their first index and after it."""
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

    def compact(self, index: Index, digest: int) -> None:
        """Let a snapshot at `index` with that digest stand for everything up to it."""
        entry = self.at(index)
        assert entry is not None, f"no entry {index} to compact to: the log ends with {self.last}"
        before = (at for at in self.memberships if at.index <= index)
        membership = max(before, key=lambda at: at.index, default=self.base.membership)
        del self.entries[: index - self.base.last.index]
        self.memberships = [at for at in self.memberships if at.index > index]
        self.base = SnapshotMeta(entry.id, membership, entry.log_time)
        self.digest = digest

    def recovered(self) -> Recovered:
        """What a node that starts from this image is given."""
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
        )

    def copy(self) -> "Image":
        """An image that changes by itself."""
        return Image(self.base, self.hard_state, list(self.entries), self.digest)


def _memberships(entries: Sequence[Entry]) -> list[MembershipAt]:
    return [
        MembershipAt(entry.index, decode_membership(entry.payload))
        for entry in entries
        if entry.kind is EntryKind.MEMBERSHIP
    ]
