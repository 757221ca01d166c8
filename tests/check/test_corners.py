"""The smallest histories that tell a right checker from one with a certain mistake."""

from typing import Any

import pytest

from jepsen_like.check import (
    CasRegister,
    History,
    Model,
    Queue,
    Register,
    Verdict,
    check_fenced_lock,
    check_linearizable,
    check_list_append,
    check_total_queue,
    check_unique_ids,
)
from jepsen_like.check.graph import Reach
from jepsen_like.check.judgement import JUDGES
from tests.check.lines import done, history

_BOTH = [(0, "ask", "write", 1), (1, "ask", "write", 2), (0, "ok", "write", 1), (1, "ok", "write", 2)]
_TWINS = [
    (0, "ask", "write", 1),
    (1, "ask", "write", 1),
    *done(2, "read", None, 1),
    *done(2, "write", 2, None),
]


@pytest.mark.parametrize(
    "name, model, lines, bad",
    [
        (
            "the second of two overlapping writes may come first",
            Register(),
            [*_BOTH, *done(2, "read", None, 1)],
            None,
        ),
        ("or last", Register(), [*_BOTH, *done(2, "read", None, 2)], None),
        ("but not both", Register(), [*_BOTH, *done(2, "read", None, 2), *done(2, "read", None, 1)], 7),
        (
            "both of two equal unanswered writes are needed",
            Register(),
            [*_TWINS, *done(2, "read", None, 1)],
            None,
        ),
        (
            "a third would be needed",
            Register(),
            [*_TWINS, *done(2, "read", None, 1), *done(2, "write", 2, None), *done(2, "read", None, 1)],
            11,
        ),
        (
            "what leaves the same state is not the same",
            CasRegister(5),
            [
                (0, "ask", "write", 1),
                (1, "ask", "cas", [5, 1]),
                *done(2, "read", None, 1),
                *done(2, "write", 0, None),
                (0, "ok", "write", 1),
                *done(2, "read", None, 1),
                (1, "ok", "cas", True),
            ],
            None,
        ),
        ("an unanswered enqueue", Queue(), [(0, "ask", "enqueue", 1), *done(1, "dequeue", None, 1)], None),
        ("an enqueue asked for later", Queue(), [*done(1, "dequeue", None, 1), (0, "ask", "enqueue", 1)], 1),
        (
            "an unanswered dequeue took what nobody saw",
            Queue(),
            [
                (9, "ask", "dequeue", None),
                *done(0, "enqueue", 1, 1),
                *done(0, "enqueue", 2, 2),
                *done(1, "dequeue", None, 2),
            ],
            None,
        ),
        (
            "it did not take what somebody saw",
            Queue(),
            [
                (9, "ask", "dequeue", None),
                *done(0, "enqueue", 1, 1),
                *done(0, "enqueue", 2, 2),
                *done(1, "dequeue", None, 2),
                *done(1, "dequeue", None, 1),
            ],
            8,
        ),
    ],
)
def test_orders(name: str, model: Model, lines: list[Any], bad: int | None) -> None:
    assert check_linearizable(history(*lines), model).first_bad_event == bad


def test_a_search_that_is_cut_short_says_that_it_does_not_know() -> None:
    lines = history(*_BOTH, *done(2, "read", None, 1))
    for budget in (0, 1):
        assert check_linearizable(lines, Register(), budget=budget).verdict is Verdict.UNKNOWN


def test_an_answer_belongs_to_the_latest_question() -> None:
    lines = history((0, "ask", "write", 1), (0, "ask", "write", 2), (0, "ok", "write", 2))
    assert [each.returned for each in lines.operations()] == [None, 2]


def test_an_answer_belongs_to_its_process() -> None:
    lines = history((0, "ask", "write", 1), (1, "ask", "write", 2), (0, "ok", "write", 1))
    assert [each.returned for each in lines.operations()] == [2, None]


def test_nil_is_taken_at_its_word_where_a_register_begins_with_it() -> None:
    lines = history(*done(0, "write", 1, 1), *done(0, "read", None, None))
    judge = JUDGES["register"]
    assert judge(lines, None, True, lambda: False).verdict is Verdict.INVALID
    assert judge(lines, 7, True, lambda: False).verdict is Verdict.VALID
    assert judge(lines, 7, False, lambda: False).verdict is Verdict.INVALID


def test_an_id_is_not_given_again_later() -> None:
    ids = [event for value in (5, 6, 5) for event in done(0, "generate", None, value)]
    assert check_unique_ids(history(*ids)).first_bad_event == 5


