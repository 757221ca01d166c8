"""What one node has on disk: a durable image, and the writes that have been handed over and not yet synced."""

from collections import deque
from collections.abc import Sequence
from functools import reduce

from jepsen_like.sim.image import Image, Snapshot, Write
from raftlog.core.durable import HardState, Recovered
from raftlog.core.entry import Entry
from raftlog.core.ids import Index
from raftlog.core.message import Message


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

    def keep(self, snapshot: Snapshot) -> None:
        """A snapshot's file is whole and durable; the log has yet to say so."""
        self.durable.keep(snapshot)
        self.written.keep(snapshot)

    def heal(self) -> None:
        """Forget that entries were lost."""
        self.durable.impaired = self.written.impaired = False

    def fence(self, reason: str) -> None:
        """Remember that the state may not be shown, or with no reason that it may."""
        self.durable.fenced = self.written.fenced = reason

    def replace(self, snapshot: Snapshot) -> None:
        """A whole and durable file takes the place of every other, newer ones too: their states were wrong."""
        self.durable.snapshot = self.written.snapshot = snapshot

    def open(self) -> Recovered:
        """What a starting node is given. Nothing is pending then."""
        assert not self.pending, f"{len(self.pending)} writes are under way"
        recovered = self.durable.recover()
        self.written = self.durable.copy()
        return recovered

    def sync(self) -> Write:
        """The oldest pending write becomes durable."""
        write = self.pending.popleft()
        self.durable.take(write)
        return write

    def overtake(self) -> tuple[HardState, tuple[Message, ...]]:
        """The newest hard state that waits becomes durable, though its entries do not; and what waits for it alone."""
        newest = reduce(HardState.newest, (each.hard_state for each in self.pending if each.hard_state))
        messages = tuple(message for each in self.pending for message in each.after)
        commit = min(newest.commit, max(self.durable.last.index, self.durable.hard_state.commit))
        self.durable.hard_state = HardState(newest.term, newest.vote, commit)
        self.pending = deque(
            Write(newest if each.hard_state else None, each.entries, (), each.base) for each in self.pending
        )
        return newest, messages

    def crash(self, keeping: int = 0) -> int:
        """Lose what is not synced, but for the first `keeping` writes, which happened to reach the disk; how many."""
        for _ in range(min(keeping, len(self.pending))):
            self.durable.take(self.pending.popleft())
        lost = len(self.pending)
        self.pending.clear()
        self.written = self.durable.copy()
        return lost

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
