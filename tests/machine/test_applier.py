"""What applying promises: order, one result per command, one digest for equal logs, slices, faults and stops."""

import msgspec
import pytest

from raftlog.core.entry import Entry, EntryKind, seal
from raftlog.core.ids import NOTHING, EntryId, GroupId
from raftlog.machine.applier import FAULT, NO_MACHINE, Applier, Faulted, NewerVocabulary, SlowCommand
from raftlog.machine.calls import decode_result, encode_call
from raftlog.machine.contract import ApplyStopped, Context
from raftlog.machine.errors import MachineError
from raftlog.machine.method import command, query
from raftlog.machine.result import Kind, Result
from raftlog.machine.snapshot import SnapshotRefused
from raftlog.machine.typed import NOT_FITTING, Machine
from tests.machine.logs import Log, feed, loose, numbered, open_session, opening, value_of


class Broke(MachineError):
    missing: int


class Undeclared(MachineError):
    pass


class Till(Machine):
    """Counts, and fails in every way on request."""

    total: int = 0

    @command
    def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    @command(errors=[Broke])
    def take(self, amount: int) -> int:
        if amount > self.total:
            raise Broke(amount - self.total)
        self.total -= amount
        return self.total

    @command
    def fail(self, how: str) -> int:
        self.total += 1000
        raise {
            "bug": ValueError("text that must not be replicated"),
            "assert": AssertionError("a bug as well"),
            "undeclared": Undeclared(),
            "memory": MemoryError(),
            "stack": RecursionError(),
            "disk": OSError(28, "No space left on device"),
            "exit": SystemExit(3),
        }[how]

    @command
    def huge(self) -> int:
        self.total += 1
        return 1 << 64

    @command
    def where(self, context: Context) -> tuple[int, int, int]:
        return context.index, context.ordinal, context.log_time

    @command
    def roll(self, context: Context) -> tuple[float, float]:
        return context.random.random(), context.random.random()

    @command
    def spoken(self, context: Context) -> int:
        return context.version

    @query
    def read(self) -> int:
        return self.total

    @query
    def broken(self) -> int:
        raise MemoryError


ADD = encode_call(Till.add, 1)


def test_one_result_per_command_and_none_for_other_entries() -> None:
    log, applier = Log(), Applier(Till)
    assert applier.applied == NOTHING
    results = applier.apply(log.entry(loose(ADD), loose(ADD), loose(encode_call(Till.take, 5))))
    assert [decode_result(Till.add, result) for result in results[:2]] == [1, 2]
    with pytest.raises(Broke) as raised:
        decode_result(Till.take, results[2])
    assert raised.value.missing == 3
    before = applier.digest
    assert applier.apply(log.entry(kind=EntryKind.NO_OP)) == []
    assert applier.apply(log.entry(kind=EntryKind.MEMBERSHIP, term=3)) == []
    assert applier.applied == EntryId(3, 3)
    assert applier.digest != before
    assert decode_result(Till.read, applier.query(encode_call(Till.read))) == 2


def test_equal_logs_give_equal_digests_and_unequal_ones_do_not() -> None:
    log, one, two, other = Log(), Applier(Till), Applier(Till), Applier(Till)
    log.entry(loose(ADD), loose(encode_call(Till.roll)))
    log.entry(kind=EntryKind.NO_OP)
    log.entry(loose(encode_call(Till.fail, "bug")))
    assert feed(one, log.entries) == feed(two, log.entries)
    assert one.digest == two.digest != 0
    strange = Log()
    feed(other, [strange.entry(loose(ADD), loose(encode_call(Till.where)))])
    assert other.digest not in (0, one.digest)


def test_the_digest_remembers_every_entry_before() -> None:
    log = Log()
    shared = [log.entry(loose(ADD)), log.entry(kind=EntryKind.NO_OP), log.entry(kind=EntryKind.NO_OP)]
    strange = Log().entry(loose(encode_call(Till.where)))
    one, other = Applier(Till), Applier(Till)
    feed(one, shared)
    feed(other, [strange, *shared[1:]])
    assert one.applied == other.applied
    assert one.digest != other.digest


def test_the_digest_sees_results_and_not_only_entries() -> None:
    class Skewed(Till):
        name = "Till"

        @command
        def add(self, amount: int) -> int:
            return amount + 1

    log = Log()
    log.entry(loose(ADD))
    honest, skewed = Applier(Till), Applier(Skewed)
    feed(honest, log.entries)
    feed(skewed, log.entries)
    assert honest.digest != skewed.digest


