"""The answers that the session table keeps for one session: runs of consecutive sequences, and single ones."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TypeAlias

from raftlog.machine.result import Result

OVERHEAD = 64
"""Bytes an answer is charged with besides its body."""

Row: TypeAlias = tuple[int, Result]


class Answers:
    """First answers by sequence, each charged with its body and 64 bytes more.

    A client that numbers upwards fills runs, which are kept and forgotten at once; what comes alone or out of turn is
    kept by itself. How answers came to be spread over runs depends on a node's clock, so nothing that can be asked
    here depends on it.

    Invariants: runs ascend, do not overlap and are not empty; no single answer has a sequence inside a run; `count` is
    their number, `size` the charge for all.
    """

    __slots__ = ("_runs", "_singles", "count", "size")

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._singles: dict[int, Result] = {}
        self.count = 0
        self.size = 0

    def get(self, sequence: int) -> Result | None:
        """The answer, if it is kept."""
        found = self._singles.get(sequence)
        if found is None and self._runs:
            at = bisect_right(self._runs, sequence, key=_first)
            return self._runs[at - 1].get(sequence) if at else None
        return found

    def put(self, sequence: int, result: Result) -> int:
        """Keep the answer of a sequence that has none: its charge."""
        self._singles[sequence] = result
        size = len(result.body) + OVERHEAD
        self.count += 1
        self.size += size
        return size

    def extend(self, first: int, results: list[Result], size: int) -> None:
        """Keep the answers of sequences from `first` on, which is above all that are kept; `size` is their charge."""
        assert results, f"an empty run at {first}"
        assert not self._runs or self._runs[-1].end <= first, f"{first} lies below {self._runs[-1].end}"
        self._runs.append(_Run(first, results, size))
        self.count += len(results)
        self.size += size

    def forget(self, floor: int, below: int) -> int:
        """Drop what is below a sequence, where all from `floor` on may be kept: the charge that is given back."""
        freed = self._forget_runs(below) if self._runs else 0
        if singles := self._singles:
            gone: Iterable[int] = range(floor, below)
            if below - floor > len(singles):  # a client may name any number: never count up to it
                gone = [sequence for sequence in singles if sequence < below]
            for sequence in gone:
                if sequence in singles:  # else it never came, or lay in a run
                    freed += len(singles.pop(sequence).body) + OVERHEAD
                    self.count -= 1
        self.size -= freed
        return freed

    def _forget_runs(self, below: int) -> int:
        runs, freed, whole = self._runs, 0, 0
        for run in runs:
            if run.end > below:
                if run.first < below:
                    self.count -= below - run.first
                    freed += run.cut(below)
                break
            freed += run.size
            self.count -= len(run.results)
            whole += 1
        del runs[:whole]
        return freed

    def highest(self) -> int:
        """The highest sequence that has an answer, 0 if none has."""
        return max(max(self._singles, default=0), self._runs[-1].end - 1 if self._runs else 0)

    def rows(self) -> list[Row]:
        """All of them, in the order of their sequences. Copies references: about 60 ns each."""
        rows = [row for run in self._runs for row in enumerate(run.results, run.first)]
        return sorted([*rows, *self._singles.items()], key=_sequence) if self._singles else rows

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over what `rows` gave, in any order."""
        for sequence, result in rows:
            self.put(sequence, result)


class _Run:
    """Answers of consecutive sequences."""

    __slots__ = ("first", "results", "size")

    def __init__(self, first: int, results: list[Result], size: int) -> None:
        self.first = first
        self.results = results
        self.size = size

    @property
    def end(self) -> int:
        return self.first + len(self.results)

    def get(self, sequence: int) -> Result | None:
        at = sequence - self.first
        return self.results[at] if at < len(self.results) else None

    def cut(self, below: int) -> int:
        """Drop the sequences below `below`, which is inside: the charge that is given back."""
        count = below - self.first
        freed = charge(self.results[:count])
        del self.results[:count]
        self.first = below
        self.size -= freed
        return freed


def charge(results: Sequence[Result]) -> int:
    """What keeping these costs."""
    return sum(map(len, map(_body, results))) + OVERHEAD * len(results)


def _sequence(row: Row) -> int:
    return row[0]


_body = attrgetter("body")
_first = attrgetter("first")
