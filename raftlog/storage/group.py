"""One group's log as storage knows it in memory: its small durable values, and where each entry's record lies."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from raftlog.core.durable import HardState, Recovered, SnapshotMeta, TermRun
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import EntryId, GroupId, Index, Term
from raftlog.core.membership import Membership, MembershipAt, decode_membership
from raftlog.storage.damage import Compacted
from raftlog.storage.records import ENTRY_OVERHEAD, Standing


class Loss(msgspec.Struct, frozen=True):
    """A log that is given up as a whole, since the state it builds on is lost, and begins anew after `base`."""

    base: SnapshotMeta
    reason: str
    """A sentence for people."""


class GroupWrite(msgspec.Struct, frozen=True):
    """What one group wants to be durable, in the order of recording: `base`, entries, hard state, `healed`, `fenced`.

    With `base` the log begins right after it; a log that does not contain it goes as a whole. The entries replace the
    log from `entries[0].index` on. `healed` ends an impairment; `fenced` says why the group's state may not be
    shown, or with "" that it may. A `loss` comes before everything else; the log writes it by itself.
    """

    group: GroupId
    hard_state: HardState | None = None
    entries: tuple[Entry, ...] = ()
    base: SnapshotMeta | None = None
    healed: bool = False
    fenced: str | None = None
    loss: Loss | None = None


class Contradiction(Exception):
    """A record that cannot follow what was recorded before it."""


class Place(msgspec.Struct, frozen=True):
    """Where the record of an entry lies."""

    segment: int
    offset: int
    length: int


class Stretch(msgspec.Struct, frozen=True):
    """Where the records of consecutive entries lie in one segment: for whoever reads them in another process."""

    segment: int
    first: Index
    offsets: bytes
    """One u32 in native order per entry, and so are the lengths."""
    lengths: bytes


class GroupLog:
    """What one group has recorded.

    Takes 8 bytes per entry. Changed only by what is durable: records found at recovery, batches whose sync completed.

    Invariants:
    - the entries are `first` to `last` without a gap; `first` is right after the base unless segments are missing;
    - terms never decrease along the log, and none is above the hard state's;
    - `hard_state.commit <= last`, and no entry at or below it is ever replaced;
    - records of later entries lie later in the log.
    """

    def __init__(self, standing: Standing) -> None:
        self.group = standing.group
        self.hard_state = standing.hard_state
        self.base = standing.base
        self.last = standing.last if standing.last.index > standing.base.last.index else standing.base.last
        self.last_log_time = max(standing.last_log_time, standing.base.log_time)
        self._memberships = list(standing.memberships)
        self._first: Index = self.last.index + 1
        self._before = self.last
        self._offsets = array("I")
        self._lengths = array("I")
        self._segment_firsts: list[Index] = []
        self._segments: list[int] = []
        self._run_firsts: list[Index] = []
        self._run_terms: list[Term] = []
        self.impairment = ""
        """Why entries that may have been acknowledged are not here; empty: they are."""
        self.fenced = ""
        """Why the group's state may be shown to nobody; empty: it may."""
        self._openings: list[tuple[int, Index]] = []
        """Segments that the log could begin with, and its last index when they began."""

    def open_segment(self, sequence: int) -> None:
        """A segment begins with this group's standing."""
        self._openings.append((sequence, self.last.index))

    @property
    def beginnings(self) -> frozenset[int]:
        """Segments before which nothing is needed: whatever the log held when they began is behind the base.

        None of them is one after which an entry was replaced that was written before it: to replay that, the earlier
        entries must be there.
        """
        return frozenset(sequence for sequence, last in self._openings if last <= self.base.last.index)

    def forget_segments_before(self, sequence: int) -> None:
        """They are removed."""
        self._openings = [opening for opening in self._openings if opening[0] >= sequence]

    @property
    def absent(self) -> tuple[Index, Index] | None:
        """The entries after the base that lie in no segment at hand, both ends included."""
        after_base = self.base.last.index + 1
        return (after_base, self._first - 1) if self._first > after_base else None

    def standing(self) -> Standing:
        """The record that a new segment opens with."""
        memberships = tuple(self._memberships)
        return Standing(self.group, self.hard_state, self.base, memberships, self.last, self.last_log_time)

    def recovered(self) -> Recovered:
        """What the core starts from."""
        runs = tuple(map(TermRun, self._run_firsts, self._run_terms))
        return Recovered(
            hard_state=self.hard_state,
            base=self.base,
            runs=runs,
            last=self.last.index,
            memberships=tuple(self._memberships),
            last_log_time=self.last_log_time,
            impaired=bool(self.impairment),
            fenced=self.fenced,
        )

    @property
    def membership(self) -> Membership:
        """The newest one recorded."""
        return (self._memberships[-1] if self._memberships else self.base.membership).membership

    def place_of(self, index: Index) -> Place:
        """Where an entry's record lies.

        Raises:
            Compacted: the entry is at or below the base.
        """
        if index < self._first:
            raise Compacted(self._first)
        assert index <= self.last.index, f"group {self.group} ends at {self.last}, asked for {index}"
        at = index - self._first
        segment = self._segments[bisect_right(self._segment_firsts, index) - 1]
        return Place(segment, self._offsets[at], self._lengths[at])

    def stretches(self, first: Index, last: Index) -> tuple[Stretch, ...]:
        """Where the records of entries `first` to `last` lie, in order.

        Raises:
            Compacted: `first` is at or below the base.
        """
        if first < self._first:
            raise Compacted(self._first)
        assert last <= self.last.index, f"group {self.group} ends at {self.last}, asked for {last}"
        found = []
        ends = [*(begin - 1 for begin in self._segment_firsts[1:]), self.last.index]
        for segment, begin, end in zip(self._segments, self._segment_firsts, ends, strict=True):
            low, high = max(begin, first), min(end, last)
            if low <= high:
                span = slice(low - self._first, high + 1 - self._first)
                places = self._offsets[span].tobytes(), self._lengths[span].tobytes()
                found.append(Stretch(segment, low, *places))
        return tuple(found)

    def set_hard_state(self, new: HardState) -> None:
        """Take a recorded hard state.

        Raises:
            Contradiction: it takes back a term, a vote or a commit, or it commits what is not there.
        """
        if objection := hard_state_objection(self.hard_state, new, self.last.index):
            raise Contradiction(f"group {self.group}: {objection}")
        self.hard_state = new

    def put(self, entry: Entry, place: Place) -> None:
        """Take a recorded entry; it replaces the one of its index and every later one.

        Raises:
            Contradiction: it leaves a gap, goes back in term, replaces a committed entry, or carries no membership
                where it says so.
        """
        index = entry.index
        if index <= self.last.index:
            self._splice(index)
        if index != self.last.index + 1 or entry.term < self.last.term or entry.log_time < self.last_log_time:
            at_time = f"{entry.id} at time {entry.log_time}"
            raise Contradiction(
                f"group {self.group}: {at_time} cannot follow {self.last} at {self.last_log_time}"
            )
        if entry.kind == EntryKind.MEMBERSHIP:
            self._memberships.append(_membership_of(entry))
        self._append(entry.id, place)
        self.last_log_time = entry.log_time

    def put_all(self, entries: Sequence[Entry], segment: int, offsets: Sequence[int]) -> None:
        """Take entries that were just made durable; the first may replace others, the rest follow it.

        Raises:
            Contradiction: as `put` does, for the first. The rest must have been admitted by `objection`.
        """
        first = entries[0]
        self.put(first, Place(segment, offsets[0], record_length(first)))
        for entry in entries[1:]:
            if entry.term != self._run_terms[-1]:
                self._run_firsts.append(entry.index)
                self._run_terms.append(entry.term)
            if entry.kind == EntryKind.MEMBERSHIP:
                self._memberships.append(_membership_of(entry))
        self._offsets.extend(offsets[1:])
        self._lengths.extend([ENTRY_OVERHEAD + len(entry.payload) for entry in entries[1:]])
        self.last, self.last_log_time = entries[-1].id, entries[-1].log_time
        assert self._first + len(self._offsets) == self.last.index + 1, (
            f"group {self.group}: a gap before {self.last}"
        )

    def truncate(self, base: SnapshotMeta) -> None:
        """Let a snapshot stand for the log up to `base.last`. A log that does not contain it is given up as a whole.

        Raises:
            Contradiction: the log already begins later, or what is committed here differs from it.
        """
        index = base.last.index
        if index < self.base.last.index:
            raise Contradiction(f"group {self.group}: a base at {base.last} after one at {self.base.last}")
        self.base = base
        if index < self._before.index:
            # Among entries whose segments are gone: what is at hand begins later, and the log contained the base, for
            # no log that did not is read from here (see below).
            self._forget_memberships(index)
            return
        if self._contains(base.last):
            self._drop_up_to(index)
        elif index <= self.hard_state.commit:
            raise Contradiction(
                f"group {self.group}: {base.last} is no entry of this log, and {self.hard_state.commit} is committed"
            )
        else:
            self._empty(base)
            # Read from a segment that began with a longer log, nothing would tell that this base was not part of it.
            self._openings = [opening for opening in self._openings if opening[1] <= index]
        self._first, self._before = base.last.index + 1, base.last

    def give_up(self, loss: Loss) -> None:
        """Begin anew after a base that may lie before the one there was; term and vote stay what they were."""
        old = self.hard_state
        self.hard_state = HardState(old.term, old.vote, min(old.commit, loss.base.last.index))
        self._empty(loss.base)
        self._first, self._before = loss.base.last.index + 1, loss.base.last
        self.impairment = loss.reason
        # Whatever a segment began with, nothing of it is left by now.
        self._openings = [(sequence, 0) for sequence, _ in self._openings]

    def mend(self, standing: Standing) -> None:
        """Go on as a mending segment says: with all there is at hand and a newer hard state.

        Raises:
            Contradiction: the standing does not end where this log does.
        """
        mine = self.standing()
        if msgspec.structs.replace(standing, hard_state=mine.hard_state) != mine:
            raise Contradiction(f"the log is mended with {standing} where it breaks off with {mine}")
        self.hard_state = standing.hard_state

    def _empty(self, base: SnapshotMeta) -> None:
        """Let nothing be there but the base."""
        self.base = base
        self.last, self.last_log_time = base.last, base.log_time
        self._memberships.clear()
        for places in (self._offsets, self._lengths):
            del places[:]
        for points in (self._segment_firsts, self._segments, self._run_firsts, self._run_terms):
            points.clear()

    def _contains(self, position: EntryId) -> bool:
        return position.index <= self.last.index and self.term_at(position.index) == position.term

    def term_of(self, index: Index) -> Term | None:
        """The term of an entry at hand or of the one right before the first; None elsewhere."""
        if index == self._before.index:
            return self._before.term
        return self.term_at(index) if self._first <= index <= self.last.index else None

    def reaches(self, position: EntryId) -> bool:
        """Whether the log holds that entry, or begins at or after it."""
        return position.index <= self.base.last.index or self.term_of(position.index) == position.term

    def may_begin_after(self, base: SnapshotMeta) -> bool:
        """Whether this is later than where it begins now, and an entry of it."""
        return self.base.last.index < base.last.index <= self.last.index and self.reaches(base.last)

    def within(self, last: Index, size: int) -> int:
        """How many entries up to `last` have records of `size` bytes together, or less."""
        at = count = last - self._first
        while at >= 0 and size >= self._lengths[at]:
            size -= self._lengths[at]
            at -= 1
        return count - at

    @property
    def count(self) -> int:
        """How many entries are at hand."""
        return len(self._offsets)

    def term_at(self, index: Index) -> Term:
        """The term of an entry at hand, or of the one right before the first."""
        if index == self._before.index:
            return self._before.term
        assert self._first <= index <= self.last.index, f"group {self.group} has no entry {index}"
        return self._run_terms[bisect_right(self._run_firsts, index) - 1]

    def _append(self, position: EntryId, place: Place) -> None:
        if not self._run_terms or self._run_terms[-1] != position.term:
            self._run_firsts.append(position.index)
            self._run_terms.append(position.term)
        if not self._segments or self._segments[-1] != place.segment:
            assert not self._segments or self._segments[-1] < place.segment, (
                f"{place} lies before an earlier entry"
            )
            self._segment_firsts.append(position.index)
            self._segments.append(place.segment)
        self._offsets.append(place.offset)
        self._lengths.append(place.length)
        self.last = position

    def _splice(self, index: Index) -> None:
        """Drop the entry at `index` and all after it; what remains must not lose anything committed."""
        if index <= self.hard_state.commit or index <= self.base.last.index:
            kept = max(self.hard_state.commit, self.base.last.index)
            raise Contradiction(
                f"group {self.group}: entry {index} was written anew although {kept} is committed"
            )
        if index < self._first:
            raise Contradiction(f"group {self.group}: entry {index} replaces entries that are absent")
        before = index - 1
        term = self.term_at(before)
        keep = index - self._first
        del self._offsets[keep:]
        del self._lengths[keep:]
        for firsts, values in ((self._segment_firsts, self._segments), (self._run_firsts, self._run_terms)):
            while firsts and firsts[-1] >= index:
                firsts.pop()
                values.pop()
        while self._memberships and self._memberships[-1].index >= index:
            self._memberships.pop()
        while self._openings and self._openings[-1][1] >= index:
            self._openings.pop()
        self.last = EntryId(term, before)
        # The log time of the entry before is not kept in memory; the leader that made the new one saw to its order.
        self.last_log_time = self.base.log_time

    def _drop_up_to(self, index: Index) -> None:
        gone = index + 1 - self._first
        del self._offsets[:gone]
        del self._lengths[:gone]
        for firsts, values in ((self._segment_firsts, self._segments), (self._run_firsts, self._run_terms)):
            while len(firsts) > 1 and firsts[1] <= index + 1:
                del firsts[0], values[0]
            if self._offsets:
                firsts[0] = max(firsts[0], index + 1)
            else:
                firsts.clear()
                values.clear()
        self._forget_memberships(index)

    def _forget_memberships(self, index: Index) -> None:
        self._memberships = [change for change in self._memberships if change.index > index]


