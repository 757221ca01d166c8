"""Recording and pairing, the search's budget, places of failure, and the orders that are handed out."""

from random import Random

import pytest

from jepsen_like.check import (
    UNKNOWN,
    CasRegister,
    EventType,
    History,
    KeyValue,
    Malformed,
    Queue,
    Register,
    Verdict,
    check_linearizable,
    linearizable,
)
from jepsen_like.check.linearizable import first_where
from tests.check.histories import recorded
from tests.check.lines import done, history


def test_operations_are_paired_by_process() -> None:
    lines = history(
        (0, "ask", "read", None),
        (1, "ask", "write", 3),
        ("nemesis", "ask", "kill", None),
        (0, "ok", "read", 7),
        (1, "info", "write", 3),
        (0, "ask", "read", None),
        ("nemesis", "ok", "kill", None),
        (0, "fail", "read", None),
        (2, "ask", "write", 4),
        (2, "ask", "write", 5),
        (9, "info", "note", None),
    )
    found = [
        (each.process, each.result, each.outcome.value, each.invoked, each.returned)
        for each in lines.operations()
    ]
    assert found == [
        (0, 7, "ok", 0, 3),
        (1, UNKNOWN, "info", 1, None),
        (0, UNKNOWN, "fail", 5, 7),
        (2, UNKNOWN, "info", 8, None),
        (2, UNKNOWN, "info", 9, None),
    ]


def test_an_answer_to_no_question_is_malformed() -> None:
    with pytest.raises(Malformed, match="process 1 is answered") as refused:
        history((0, "ask", "read", None), (1, "ok", "read", 1)).operations()
    assert refused.value.position == 1


def test_a_recorder_refuses_what_no_process_can_do() -> None:
    recording = History()
    recording.invoke(0, "read", time=1)
    with pytest.raises(AssertionError, match="while"):
        recording.invoke(0, "read", time=2)
    recording.info(0, time=3)
    with pytest.raises(AssertionError, match="nothing open"):
        recording.ok(0, 1, time=4)


def test_merging_lets_operations_that_touch_be_concurrent() -> None:
    writer, reader = History(), History()
    writer.invoke(0, "write", 1, time=10)
    writer.ok(0, time=20)
    reader.invoke(1, "read", time=20)
    reader.ok(1, None, time=30)
    for merged in (History.merged(writer, reader), History.merged(reader, writer)):
        assert [event.index for event in merged] == [0, 1, 2, 3]
        assert check_linearizable(merged, Register()).verdict is Verdict.VALID
    late = History()
    late.invoke(1, "read", time=21)
    late.ok(1, None, time=30)
    assert check_linearizable(History.merged(late, writer), Register()).verdict is Verdict.INVALID


def test_equal_times_do_not_reorder_a_history() -> None:
    ordered = history(*done(0, "write", 1, 1), *done(1, "read", None, None))
    assert {event.time for event in ordered} == {0}
    assert check_linearizable(ordered, Register()).first_bad_event == 3


def test_the_budget_is_counted_in_steps_alike_on_every_run() -> None:
    events = _busy(3)
    whole = check_linearizable(events, CasRegister())
    assert whole.verdict is Verdict.VALID
    assert check_linearizable(events, CasRegister()).steps == whole.steps
    for budget in (0, 1, whole.steps - 1):
        cut = check_linearizable(events, CasRegister(), budget=budget)
        assert cut.verdict is Verdict.UNKNOWN
        assert cut.first_bad_event is None
    assert check_linearizable(events, CasRegister(), budget=whole.steps + 50).verdict is Verdict.VALID
    assert check_linearizable(events, CasRegister(), expired=lambda: True).verdict is Verdict.UNKNOWN


