"""The log against a plain list of entries and a disk that completes its writes late."""

from itertools import product

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raftlog.core.durable import SnapshotMeta, TermRun
from raftlog.core.entry import Entry, EntryKind, seal
from raftlog.core.ids import NOTHING, EntryId, GroupId
from raftlog.core.log import Log
from raftlog.core.membership import Membership, MembershipAt

GROUP = GroupId(1)
MAX_BYTES = 64 * 6


def entry(index: int, term: int, size: int = 0) -> Entry:
    """An entry with that many bytes of payload."""
    return seal(
        group=GROUP, at=EntryId(term, index), kind=EntryKind.COMMANDS, log_time=index, payload=bytes(size)
    )


def base(last: EntryId = NOTHING) -> SnapshotMeta:
    """A snapshot that ends there."""
    return SnapshotMeta(last, MembershipAt(0, Membership()))


class LogMachine(RuleBasedStateMachine):
    """Every operation on both; the slow version is a list, and a list of writes not yet completed."""

    def __init__(self) -> None:
        super().__init__()
        self.base = EntryId(2, 3)
        self.entries: list[Entry] = []
        self.log = Log(base(self.base), (), self.base.index, max_bytes=MAX_BYTES)
        self.writes: list[list[Entry]] = []
        self.disk: list[Entry] = []

    @property
    def last(self) -> EntryId:
        """Of the slow version."""
        return self.entries[-1].id if self.entries else self.base

    @rule(terms=st.lists(st.integers(0, 2), min_size=1, max_size=4), size=st.sampled_from((0, 10, 300)))
    def append(self, terms: list[int], size: int) -> None:
        new: list[Entry] = []
        for rise in terms:
            previous = new[-1].id if new else self.last
            new.append(entry(previous.index + 1, previous.term + rise, size))
        self.log.append(new)
        self.entries += new
        self.writes.append(new)

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), rise=st.integers(1, 2))
    def splice(self, data: st.DataObject, rise: int) -> None:
        """Cut and at once append something of a later term: a log is never only cut."""
        last = data.draw(st.integers(self.base.index, self.last.index - 1))
        term = self.last.term + rise
        self.log.truncate(last)
        del self.entries[last - self.base.index :]
        new = [entry(last + 1, term)]
        self.log.append(new)
        self.entries += new
        self.writes.append(new)

    @precondition(lambda self: self.writes)
    @rule()
    def complete(self) -> None:
        done = self.writes.pop(0)
        del self.disk[done[0].index - self.base.index - 1 :]
        self.disk += done
        waiting = min((write[0].index for write in self.writes), default=None)
        if self.log.mark_durable(done[-1].id, rewritten_from=waiting):
            held = [made for made in self.entries if self.log.recent(made.index, made.index, 0) is not None]
            assert sum(made.size for made in held) <= MAX_BYTES or held[0].index > self.log.durable, (
                "not evicted"
            )

    @invariant()
    def the_same_log(self) -> None:
        log = self.log
        assert log.last == self.last
        assert log.first == self.base.index + 1
        terms = {self.base.index: self.base.term, **{made.index: made.term for made in self.entries}}
        for index in range(self.last.index + 3):
            assert log.term_at(index) == terms.get(index), index
            for term in range(5):
                assert log.matches(EntryId(term, index)) == (terms.get(index) == term)

    @invariant()
    def durable_is_what_every_way_to_crash_leaves(self) -> None:
        """Whatever number of the writes under way reach the disk before a crash, the durable part is there."""
        disk = list(self.disk)
        kept = len(self.entries)
        for write in [[], *self.writes]:
            if write:
                disk = [*disk[: write[0].index - self.base.index - 1], *write]
            same = 0
            while same < min(len(disk), len(self.entries)) and disk[same].id == self.entries[same].id:
                same += 1
            kept = min(kept, same)
        note(f"durable {self.log.durable}, kept {self.base.index + kept}")
        assert self.log.durable == self.base.index + kept

    @invariant()
    def bodies_are_there_or_said_to_be_gone(self) -> None:
        log = self.log
        for first in range(log.first, self.last.index + 1):
            for max_bytes in (0, 200, 10_000):
                taken = log.recent(first, self.last.index, max_bytes)
                if taken is None:
                    assert first <= log.durable, "an entry that is not durable has left memory"
                    continue
                expected: list[Entry] = []
                left = max_bytes
                for made in self.entries[first - self.base.index - 1 :]:
                    left -= made.size
                    if left < 0 and expected:
                        break
                    expected.append(made)
                assert taken == tuple(expected)
        undurable = [made for made in self.entries if made.index > log.durable]
        assert log.undurable_bytes == sum(made.size for made in undurable)

    @invariant()
    def hints_skip_nothing_that_could_match(self) -> None:
        log = self.log
        positions = [self.base, *(made.id for made in self.entries)]
        for index in range(self.base.index, self.last.index + 2):
            for term in range(self.last.term + 2):
                limit = EntryId(term, index)
                fitting = [at for at in positions if at.index <= index and at.term <= term]
                assert log.last_not_after(limit) == (fitting[-1] if fitting else self.base), limit


LogMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestLog = LogMachine.TestCase


def test_up_to_date_is_the_order_of_term_then_index() -> None:
    for mine, other in product(product(range(1, 5), repeat=2), repeat=2):
        log = Log(base(EntryId(*mine)), (), mine[1], max_bytes=0)
        assert log.up_to_date(EntryId(*other)) == (other >= mine), (mine, other)


def test_a_recovered_log_knows_its_terms_and_no_bodies() -> None:
    log = Log(base(EntryId(1, 2)), (TermRun(3, 1), TermRun(5, 4)), 6, max_bytes=1_000)
    assert [log.term_at(index) for index in range(1, 8)] == [None, 1, 1, 1, 4, 4, None]
    assert log.last == EntryId(4, 6)
    assert log.durable == 6
    assert log.recent(3, 6, 1_000) is None


def test_what_would_break_a_log_is_an_assertion() -> None:
    log = Log(base(EntryId(2, 3)), (), 3, max_bytes=0)
    with pytest.raises(AssertionError, match="does not follow"):
        log.append([entry(5, 2)])
    with pytest.raises(AssertionError, match="term falls"):
        log.append([entry(4, 1)])
    with pytest.raises(AssertionError, match="is final"):
        log.truncate(2)