def test_a_token_is_old_beside_the_greatest_and_not_only_the_last() -> None:
    uses = [event for token in (3, 1, 2) for event in done(0, "use", token, None)]
    assert [each.event for each in check_fenced_lock(history(*uses)).anomalies] == [3, 5]


def test_one_who_never_released_still_holds_the_lock() -> None:
    lines = [
        *done(0, "acquire", None, 1),
        *done(1, "acquire", None, 2),
        *done(1, "release", None, None),
        *done(2, "acquire", None, 3),
    ]
    found = check_fenced_lock(history(*lines))
    assert [(each.kind, each.event) for each in found.anomalies] == [("two-holders", 3), ("two-holders", 7)]


def test_a_release_that_failed_releases_nothing() -> None:
    failed = [(0, "ask", "release", None), (0, "fail", "release", None)]
    lines = [*done(0, "acquire", None, 1), *failed, *done(1, "acquire", None, 2)]
    assert check_fenced_lock(history(*lines)).kinds() == ("two-holders",)


def test_what_came_out_though_its_enqueue_was_never_answered_is_told() -> None:
    found = check_total_queue(history((0, "ask", "enqueue", 1), *done(1, "dequeue", None, 1)))
    assert (found.kinds(), [each.kind for each in found.remarks]) == ((), ["recovered"])


_X1Y1 = [["append", "x", 1], ["append", "y", 1]]
_NOT_X1_BUT_Y1 = [["r", "x", []], ["r", "y", [1]]]


def test_a_reader_comes_before_the_next_append_and_not_only_before_the_last() -> None:
    both = [["r", "x", [1, 2]]]
    lines = history(
        (0, "ask", "txn", _X1Y1),
        (1, "ask", "txn", [["append", "x", 2]]),
        (2, "ask", "txn", _NOT_X1_BUT_Y1),
        (0, "ok", "txn", _X1Y1),
        (1, "ok", "txn", [["append", "x", 2]]),
        (2, "ok", "txn", _NOT_X1_BUT_Y1),
        *done(3, "txn", both, both),
    )
    assert check_list_append(lines).kinds() == ("G-single",)


def test_what_failed_is_no_part_of_a_cycle() -> None:
    lines = history(
        (0, "ask", "txn", _X1Y1),
        (0, "fail", "txn", None),
        *done(1, "txn", _NOT_X1_BUT_Y1, _NOT_X1_BUT_Y1),
        *done(2, "txn", [["r", "x", [1]]], [["r", "x", [1]]]),
    )
    assert check_list_append(lines).kinds() == ("G1a",)


def test_ways_of_several_edges_are_ways() -> None:
    reach = Reach(range(3), {0: [1], 1: [2], 2: []}.__getitem__)
    assert (reach.leads(0, 2), reach.leads(2, 0)) == (True, False)


# ------------------------------------------------------------------------------------- equal times
def _recording(process: int, f: str, argument: Any, result: Any, asked: int, answered: int) -> History:
    recording = History()
    recording.invoke(process, f, argument, time=asked)
    recording.ok(process, result, time=answered)
    return recording


def test_recordings_with_equal_times_never_blame_a_correct_object() -> None:
    """Who touched at one moment was concurrent: each such order of a write and a read is possible."""
    for seen in (None, 1):
        touching = (_recording(0, "write", 1, 1, 10, 20), _recording(1, "read", None, seen, 20, 30))
        for merged in (History.merged(*touching), History.merged(*touching[::-1])):
            assert check_linearizable(merged, Register()).verdict is Verdict.VALID


def test_recordings_with_times_apart_still_blame_a_broken_one() -> None:
    apart = (_recording(1, "read", None, None, 21, 30), _recording(0, "write", 1, 1, 10, 20))
    assert check_linearizable(History.merged(*apart), Register()).first_bad_event == 3


@pytest.mark.parametrize("order", [0, 1])
def test_operations_of_no_duration_at_one_moment_may_come_in_any_order(order: int) -> None:
    """A write, and reads of the old and the new value, all asked and answered at time 10."""
    recordings = [
        _recording(0, "write", 1, 1, 10, 10),
        _recording(1, "read", None, None, 10, 10),
        _recording(2, "read", None, 1, 10, 10),
    ]
    merged = History.merged(*(recordings if order else recordings[::-1]))
    assert check_linearizable(merged, Register()).verdict is Verdict.VALID
    ids = History.merged(*(_recording(n, "generate", None, 7, 10, 10) for n in range(2)))
    assert check_unique_ids(ids).kinds() == ("duplicate",)
