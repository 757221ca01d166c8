"""What one node has on disk: a durable image, and the writes that have been handed over and not yet synced."""

from collections import deque
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
    after: tuple[Message, ...]

    @property
    def bears(self) -> bool:
        """Whether it writes anything, or only waits its turn."""
        return self.hard_state is not None or bool(self.entries)


@dataclass(slots=True)
class Image:
    """A readable state of the disk.

    Invariants: `entries` are consecutive from `base.last.index + 1`.
    """

    base: SnapshotMeta
    hard_state: HardState
    entries: list[Entry] = field(default_factory=list)
    digest: int = 0
    """The state machine's digest at the base: what a snapshot would hold."""

    @property
    def last(self) -> EntryId:
        """The last entry, or the base."""
        return self.entries[-1].id if self.entries else self.base.last

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
            keep = write.entries[0].index - self.base.last.index - 1
            assert 0 <= keep <= len(self.entries), f"a write from {write.entries[0].id} after {self.last}"
            del self.entries[keep:]
            self.entries.extend(write.entries)

    def memberships(self) -> tuple[MembershipAt, ...]:
        """Those set by entries, oldest first."""
        return tuple(
            MembershipAt(entry.index, decode_membership(entry.payload))
            for entry in self.entries
            if entry.kind is EntryKind.MEMBERSHIP
        )

    def compact(self, index: Index, digest: int) -> None:
        """Let a snapshot at `index` with that digest stand for everything up to it."""
        entry = self.at(index)
        assert entry is not None, f"no entry {index} to compact to: the log ends with {self.last}"
        before = (at for at in self.memberships() if at.index <= index)
        membership = max(before, key=lambda at: at.index, default=self.base.membership)
        del self.entries[: index - self.base.last.index]
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
            memberships=self.memberships(),
            last_log_time=self.entries[-1].log_time if self.entries else self.base.log_time,
        )

    def copy(self) -> "Image":
        """An image that changes by itself."""
        return Image(self.base, self.hard_state, list(self.entries), self.digest)


class Store:
    """A disk that completes writes in order, when it is told to.

    Invariants: `written` is `durable` with every pending write performed on it.
    """

    __slots__ = ("durable", "pending", "written")

    def __init__(self, image: Image) -> None:
        self.durable = image
        self.written = image.copy()
        self.pending: deque[Write] = deque()

    def write(self, write: Write) -> None:
        """Take a write; it is readable at once and durable after its sync."""
        self.written.take(write)
        self.pending.append(write)

    def sync(self) -> Write:
        """The oldest pending write becomes durable."""
        write = self.pending.popleft()
        self.durable.take(write)
        return write

    def crash(self, keeping: int = 0) -> None:
        """Lose what is not synced, but for the first `keeping` writes, which happened to reach the disk."""
        for _ in range(min(keeping, len(self.pending))):
            self.durable.take(self.pending.popleft())
        self.pending.clear()
        self.written = self.durable.copy()

    def read(self, first: Index, last: Index, max_bytes: int) -> tuple[Entry, ...] | None:
        """Entries from `first` on while they fit, at least one; None when `first` is compacted."""
        if first <= self.written.base.last.index:
            return None
        taken: list[Entry] = []
        for entry in _slice(self.written, first, last):
            max_bytes -= entry.size
            if max_bytes < 0 and taken:
                break
            taken.append(entry)
        assert taken, f"asked for entries {first}..{last} of a log that ends with {self.written.last}"
        return tuple(taken)


def _slice(image: Image, first: Index, last: Index) -> Sequence[Entry]:
    start = image.base.last.index + 1
    return image.entries[first - start : last + 1 - start]