def hard_state_objection(old: HardState, new: HardState, last: Index) -> str | None:
    """Why `new` must not be recorded after `old` in a log that ends at `last`; None when it may."""
    if new.term < old.term:
        return f"the term goes back from {old.term} to {new.term}"
    if new.term == old.term and old.vote is not None and new.vote != old.vote:
        return f"the vote of term {new.term} changes from {old.vote} to {new.vote}"
    if new.commit < old.commit:
        return f"the commit index goes back from {old.commit} to {new.commit}"
    if new.commit > last:
        return f"entries up to {new.commit} are committed and the log ends at {last}"
    return None


def objection(log: GroupLog, writes: Sequence[GroupWrite]) -> str | None:
    """Why these writes of one group, taken one after the other, must not be recorded; None when they may."""
    hard_state, last, base = log.hard_state, log.last, log.base.last
    written: dict[Index, Term] = {}
    for write in writes:
        if write.loss is not None:
            last = base = write.loss.base.last
            written = {base.index: base.term}
            hard_state = HardState(hard_state.term, hard_state.vote, min(hard_state.commit, base.index))
        if write.base is not None:
            if write.base.last.index < base.index:
                return f"a base at {write.base.last} after one at {base}"
            base = write.base.last
            term = written[base.index] if base.index in written else log.term_of(base.index)
            if term != base.term or base.index > last.index:
                if base.index <= hard_state.commit:
                    return f"{base} is no entry of this log, and {hard_state.commit} is committed"
                last, written = base, {}
            written[base.index] = base.term
        if write.entries:
            first = write.entries[0].index
            kept = max(hard_state.commit, base.index)
            if not kept < first <= last.index + 1:
                return f"entry {first} does not continue a log committed to {kept} that ends at {last}"
            before = written[first - 1] if first - 1 in written else log.term_at(first - 1)
            if write.entries[0].term < before:
                return f"{write.entries[0].id} goes back in term after {first - 1}@{before}"
            if (
                not written
                and write.base is None
                and first == log.last.index + 1
                and write.entries[0].log_time < log.last_log_time
            ):
                return f"{write.entries[0].id} goes back in log time from {log.last_log_time}"
            if reason := _entries_objection(log.group, write.entries):
                return reason
            if len(writes) > 1:
                written.update((entry.index, entry.term) for entry in write.entries)
            last = write.entries[-1].id
        if write.hard_state is not None:
            if reason := hard_state_objection(hard_state, write.hard_state, last.index):
                return reason
            hard_state = write.hard_state
        if last.term > hard_state.term and last != base:
            return (
                f"the log ends at {last}, in a term that the hard state ({hard_state.term}) has not reached"
            )
    return None


def _entries_objection(group: GroupId, entries: Sequence[Entry]) -> str | None:
    previous = entries[0]
    for offset, entry in enumerate(entries):
        if entry.index != entries[0].index + offset or entry.group != group:
            return f"entry {entry.index} of group {entry.group} at place {offset} after {entries[0].index} of {group}"
        if entry.term < previous.term or entry.log_time < previous.log_time:
            return f"{entry.id} at {entry.log_time} goes back after {previous.id} at {previous.log_time}"
        if not entry.intact():
            return f"{entry.id} does not fit its checksum"
        previous = entry
    return None


def _membership_of(entry: Entry) -> MembershipAt:
    try:
        return MembershipAt(entry.index, decode_membership(entry.payload))
    except ValueError as error:
        raise Contradiction(f"group {entry.group}: {entry.id} carries no membership: {error}") from error


def record_length(entry: Entry) -> int:
    """Bytes of an entry's record on disk."""
    return ENTRY_OVERHEAD + len(entry.payload)