def test_a_command_knows_its_place_and_time_and_draws_by_its_identity() -> None:
    log, one, two = Log(), Applier(Till), Applier(Till)
    body = encode_call(Till.where)
    roll = encode_call(Till.roll)
    log.entry(loose(body), loose(body))
    log.entry(loose(body), loose(roll), loose(roll), loose(ADD), loose(roll))
    first, second = feed(one, log.entries)
    assert [decode_result(Till.where, result) for result in first] == [(1, 0, 1_000_010), (1, 1, 1_000_010)]
    assert decode_result(Till.where, second[0]) == (2, 0, 1_000_020)
    drawn = [decode_result(Till.roll, second[n]) for n in (1, 2, 4)]
    assert len({number for pair in drawn for number in pair}) == 6
    feed(two, log.entries)
    assert one.digest == two.digest
    alike = [
        Applier(Till, group=GroupId(group)).apply(Log(GroupId(group)).entry(loose(roll))) for group in (0, 7)
    ]
    assert decode_result(Till.roll, alike[0][0]) != decode_result(Till.roll, alike[1][0])


def test_an_undeclared_exception_is_a_fixed_result_and_every_replica_moves_on() -> None:
    seen: list[Faulted] = []
    log, applier = Log(), Applier(Till, on_fault=seen.append)
    hows = ("bug", "assert", "undeclared")
    results = applier.apply(log.entry(*(loose(encode_call(Till.fail, how)) for how in hows), loose(ADD)))
    assert results[:3] == [FAULT, FAULT, FAULT]
    assert value_of(results[3]) == 3001  # what was changed before the fault stands
    assert [(f.index, f.ordinal, f.method, type(f.cause)) for f in seen] == [
        (1, 0, "Till.fail", ValueError),
        (1, 1, "Till.fail", AssertionError),
        (1, 2, "Till.fail", Undeclared),
    ]


def test_a_result_that_cannot_be_encoded_is_a_fault() -> None:
    log, applier = Log(), Applier(Till)
    assert applier.apply(log.entry(loose(encode_call(Till.huge)), loose(ADD)))[0] == FAULT
    assert decode_result(Till.read, applier.query(encode_call(Till.read))) == 2


@pytest.mark.parametrize(
    "how,cause", [("memory", MemoryError), ("stack", RecursionError), ("disk", OSError), ("exit", SystemExit)]
)
def test_what_is_the_nodes_own_trouble_stops_applying_there(how: str, cause: type[BaseException]) -> None:
    log, applier = Log(), Applier(Till)
    applier.apply(log.entry(loose(ADD)))
    saved = list(applier.write(applier.capture()))
    bad = log.entry(loose(ADD), loose(encode_call(Till.fail, how)), loose(ADD))
    with pytest.raises(ApplyStopped, match=r"command 1 of entry 2 \(Till.fail\)") as stopped:
        applier.apply(bad)
    assert type(stopped.value.cause) is cause
    assert (stopped.value.index, stopped.value.ordinal) == (2, 1)
    assert str(applier.stopped) == str(stopped.value)
    assert applier.applied == EntryId(1, 1)  # the half-applied entry does not count
    with pytest.raises(AssertionError, match="stopped applying"):
        applier.apply(bad)
    with pytest.raises(AssertionError, match="stopped applying"):
        applier.capture()
    applier.restore(saved)
    assert applier.stopped is None
    assert decode_result(Till.read, applier.query(encode_call(Till.read))) == 1
    applier.reset()
    assert feed(applier, log.entries[:1]) == [[Result(Kind.OK, b"\x01")]]


def test_a_vocabulary_this_node_does_not_know_yet_stops_it_and_never_diverges() -> None:
    log, applier = Log(), Applier(Till)
    newer = loose(ADD, version=2)
    refused = applier.check(newer)
    assert refused is not None
    assert refused.kind is Kind.BAD_COMMAND
    assert b"speaks version 2 of Till, this node runs version 1: upgrade the node" in refused.body
    with pytest.raises(ApplyStopped, match="upgrade") as stopped:
        applier.apply(log.entry(newer))
    assert type(stopped.value.cause) is NewerVocabulary


def test_an_older_vocabulary_is_told_to_the_machine() -> None:
    class Grown(Till):
        version = 4

    log, applier = Log(), Applier(Grown)
    body = encode_call(Grown.spoken)
    assert [value_of(r) for r in applier.apply(log.entry(*(loose(body, version=v) for v in (1, 4, 2))))] == [
        1,
        4,
        2,
    ]


