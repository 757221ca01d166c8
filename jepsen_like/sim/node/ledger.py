"""What one node believes its disk to hold: what checkers compare its promises with, and a crash the disk."""

from collections import deque

from jepsen_like.sim.image import Image, Snapshot, Write
from jepsen_like.sim.verdict import Violation
from raftlog.core.durable import HardState
from raftlog.core.ids import EntryId, Index


class Ledger:
    """See `jepsen_like.sim.invariants.checker.Disk`.

    Invariants: `durable` is what the node was told is synced; `written` adds what it has handed over, in order; what is
    between the two is in `under_way`.
    """

    def __init__(self, found: Image) -> None:
        self.durable = found
        self.written = found.copy()
        self.pending: deque[Write] = deque()

    def hand_over(self, write: Write) -> None:
        """A write is queued for the disk."""
        self.written.take(write)
        self.pending.append(write)

    def synced(self, write: Write) -> None:
        """The oldest write under way has been called durable."""
        assert self.pending, "a write was called durable that nobody handed over"
        oldest = self.pending.popleft()
        assert oldest is write, "writes were called durable out of order"
        before = self.durable.hard_state
        self.durable.take(write)
        self.durable.hard_state = before.newest(self.durable.hard_state)  # it may have gone ahead

    def went_ahead(self, write: Write) -> None:
        """Term and vote of a write under way have been called durable, ahead of its entries."""
        if write.hard_state is not None:
            term, vote = write.hard_state.term, write.hard_state.vote
            commit = min(write.hard_state.commit, self.durable.last.index)
            self.durable.hard_state = self.durable.hard_state.newest(HardState(term, vote, commit))

    def keep(self, newest: Snapshot | None) -> None:
        """This is the newest sound snapshot on the disk now."""
        self.durable.snapshot = self.written.snapshot = newest

    def healed(self) -> None:
        """The disk says that nothing is missing any more."""
        self.durable.impaired = self.written.impaired = False

    def survives_as(self, name: str, found: Image, *, damaged: bool = False) -> None:
        """Compare with what recovery found after the node had died, or after its disk was `damaged` as well.

        Raises:
            Violation: something that was called durable is gone, and the disk does not say so.
        """
        self._remembers(name, found)
        if damaged and found.impaired:
            return  # it knows that entries are gone, and promises nothing until it has them again
        base, snapshot = found.base.last.index, found.snapshot_index
        if base > snapshot:
            raise Violation(
                "I8", f"{name} comes back with a log from {found.base.last} and the state at {snapshot}"
            )
        if not damaged and snapshot < self.durable.snapshot_index:
            kept = self.durable.snapshot_index
            raise Violation(
                "I11", f"{name} called a snapshot at {kept} durable and comes back with one at {snapshot}"
            )
        if found.impaired and not self.durable.impaired:
            raise Violation("D10", f"{name} comes back impaired, and nothing was damaged")
        if self._contains(found.base.last):
            self._still_there(name, found)

    def _remembers(self, name: str, found: Image) -> None:
        hard, kept = self.durable.hard_state, found.hard_state
        if kept.term < hard.term:
            raise Violation("I2", f"{name} called term {hard.term} durable and comes back in {kept.term}")
        if kept.term == hard.term and hard.vote not in (None, kept.vote):
            raise Violation(
                "I2", f"{name} called its vote for {hard.vote} durable and comes back with {kept.vote}"
            )

    def _contains(self, base: EntryId) -> bool:
        """Whether the log that was there goes on after `base`; else a fetched snapshot has replaced it as a whole."""
        if base.index <= self.durable.base.last.index:
            return True
        entry = self.durable.at(base.index)
        return entry is not None and entry.id == base

    def _still_there(self, name: str, found: Image) -> None:
        replaced = self._replaced_from
        for entry in self.durable.entries:
            if replaced is not None and entry.index >= replaced:
                return
            if entry.index <= found.base.last.index:
                continue
            same = found.at(entry.index)
            if same is None or same.checksum != entry.checksum or not same.intact():
                what = "nothing" if same is None else f"{same.id}, intact: {same.intact()},"
                raise Violation(
                    "I11", f"{name} called {entry.id} durable and comes back with {what} in its place"
                )

    @property
    def _replaced_from(self) -> Index | None:
        """From here on, writes under way may have replaced what was durable, or not."""
        firsts = [write.entries[0].index for write in self.pending if write.entries]
        return min(firsts, default=None)
