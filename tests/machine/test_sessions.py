"""The duplicate filter against a slow, obvious one, and the bounds that keep it small (traps C1, C4, C8)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog.core.entry import Command, Entry
from raftlog.core.ids import META_GROUP
from raftlog.machine.applier import FAULT, SESSIONS, Applier
from raftlog.machine.calls import encode_call
from raftlog.machine.contract import Context
from raftlog.machine.method import command
from raftlog.machine.result import Kind, Result
from raftlog.machine.sessions import EXPIRED, GONE, Limits, Sessions
from raftlog.machine.typed import Machine
from tests.machine.logs import Log, feed, loose, numbered, open_session, opening, value_of
from tests.machine.slow_table import SlowSession, SlowTable


class Journal(Machine):
    """Notes every application, so that a second one shows."""

    applied: list[str]

    def __init__(self) -> None:
        self.applied = []

    @command
    def note(self, mark: str) -> str:
        self.applied.append(mark)
        return f"{mark} was number {len(self.applied)}"


def note(session: int, sequence: int, below: int = 1) -> Command:
    return numbered(
        session, sequence, encode_call(Journal.note, f"{session}/{sequence}"), answered_below=below
    )


def applied(applier: Applier) -> list[str]:
    assert isinstance(applier.machine, Journal)
    return applier.machine.applied


def test_a_retry_is_applied_once_and_answered_with_the_first_answer() -> None:
    log, applier = Log(), Applier(Journal)
    session = open_session(log, applier)
    [first] = applier.apply(log.entry(note(session, 1)))
    again = applier.apply(log.entry(note(session, 1), note(session, 2), note(session, 1)))
    assert [again[0], again[2]] == [first, first]
    assert applied(applier) == [f"{session}/1", f"{session}/2"]


def test_out_of_order_retries_of_a_pipelined_session() -> None:
    """C8: a filter that keeps the highest sequence only answers 3 for 1, or applies 1 again."""
    log, applier = Log(), Applier(Journal)
    session = open_session(log, applier)
    tries = [3, 1, 3, 2, 1, 2]
    results = applier.apply(log.entry(*(note(session, sequence) for sequence in tries)))
    answers = dict(zip(tries, results, strict=True))
    assert results == [answers[sequence] for sequence in tries]
    assert applied(applier) == [f"{session}/{sequence}" for sequence in (3, 1, 2)]


def test_an_ordered_session_takes_no_gap() -> None:
    log, applier = Log(), Applier(Journal)
    session = open_session(log, applier, ordered=True)
    results = applier.apply(log.entry(*(note(session, sequence) for sequence in (2, 1, 3, 2, 4, 3, 1))))
    assert [result.kind for result in results] == [
        Kind.OUT_OF_ORDER, Kind.OK, Kind.OUT_OF_ORDER, Kind.OK, Kind.OUT_OF_ORDER, Kind.OK, Kind.OK,
    ]  # fmt: skip
    assert [value_of(results[n]) for n in (0, 2, 4)] == [1, 2, 3]
    assert results[6] == results[1]
    assert applied(applier) == [f"{session}/{sequence}" for sequence in (1, 2, 3)]


def test_confirmed_answers_are_forgotten_and_never_made_again() -> None:
    log, applier = Log(), Applier(Journal)
    session = open_session(log, applier)
    applier.apply(log.entry(note(session, 1), note(session, 2), note(session, 3, below=3)))
    results = applier.apply(log.entry(note(session, 1), note(session, 2), note(session, 3)))
    assert results[:2] == [GONE, GONE]
    assert results[2].kind is Kind.OK
    assert len(applied(applier)) == 3
    assert applier.sessions.stored() == 64 + len(results[2].body)


@pytest.mark.parametrize("below", [1 << 20, (1 << 64) - 1])
def test_a_client_that_confirms_nonsense_costs_nothing(below: int) -> None:
    log, applier = Log(), Applier(Journal)
    for ordered in (False, True):
        session = open_session(log, applier, ordered=ordered)
        applier.apply(log.entry(note(session, 1), note(session, 2, below=below)))
        applier.apply(log.entry(note(session, 3)))
        assert applied(applier).count(f"{session}/1") == 1
        assert applied(applier).count(f"{session}/2") <= 1
    assert applier.sessions.stored() < 1000


def test_an_unknown_session_is_expired_and_never_made() -> None:
    log, applier = Log(), Applier(Journal)
    assert applier.apply(log.entry(note(77, 1), note(77, 1))) == [EXPIRED, EXPIRED]
    assert applied(applier) == []
    assert applier.sessions.count() == 0


def test_a_session_id_is_the_identity_of_its_opening() -> None:
    log, applier = Log(), Applier(Journal)
    results = applier.apply(log.entry(opening(), loose(encode_call(Journal.note, "x")), opening()))
    assert [value_of(results[n]) for n in (0, 2)] == [1 << 16, 1 << 16 | 2]


def test_a_closed_session_is_expired() -> None:
    log, applier = Log(), Applier(Journal)
    session = open_session(log, applier)
    close = encode_call(Sessions.close, session)
    results = applier.apply(
        log.entry(
            note(session, 1),
            numbered(session, 2, close, machine=SESSIONS),  # closes itself: its answer has no place to stay
            note(session, 1),
            loose(close, machine=SESSIONS),
        )
    )
    assert [results[1].body, results[2], results[3].body] == [b"\xc3", EXPIRED, b"\xc2"]
    assert (applier.sessions.count(), applier.sessions.stored()) == (0, 0)


def test_the_session_that_was_not_used_for_longest_goes_first() -> None:
    log, applier = Log(), Applier(Journal, limits=Limits(sessions=3))
    a, b, c = (open_session(log, applier) for _ in range(3))
    applier.apply(log.entry(note(a, 1)))
    applier.apply(log.entry(note(c, 1)))
    open_session(log, applier)  # b goes
    results = applier.apply(log.entry(note(b, 1), note(a, 1), note(c, 1)))
    assert [result.kind for result in results] == [Kind.SESSION_EXPIRED, Kind.OK, Kind.OK]
    assert applier.sessions.count() == 3


def test_an_evicted_answer_is_gone_and_not_applied_again() -> None:
    limits = Limits(session_answers=8)
    log, applier = Log(), Applier(Journal, limits=limits)
    session = open_session(log, applier)
    results = feed(applier, [log.entry(*(note(session, sequence) for sequence in range(1, 30)))])[0]
    retried = feed(applier, [log.entry(*(note(session, sequence) for sequence in range(1, 30)))])[0]
    assert {result.kind for result in retried} == {Kind.OK, Kind.ANSWER_GONE}
    assert all(then == now for then, now in zip(results, retried, strict=True) if now != GONE)
    assert len(applied(applier)) == 29
    assert retried[-1] == results[-1]


def test_the_lowest_sequences_go_first_whatever_order_they_came_in() -> None:
    log, applier = Log(), Applier(Journal, limits=Limits(session_answers=8))
    session = open_session(log, applier)
    coming = [9, 3, 7, 1, 8, 2, 6, 5, 4]  # one more than there is room for
    applier.apply(log.entry(*(note(session, sequence) for sequence in coming)))
    retried = applier.apply(log.entry(*(note(session, sequence) for sequence in range(1, 10))))
    assert [result == GONE for result in retried] == [True] * 3 + [False] * 6
    assert len(applied(applier)) == 9


def test_over_the_total_the_longest_unused_session_loses_its_answers_but_not_their_trace() -> None:
    log, applier = Log(), Applier(Padded, limits=Limits(total_bytes=1000))
    quiet, busy = open_session(log, applier), open_session(log, applier)

    def pad(session: int, sequence: int) -> Command:
        return numbered(session, sequence, encode_call(Padded.pad, f"{session}/{sequence}", 200))

    applier.apply(log.entry(pad(quiet, 2), pad(quiet, 1)))
    applier.apply(log.entry(pad(busy, 1), pad(busy, 2)))  # 4 * (202 + 64) bytes are too many
    retried = applier.apply(
        log.entry(pad(quiet, 1), pad(quiet, 2), pad(busy, 1), pad(busy, 2), pad(quiet, 3))
    )
    assert [result.kind for result in retried] == [
        Kind.ANSWER_GONE, Kind.ANSWER_GONE, Kind.OK, Kind.OK, Kind.OK,
    ]  # fmt: skip
    assert len(applier.machine.marks) == 5  # type: ignore[attr-defined]
    assert applier.sessions.stored() <= 1000


def test_an_answer_larger_than_the_bound_is_given_once() -> None:
    class Blob(Machine):
        runs: int = 0

        @command
        def make(self, size: int) -> bytes:
            self.runs += 1
            return bytes(size)

    log, applier = Log(), Applier(Blob, limits=Limits(session_bytes=1000, total_bytes=2000))
    session = open_session(log, applier)
    big = numbered(session, 1, encode_call(Blob.make, 5000))
    [result, again] = applier.apply(log.entry(big, big))
    assert len(result.body) > 5000
    assert again == GONE
    assert applier.sessions.stored() == 0
    assert applier.machine.runs == 1  # type: ignore[attr-defined]


@dataclass
class Slow:
    """The filter as one would explain it: it remembers every answer for ever, and what may no longer be told."""

    ordered: bool
    answers: dict[int, Result] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    below: int = 1

    def expect(self, sequence: int, below: int) -> Kind | Result | None:
        """What must come back: a kind, an earlier answer, or None for a first application."""
        following = len(self.order) + 1
        if self.ordered:
            if sequence > following:
                return Kind.OUT_OF_ORDER
            below = min(below, following)
        self.below = max(self.below, below)
        if sequence < self.below:
            return Kind.ANSWER_GONE
        return self.answers.get(sequence)


steps = st.lists(
    st.tuples(
        st.integers(0, 2),  # which session
        st.integers(1, 12),  # sequence
        st.integers(1, 8),  # answered below
        st.booleans(),  # whether a new entry begins
        st.sampled_from([False] * 9 + [True]),  # whether the replica is restored from a snapshot
    ),
    max_size=60,
)


@given(steps, st.lists(st.booleans(), min_size=3, max_size=3))
def test_the_filter_equals_the_obvious_one(
    steps: list[tuple[int, int, int, bool, bool]], kinds: list[bool]
) -> None:
    """C1, I15: duplicates and reorderings of three sessions, across snapshots, without eviction."""
    log, applier = Log(), Applier(Journal)
    ids = [open_session(log, applier, ordered=ordered) for ordered in kinds]
    models = [Slow(ordered) for ordered in kinds]
    waiting: list[tuple[int, int, int]] = []
    for which, sequence, below, cut, restored in [*steps, (0, 1, 1, True, False)]:
        waiting.append((which, sequence, below))
        if not cut:
            continue
        results = applier.apply(log.entry(*(note(ids[which], number, low) for which, number, low in waiting)))
        for (which, number, low), result in zip(waiting, results, strict=True):
            compare(models[which], number, low, result)
        waiting = []
        if restored:
            stream = list(applier.write(applier.capture()))
            applier = Applier(Journal)
            applier.restore(stream)
    expected = sorted(f"{ids[n]}/{number}" for n, model in enumerate(models) for number in model.order)
    assert sorted(applied(applier)) == expected


def compare(model: Slow, sequence: int, below: int, result: Result) -> None:
    match model.expect(sequence, below):
        case None:
            assert result.kind is Kind.OK
            assert sequence not in model.answers, f"sequence {sequence} was applied twice"
            model.answers[sequence] = result
            model.order.append(sequence)
        case Kind() as kind:
            assert result.kind is kind
        case Result() as first:
            assert result == first


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 40), st.integers(0, 90)), max_size=120))
def test_under_eviction_nothing_is_ever_applied_twice(steps: list[tuple[int, int, int]]) -> None:
    """C1 with bounds so tight that sessions and answers go all the time; the table stays inside them."""
    limits = Limits(sessions=3, session_answers=4, session_bytes=600, total_bytes=1000)
    log = Log()
    appliers = [Applier(Padded, limits=limits) for _ in range(2)]
    ids = [0] * 5
    for n, (which, sequence, size) in enumerate(steps):
        if ids[which] == 0 or sequence % 13 == 0:
            ids[which] = open_session(log, appliers[0])
            appliers[1].apply(log.entries[-1])
        call = encode_call(Padded.pad, f"{ids[which]}/{sequence}", size)
        entry = log.entry(numbered(ids[which], sequence, call))
        one, two = (applier.apply(entry) for applier in appliers)
        assert one == two
        sessions = appliers[0].sessions
        assert sessions.count() <= 3
        assert sessions.stored() <= 1000
        if n % 10 == 9:  # one replica lives on, the other is restored: they must go on alike
            stream = list(appliers[0].write(appliers[0].capture()))
            appliers[1] = Applier(Padded, limits=limits)
            appliers[1].restore(stream)
            assert list(appliers[1].write(appliers[1].capture())) == stream
    assert appliers[0].digest == appliers[1].digest
    marks = appliers[0].machine.marks  # type: ignore[attr-defined]
    assert len(marks) == len(set(marks))


batches = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 2),  # which session, 2: none
            st.sampled_from(
                [0, 0, 0, 0, 0, -3, -1, 1, 2]
            ),  # where it begins, from the sequence after its last one
            st.integers(1, 12),  # how many
            st.sampled_from([30, 30, 30, 6, 2, 0, -1]),  # how far what they confirm lies behind them
            st.integers(0, 120),  # size of the answers
            st.sampled_from([False] * 5 + [True]),  # whether one in the middle is a fault
        ),
        min_size=1,
        max_size=4,
    ),
    min_size=2,
    max_size=12,
)
tight = Limits(sessions=3, session_answers=16, session_bytes=1500, total_bytes=1600)
roomy = Limits(session_answers=60)


@given(
    batches,
    st.lists(st.booleans(), min_size=2, max_size=2),
    st.sampled_from([tight, roomy]),
    st.integers(1, 40),
)
def test_commands_that_are_admitted_together_come_to_the_same_as_one_by_one(
    batches: list[list[tuple[int, int, int, int, int, bool]]], kinds: list[bool], limits: Limits, slice_: int
) -> None:
    """One applier runs whole entries, one ends its slices anywhere; a dict per session says what must come of it."""
    log, clock = Log(), iter(range(1, 1 << 40)).__next__
    together, sliced = Applier(Padded, limits=limits), Applier(Padded, limits=limits, clock=clock)
    ids = [open_session(log, together, ordered=ordered) for ordered in kinds]
    feed(sliced, log.entries)
    slow, alone = SlowTable(limits), Padded()
    slow.sessions.update((id, SlowSession(ordered)) for id, ordered in zip(ids, kinds, strict=True))
    following = [1, 1, 1]
    for parts in batches:
        commands = [command for part in parts for command in asked(part, ids, following)]
        entry = log.entry(*commands)
        results = together.apply(entry)
        assert results == slow.apply(commands, alone.run)
        assert results == in_slices(sliced, entry, lambda: clock() + slice_)
        assert together.sessions.stored() == sliced.sessions.stored() == slow.stored()
        stream = list(together.write(together.capture()))
        assert stream == list(sliced.write(sliced.capture()))
        if slice_ % 7 == 0:  # what is restored goes on alike
            together = Applier(Padded, limits=limits)
            together.restore(stream)


def asked(part: tuple[int, int, int, int, int, bool], ids: list[int], following: list[int]) -> list[Command]:
    which, back, count, behind, size, breaks = part
    first = max(1, following[which] + back)
    following[which] = max(following[which], first + count)
    calls = [
        (n, encode_call(Padded.pad, f"{n}", -1 if breaks and n == first + count // 2 else size))
        for n in range(first, first + count)
    ]
    if which == 2:
        return [loose(call) for _, call in calls]
    return [numbered(ids[which], n, call, answered_below=max(1, n - behind)) for n, call in calls]


def in_slices(applier: Applier, entry: Entry, deadline: Callable[[], int]) -> list[Result]:
    applier.begin(entry)
    while (results := applier.advance(deadline())) is None:
        applier.sessions.stored()
    return results


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_a_slice_that_ends_amid_commands_confirms_only_what_those_that_ran_confirm(
    slice_: int, jump: int, count: int
) -> None:
    """A later command of the same admission confirms what an earlier one, which has not run yet, is to answer."""
    log, clock = Log(), iter(range(1, 1 << 40)).__next__
    whole, sliced = Applier(Padded), Applier(Padded, clock=clock)
    session = open_session(log, whole)
    feed(sliced, log.entries)
    call = encode_call(Padded.pad, "x", 1)
    rows = [
        numbered(session, n, call, answered_below=1 if n < jump else n) for n in range(1, jump + count + 1)
    ]
    entry = log.entry(*rows)
    results = whole.apply(entry)
    assert {result.kind for result in results} == {Kind.OK}
    assert results == in_slices(sliced, entry, lambda: clock() + slice_)
    assert list(whole.write(whole.capture())) == list(sliced.write(sliced.capture()))


class Padded(Machine):
    """Answers of any size."""

    marks: list[str]

    def __init__(self) -> None:
        self.marks = []

    @command
    def pad(self, mark: str, size: int) -> bytes:
        self.marks.append(mark)
        return bytes(size)  # below 0: a fault

    def run(self, asked: Command) -> Result:
        """As an applier would."""
        try:
            return self.apply(asked.body, Context(group=META_GROUP))
        except ValueError:
            return FAULT


def test_expiry_asks_no_clock() -> None:
    """C4: years of log time between two entries expire nothing; only the table's bounds do."""
    log, applier = Log(), Applier(Journal)
    session = open_session(log, applier)
    [first] = applier.apply(log.entry(note(session, 1), step=10**15))
    assert applier.apply(log.entry(note(session, 1), step=10**15)) == [first]


def test_the_table_rebuilt_from_rows_is_the_same() -> None:
    table = Sessions()
    ids = [table.open(Context(group=META_GROUP, index=index), index % 2 == 0) for index in range(1, 50)]
    for n, session_id in enumerate(ids):
        admitted = table.admit(note(session_id, 1), 60 + n)
        assert not isinstance(admitted, Result)
        table.keep(admitted, 1, Result(Kind.OK, msgspec.msgpack.encode("x" * n)))
    chunks = list(table.write(table.capture()))
    again = Sessions()
    again.restore(chunks, 1)
    assert list(again.write(again.capture())) == chunks
    assert (again.count(), again.stored()) == (table.count(), table.stored())