def test_an_unknown_machine_or_method_changes_nothing() -> None:
    log, applier = Log(), Applier(Till)
    bodies = [
        b"",
        b"\xc1",
        b"\x91\xa3sub",
        b"\x92\xa3add\xa1x",
        b"\x93\xa3add\x01\x02",
        b"\x91\xa4read",
        b"\x91" * 99_999,
    ]
    results = applier.apply(log.entry(*map(loose, bodies), loose(ADD, machine=2)))
    assert results == [NOT_FITTING] * len(bodies) + [NO_MACHINE]
    assert all(applier.check(loose(body)) is not None for body in bodies)
    assert applier.check(loose(ADD, machine=2)) is not None
    assert applier.check(loose(ADD)) is None
    assert applier.check(opening()) is None


def test_a_payload_that_is_no_command_list_stops_applying() -> None:
    applier = Applier(Till)
    entry = seal(group=applier.group, at=EntryId(1, 1), kind=EntryKind.COMMANDS, log_time=1, payload=b"\xc1")
    with pytest.raises(ApplyStopped, match="payload"):
        applier.apply(entry)


def test_a_query_that_breaks_is_a_fault_and_stops_nothing() -> None:
    seen: list[Faulted] = []
    log, applier = Log(), Applier(Till, on_fault=seen.append)
    assert applier.query(encode_call(Till.broken)) == FAULT
    assert (seen[0].ordinal, seen[0].method) == (None, "Till.broken")
    misfit = applier.query(b"\x92\xa4read\x01")
    assert misfit.kind is Kind.BAD_COMMAND
    assert b"Till.read() got 1 argument" in misfit.body
    assert applier.query(b"", machine=9) == NO_MACHINE
    assert applier.stopped is None
    applier.apply(log.entry(loose(ADD)))


def test_order_is_asserted() -> None:
    log, applier = Log(), Applier(Till)
    first, second, third = log.entry(loose(ADD)), log.entry(loose(ADD)), log.entry(loose(ADD))
    with pytest.raises(AssertionError, match="2@1 came after 0@0"):
        applier.apply(second)
    applier.apply(first)
    for wrong in (first, third):
        with pytest.raises(AssertionError, match="came after 1@1"):
            applier.apply(wrong)
    early = seal(group=applier.group, at=EntryId(1, 2), kind=EntryKind.NO_OP, log_time=1)
    with pytest.raises(AssertionError, match="log time falls"):
        applier.apply(early)
    older = seal(group=applier.group, at=EntryId(0, 2), kind=EntryKind.NO_OP, log_time=1 << 40)
    with pytest.raises(AssertionError, match="term falls"):
        applier.apply(older)
    foreign = seal(group=GroupId(5), at=EntryId(1, 2), kind=EntryKind.NO_OP, log_time=1 << 40)
    with pytest.raises(AssertionError, match="group 5"):
        applier.apply(foreign)


class Ticks:
    """A clock that moves by itself at every reading."""

    def __init__(self, step: int) -> None:
        self.now = 0
        self.step = step

    def __call__(self) -> int:
        self.now += self.step
        return self.now


def crawling(ticks: Ticks, micros: int) -> type[Till]:
    """A machine that has a command which takes that long."""

    class Slow(Till):
        @command
        def crawl(self) -> None:
            self.total += 1
            ticks.now += micros

    return Slow


def test_slices_end_at_the_deadline_and_come_to_the_same() -> None:
    ticks = Ticks(0)
    slow = crawling(ticks, 100)
    log = Log()
    entry = log.entry(*(loose(encode_call(slow.crawl)) for _ in range(132)))  # type: ignore[attr-defined]
    whole = Applier(slow)
    sliced = Applier(slow, clock=ticks)
    sliced.begin(entry)
    parts = 0
    while (results := sliced.advance(ticks.now + 1000)) is None:
        parts += 1
        assert sliced.applied == NOTHING  # not before the last effect is visible
        # The first 32 were held to be quick, then the clock is read after each millisecond of them.
        assert decode_result(Till.read, sliced.query(encode_call(Till.read))) == 22 + 10 * parts
        with pytest.raises(AssertionError, match="half applied"):
            sliced.capture()
        with pytest.raises(AssertionError, match="half applied"):
            sliced.begin(entry)
    assert parts == 10
    assert results == whole.apply(entry)
    assert (sliced.applied, sliced.digest) == (whole.applied, whole.digest)