def test_a_search_ends_before_it_remembers_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unanswered comparisons that lead everywhere, and reads that no single one of them refutes."""
    random = Random(1)
    lines = [(process, "ask", "cas", [random.randrange(12), random.randrange(12)]) for process in range(60)]
    for place in range(60):
        lines += done(1000, "read", None, random.randrange(12) if place else 0)
    monkeypatch.setattr(linearizable, "_MOST_POSITIONS", 500)
    found = check_linearizable(history(*lines), CasRegister(0))
    assert found.verdict is Verdict.UNKNOWN
    assert 500 < found.steps < 100_000


def _busy(seed: int) -> History:
    def choose(random: Random) -> tuple[str, None, object]:
        kind = random.randrange(3)
        return [
            ("read", None, None),
            ("write", None, random.randrange(4)),
            ("cas", None, [random.randrange(4), 1]),
        ][kind]

    def answer(state: object, f: str, argument: tuple[object, object]) -> object:
        return state if f == "read" else state == argument[0] if f == "cas" else None

    return recorded(Random(seed), CasRegister(), choose, answer, operations=400, processes=6)


def test_one_broken_key_decides_and_the_earliest_is_named() -> None:
    lines = [
        *done(0, "put", 1, None, "a"),
        *done(1, "put", 1, None, "b"),
        *done(1, "get", None, 9, "b"),
        *done(0, "get", None, 9, "a"),
    ]
    found = check_linearizable(history(*lines), KeyValue())
    assert found.impossible is not None
    assert (found.impossible.event, found.impossible.partition) == (5, "b")
    assert [prefix.state for prefix in found.impossible.prefixes] == [1]


def test_what_fails_only_later_may_still_have_explained_an_answer() -> None:
    """In the prefix that ends with the read, the write was open; its failure makes the read impossible."""
    lines = [(0, "ask", "write", 1), *done(1, "read", None, 1), (0, "fail", "write", 1)]
    assert check_linearizable(history(*lines), Register()).first_bad_event == 3


def test_an_answer_given_later_can_be_the_one_that_contradicts() -> None:
    """The read of 2 is possible while the comparison is open; that it says it failed is what cannot be."""
    lines = [
        *done(0, "write", 1, None),
        (1, "ask", "cas", [1, 2]),
        *done(0, "read", None, 2),
        (1, "ok", "cas", False),
    ]
    assert check_linearizable(history(*lines), CasRegister()).first_bad_event == 5


def test_the_first_place_is_found_from_any_guess() -> None:
    for high in range(9):
        for place in range(high + 1):
            for guess in range(high + 1):
                asked: list[int] = []

                def true(at: int, place: int = place, asked: list[int] = asked) -> bool:
                    asked.append(at)
                    return at >= place

                assert first_where(true, 0, high, guess) == place
                assert len(asked) == len(set(asked)), f"{asked} asks twice"


def test_thousands_of_operations_take_few_steps() -> None:
    """A bound on counted steps, which no slow machine can break."""

    def choose(random: Random) -> tuple[str, int, object]:
        key, kind = random.randrange(20), random.random()
        return (
            ("get", key, None)
            if kind < 0.5
            else ("append", key, "x")
            if kind < 0.6
            else ("put", key, str(kind))
        )

    def answer(state: object, f: str, argument: object) -> object:
        return state if f == "get" else None

    events = recorded(Random(1), KeyValue(""), choose, answer, operations=4000, processes=20, lost=0.02)
    found = check_linearizable(events, KeyValue(""))
    assert found.verdict is Verdict.VALID
    assert found.steps < 40 * found.operations
    last = max(place for place, event in enumerate(events) if event.type is EventType.OK and event.f == "get")
    events.events[last] = type(events.events[last])(
        EventType.OK, events.events[last].process, "get", "never written"
    )
    broken = check_linearizable(events, KeyValue(""))
    assert broken.first_bad_event == last
    assert broken.steps < 40 * found.operations


def test_fewer_unanswered_operations_spent_is_better() -> None:
    """An order that spent the comparison to 3 for nothing comes to the same state first; it must not hide the other."""
    lines = [
        (0, "ask", "cas", [0, 3]),
        (1, "ask", "cas", [0, 1]),
        (2, "ask", "read", None),
        (3, "ask", "cas", [0, 0]),
        (4, "ask", "write", 0),
        (2, "ok", "read", 1),
        (3, "ok", "cas", False),
        *done(5, "cas", [1, 2], False),
    ]
    assert check_linearizable(history(*lines), CasRegister(0)).verdict is Verdict.VALID


def test_an_empty_queue_may_be_seen_after_what_was_taken_meanwhile() -> None:
    lines = [
        *done(0, "enqueue", 1, None),
        (1, "ask", "dequeue", None),
        *done(0, "enqueue", 2, None),
        *done(2, "dequeue", None, 1),
        *done(2, "dequeue", None, 2),
        (1, "ok", "dequeue", None),
    ]
    assert check_linearizable(history(*lines), Queue()).verdict is Verdict.VALID


def test_an_unanswered_dequeue_may_have_taken_what_nobody_saw() -> None:
    put = [*done(0, "enqueue", 1, None), *done(0, "enqueue", 2, None)]
    taken = done(2, "dequeue", None, 2)
    unanswered = (1, "ask", "dequeue", None)
    assert check_linearizable(history(*put, unanswered, *taken), Queue()).verdict is Verdict.VALID
    assert check_linearizable(history(*put, *taken), Queue()).first_bad_event == 5
