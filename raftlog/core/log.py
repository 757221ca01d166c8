"""The log as the core sees it: the terms of everything retained, the bodies of the recent part."""

from bisect import bisect_right
from collections.abc import Sequence

from raftlog.core.durable import SnapshotMeta, TermRun
from raftlog.core.entry import Entry
from raftlog.core.ids import EntryId, Index, Term


class Log:
    """Positions and terms of all retained entries; bodies of a bounded recent window.

    Storage holds the rest: the core never reads. Consistency checks need terms alone, and terms come in runs, so they
    cost no I/O and a few bytes per leadership.

    Invariants:
    - `base.last.index <= durable <= last.index`;
    - terms never decrease from `base.last` to `last`, so a run's term is above that of the run before it;
    - the window ends with `last` and holds at least everything above `durable`: only it has those bodies.
    """

    __slots__ = (
        "_bytes",
        "_max_bytes",
        "_runs",
        "_undurable_bytes",
        "_window",
        "_window_first",
        "base",
        "durable",
        "last",
    )

    def __init__(self, base: SnapshotMeta, runs: Sequence[TermRun], last: Index, *, max_bytes: int) -> None:
        self.base = base
        self.durable: Index = last
        """Everything up to here, as it stands now, survives a crash of this node."""
        self._runs = [TermRun(base.last.index, base.last.term), *runs]
        """The base is the first run, so that its term is found like any other."""
        self.last = EntryId(self._runs[-1].term, last)
        self._window: list[Entry] = []
        self._window_first: Index = last + 1
        self._bytes = 0
        self._undurable_bytes = 0
        self._max_bytes = max_bytes
        assert base.last.index <= last, f"the log ends at {last}, before its base {base.last}"

    @property
    def first(self) -> Index:
        """The first index whose entry is retained (or would be)."""
        return self.base.last.index + 1

    @property
    def runs(self) -> tuple[TermRun, ...]:
        """Where each term begins, the base's first."""
        return tuple(self._runs)

    @property
    def undurable_bytes(self) -> int:
        """Bytes of entries whose write has not completed; memory nothing can give back."""
        return self._undurable_bytes

    def term_at(self, index: Index) -> Term | None:
        """The term of the entry at `index`, or None below the base and beyond the end."""
        if not self.base.last.index <= index <= self.last.index:
            return None
        return self._runs[bisect_right(self._runs, index, key=_first) - 1].term

    def matches(self, position: EntryId) -> bool:
        """Whether the entry at that index is known here and has that term: then both logs agree up to it."""
        return self.term_at(position.index) == position.term

    def last_not_after(self, limit: EntryId) -> EntryId:
        """The last entry at or before `limit.index` whose term is at most `limit.term`; the base if none is.

        The two sides of a failed consistency check trade this, and each step skips a whole term (paper 5.3).
        """
        at = bisect_right(self._runs, limit.index, key=_first) - 1
        end = min(limit.index, self.last.index)
        while at > 0 and self._runs[at].term > limit.term:
            end = self._runs[at].first - 1
            at -= 1
        if at < 0 or self._runs[at].term > limit.term:
            return self.base.last
        return EntryId(self._runs[at].term, end)

    def up_to_date(self, other: EntryId) -> bool:
        """Whether a log that ends with `other` holds at least what this one may have committed (paper 5.4.1)."""
        return other >= self.last

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries after the last one."""
        assert entries[0].index == self.last.index + 1, f"entry {entries[0].id} does not follow {self.last}"
        for entry in entries:
            if entry.term != self._runs[-1].term:
                assert entry.term > self._runs[-1].term, f"term falls from {self._runs[-1]} to {entry.id}"
                self._runs.append(TermRun(entry.index, entry.term))
            self._bytes += entry.size
            self._undurable_bytes += entry.size
        self._window.extend(entries)
        self.last = entries[-1].id

    def truncate(self, last: Index) -> None:
        """Forget every entry after `last`. Never called below what is committed."""
        assert last >= self.base.last.index, f"cannot cut to {last}: the base {self.base.last} is final"
        while len(self._runs) > 1 and self._runs[-1].first > last:
            self._runs.pop()
        keep = max(last + 1 - self._window_first, 0)
        for entry in self._window[keep:]:
            self._bytes -= entry.size
            if entry.index > self.durable:
                self._undurable_bytes -= entry.size
        del self._window[keep:]
        self._window_first = min(self._window_first, last + 1)
        self.durable = min(self.durable, last)
        self.last = EntryId(self._runs[-1].term, last)

    def mark_durable(self, position: EntryId, *, rewritten_from: Index | None = None) -> bool:
        """Storage has synced a write that ended with `position`; False when that makes nothing durable.

        `rewritten_from` is the lowest index that a write still under way will replace: from there on the disk may yet
        lose what this write has put down. The position alone cannot tell. An entry may be overwritten and come back
        (2@1, then 2@2, then 2@1 again from a leader that never lost it); the first write's late completion then names
        an entry of the log, while a crash before the third would leave 2@2, or nothing.
        """
        end = position.index if rewritten_from is None else min(position.index, rewritten_from - 1)
        if end <= self.durable or (end == position.index and not self.matches(position)):
            return False
        start = self._window_first
        for entry in self._window[self.durable + 1 - start : end + 1 - start]:
            self._undurable_bytes -= entry.size
        self.durable = end
        self._evict()
        return True

    def compact(self, base: SnapshotMeta) -> None:
        """Begin right after `base`, which is an entry of this log or what stands for everything before it."""
        index = base.last.index
        assert self.matches(base.last), (
            f"cannot begin after {base.last}, which is not in a log of {self._runs}"
        )
        assert index <= self.durable, f"cannot begin after {index}: only {self.durable} is durable"
        self._runs = [
            TermRun(index, base.last.term),
            *(run for run in self._runs if run.first > index),
        ]
        self._drop(index + 1 - self._window_first)
        self.base = base

    def install(self, base: SnapshotMeta) -> bool:
        """Begin after a durable snapshot of what may lie beyond this log; whether anything of the log is kept.

        What follows an entry that the snapshot ends with is kept. Otherwise the log differs from the one the snapshot
        was made of, and goes as a whole: a conflicting tail must not survive.
        """
        kept = self.matches(base.last)
        if kept:
            for entry in self._window:
                if self.durable < entry.index <= base.last.index:
                    self._undurable_bytes -= entry.size
            self.durable = max(self.durable, base.last.index)
            self.compact(base)
        else:
            self._window.clear()
            self._bytes = self._undurable_bytes = 0
            self._window_first = base.last.index + 1
            self._runs = [TermRun(base.last.index, base.last.term)]
            self.base, self.last, self.durable = base, base.last, base.last.index
        return kept

    def recent(self, first: Index, last: Index, max_bytes: int) -> tuple[Entry, ...] | None:
        """Entries from `first` on while they fit into `max_bytes`, at least one; None if the window lost `first`."""
        assert first <= last <= self.last.index, (
            f"no entries {first}..{last} in a log that ends with {self.last}"
        )
        if first < self._window_first:
            return None
        taken: list[Entry] = []
        for entry in self._window[first - self._window_first : last + 1 - self._window_first]:
            max_bytes -= entry.size
            if max_bytes < 0 and taken:
                break
            taken.append(entry)
        return tuple(taken)

    def _evict(self) -> None:
        drop, spare = 0, self._bytes - self._max_bytes
        while spare > 0 and self._window_first + drop <= self.durable:
            spare -= self._window[drop].size
            drop += 1
        self._drop(drop)

    def _drop(self, count: int) -> None:
        """Forget the bodies of the first `count` entries of the window, if there are any."""
        for entry in self._window[: max(count, 0)]:
            self._bytes -= entry.size
        if count > 0:
            del self._window[:count]
            self._window_first += count


def _first(run: TermRun) -> Index:
    return run.first