def test_a_slice_runs_one_command_at_least() -> None:
    ticks, log = Ticks(1000), Log()
    applier = Applier(Till, clock=ticks)
    applier.apply(log.entry(loose(ADD)))
    applier.begin(log.entry(loose(ADD), loose(ADD)))
    assert applier.advance(0) is None
    results = applier.advance(0)
    assert results is not None
    assert len(results) == 2


def test_answers_from_the_session_table_count_towards_the_slice() -> None:
    log, ticks = Log(), Ticks(10)
    applier = Applier(Till, clock=ticks)
    session = open_session(log, applier)
    again = [numbered(session, 1, ADD) for _ in range(10_000)]
    applier.begin(log.entry(*again))
    assert applier.advance(ticks.now + 1000) is None


def test_slow_commands_are_reported_by_name() -> None:
    seen: list[SlowCommand] = []
    log, ticks = Log(), Ticks(1)
    slow = crawling(ticks, 50_000)
    applier = Applier(slow, clock=ticks, slow_after=20_000, on_slow=seen.append)
    crawl = loose(encode_call(slow.crawl))  # type: ignore[attr-defined]
    add = loose(ADD)
    applier.apply(log.entry(add, crawl, add))
    assert seen == [SlowCommand(1, 0, "Slow.add or Slow.crawl", 50_001, 3)]
    applier.apply(log.entry(*[add] * 50, crawl, *[add] * 100))
    assert seen[1:] == [SlowCommand(2, 50, "Slow.crawl", 50_001)]  # timed alone after the first
    applier.apply(log.entry(*[add] * 50, crawl))
    # Many were quick in between.
    assert seen[2:] == [SlowCommand(3, 32, "Slow.add or Slow.crawl", 50_001, 19)]


def test_a_slow_command_among_quick_ones_overruns_the_slice_once() -> None:
    log, ticks = Log(), Ticks(0)
    slow = crawling(ticks, 1_000)
    applier = Applier(slow, clock=ticks)
    applier.begin(log.entry(*[loose(encode_call(slow.crawl))] * 100))  # type: ignore[attr-defined]
    parts = [32_000, *[4_000] * 17]
    for number, held in enumerate(parts, 1):
        before = ticks.now
        assert (applier.advance(before + 4_000) is None) == (number < len(parts))
        assert ticks.now - before == held


def test_commands_admitted_together_that_turn_slow_hold_nobody_up_for_long() -> None:
    """Quick ones are admitted by hundreds; what was held to be quick and takes 20 ms each overruns by 32 of them."""
    log, ticks = Log(), Ticks(0)
    slow = crawling(ticks, 20_000)
    applier = Applier(slow, clock=ticks)
    session = open_session(log, applier)
    crawl = encode_call(slow.crawl)  # type: ignore[attr-defined]
    applier.apply(log.entry(*(numbered(session, n, ADD) for n in range(1, 1001))))
    applier.begin(log.entry(*(numbered(session, n, crawl) for n in range(1001, 2001))))
    held = []
    while True:
        before = ticks.now
        done = applier.advance(before + 4_000)
        held.append(ticks.now - before)
        if done is not None:
            break
    assert held == [32 * 20_000] + [20_000] * 968
    again = applier.apply(log.entry(numbered(session, 1, ADD), numbered(session, 2000, crawl)))
    assert again == [Result(Kind.OK, b"\x01"), done[-1]]


def test_what_must_not_enter_the_log_is_told_from_what_merely_does_not_fit() -> None:
    class Open(Machine):
        name = "Till"

        @command
        def put(self, where: Place) -> None: ...

    misfit, newer, elsewhere = loose(b"\x92\xa3add\xa1x"), loose(ADD, version=2), loose(ADD, machine=2)
    deep = loose(b"\x92\xa3put\x81\xa1q" + b"\x91" * 100_000)
    for make, bad in ((Till, {1, 2}), (Open, {1, 2, 4})):
        applier = Applier(make)
        refused = applier.refusals([misfit, newer, elsewhere, loose(ADD), deep, opening()])
        assert set(refused) == bad
        assert {result.kind for result in refused.values()} == {Kind.BAD_COMMAND}
    assert Applier(Till).apply(Log().entry(misfit, deep)) == [NOT_FITTING, NOT_FITTING]


class Place(msgspec.Struct):
    """Its unknown fields are passed over in decoding, however deep they nest."""

    x: int = 0


def test_a_machine_with_checks_of_its_own_is_asked_about_every_body() -> None:
    class Picky(Till):
        def check(self, body: bytes, *, query: bool = False) -> str | None:
            return "not today"

    class Own(Till):
        def apply(self, command: bytes, context: Context) -> Result:
            return super().apply(command, context)

    assert set(Applier(Picky).refusals([loose(ADD), loose(ADD)])) == {0, 1}
    assert set(Applier(Own).refusals([loose(b""), loose(ADD)])) == {0}


def test_a_machine_that_applies_in_its_own_way_is_asked_command_by_command() -> None:
    class Twice(Till):
        def apply(self, command: bytes, context: Context) -> Result:
            super().apply(command, context)
            return super().apply(command, context)

    results = Applier(Twice).apply(Log().entry(loose(ADD), loose(ADD), loose(ADD)))
    assert [value_of(result) for result in results] == [2, 4, 6]


def test_a_snapshot_restores_everything_and_goes_on_alike() -> None:
    log, one = Log(), Applier(Till)
    session = open_session(log, one)
    one.apply(log.entry(numbered(session, 1, ADD), loose(encode_call(Till.fail, "bug"))))
    view = one.capture()
    one.apply(log.entry(numbered(session, 2, ADD)))  # the view is of before
    stream = b"".join(one.write(view))
    assert b"".join(one.write(view)) == stream
    for size in (1, 7, 64, len(stream)):
        two = Applier(Till)
        two.restore(stream[start : start + size] for start in range(0, len(stream), size))
        assert two.applied == EntryId(1, 2)
        assert two.log_time == log.entries[1].log_time
        feed(two, log.entries[2:])
        assert (two.digest, two.applied) == (one.digest, one.applied)
        assert two.apply(seal_retry(log, session)) == [Result(Kind.OK, b"\x01")]
        assert list(two.write(two.capture())) != []


def seal_retry(log: Log, session: int) -> Entry:
    """An entry that repeats the session's first command, in a log of its own end."""
    copy = Log()
    copy.entries = list(log.entries)
    return copy.entry(numbered(session, 1, ADD))


def test_a_bad_snapshot_changes_nothing() -> None:
    log, source = Log(), Applier(Till)
    open_session(log, source)
    source.apply(log.entry(loose(ADD)))
    stream = b"".join(source.write(source.capture()))
    target = Applier(Till)
    target.apply(Log().entry(loose(encode_call(Till.add, 7))))
    before = (target.applied, target.digest, b"".join(target.write(target.capture())))
    broken = [stream[:cut] for cut in range(len(stream))] + [stream + b"x"]
    broken += [flip(stream, bit) for bit in range(len(stream) * 8)]
    for bad in broken:
        with pytest.raises(SnapshotRefused):
            target.restore([bad])
    assert (target.applied, target.digest, b"".join(target.write(target.capture()))) == before


def flip(stream: bytes, bit: int) -> bytes:
    """The stream with one bit changed."""
    changed = bytearray(stream)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_snapshot_of_another_machine_version_or_group_is_refused_by_name() -> None:
    class Other(Till):
        pass

    class Newer(Till):
        name = "Till"
        version = 2

    stream = list(Applier(Till).write(Applier(Till).capture()))
    with pytest.raises(
        SnapshotRefused, match=r"holds raftlog\.sessions, Till; this node runs raftlog\.sessions, Other"
    ):
        Applier(Other).restore(stream)
    with pytest.raises(SnapshotRefused, match="is of group 0, not of group 3"):
        Applier(Till, group=GroupId(3)).restore(stream)
    newer = list(Applier(Newer).write(Applier(Newer).capture()))
    with pytest.raises(SnapshotRefused, match="version 2 of Till, this node runs 1"):
        Applier(Till).restore(newer)
    Applier(Newer).restore(stream)  # an older one is the machine's to read


def test_a_machine_that_fails_to_restore_leaves_the_old_one_standing() -> None:
    class Careless(Till):
        def capture(self) -> object:
            return self.total

        def write(self, view: int) -> list[bytes]:  # type: ignore[override]
            return [b"%d" % view, b"more"]

        def restore(self, chunks: object, version: int) -> None:
            self.total = 99

    applier = Applier(Careless)
    stream = list(applier.write(applier.capture()))
    with pytest.raises(SnapshotRefused, match="left 2 chunks"):
        applier.restore(stream)
    assert decode_result(Till.read, applier.query(encode_call(Till.read))) == 0
