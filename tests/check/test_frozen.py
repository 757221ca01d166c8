"""True is not 1: values of different types are different values to every checker, whatever Python says of them."""

from typing import Any

import pytest

from jepsen_like.check import (
    CasRegister,
    Counter,
    GrowSet,
    KeyValue,
    Misused,
    Model,
    MultiRegister,
    Queue,
    Register,
    SequentialModel,
    Verdict,
    check_linearizable,
    check_list_append,
    check_set_full,
    check_total_queue,
    check_unique_ids,
)
from jepsen_like.check.frozen import Truth, exact, frozen
from tests.check.lines import done, history


class Kept(SequentialModel):
    """A user's own model, which knows nothing of exact values: `keep v` answers what was kept before."""

    def apply(self, state: Any, f: str, argument: Any) -> tuple[Any, Any]:
        return argument, state


def _write_read(f: str, written: Any, g: str, seen: Any, key: Any = None) -> list[tuple[Any, ...]]:
    return [*done(0, f, written, None, key), *done(0, g, None, seen, key)]


@pytest.mark.parametrize(
    "model, lines",
    [
        (Register(), _write_read("write", 1, "read", True)),
        (Register(), _write_read("write", False, "read", 0)),
        (Register(), _write_read("write", [[1]], "read", [[True]])),
        (Register(), _write_read("write", {"a": 0}, "read", {"a": False})),
        (Register(True), done(0, "read", None, 1)),
        (CasRegister(), _write_read("write", 1, "read", True)),
        (CasRegister(1), done(0, "cas", [True, 2], True)),
        (CasRegister(True), done(0, "cas", [1, 2], True)),
        (KeyValue(), _write_read("put", 1, "get", True, "k")),
        (KeyValue(0), done(0, "cas", [False, 2], True, "k")),
        (KeyValue(), [*done(0, "put", 5, None, 1), *done(0, "get", None, 5, True)]),
        (MultiRegister(), [*done(0, "write", {"x": 1}, None), *done(0, "read", None, {"x": True})]),
        (Queue(), _write_read("enqueue", 1, "dequeue", True)),
        (GrowSet(), _write_read("add", 1, "read", [True])),
        (Kept(), _write_read("keep", 1, "keep", True)),
    ],
)
def test_what_is_equal_to_python_only_is_not_what_was_written(model: Model, lines: list[Any]) -> None:
    found = check_linearizable(history(*lines), model)
    assert found.verdict is Verdict.INVALID


@pytest.mark.parametrize("lines", [_write_read("add", 1, "read", True), done(0, "add", "x", None)])
def test_a_counter_is_made_of_numbers(lines: list[Any]) -> None:
    with pytest.raises(Misused, match="made of numbers"):
        check_linearizable(history(*lines), Counter())


@pytest.mark.parametrize("value", [True, False, [True, [False]], {"a": True}, 1.0, b"x", [1, "x"]])
def test_every_value_is_read_as_it_was_written(value: Any) -> None:
    for model, f, g, key in ((Register(), "write", "read", None), (KeyValue(), "put", "get", "k")):
        found = check_linearizable(history(*_write_read(f, value, g, value, key)), model)
        assert found.verdict is Verdict.VALID


def test_a_write_of_true_does_not_stand_for_an_unanswered_write_of_one() -> None:
    """Neither are they twins of which the first goes first, nor do they reach the same state."""
    asked = [(0, "ask", "write", True), (1, "ask", "write", 1)]
    assert check_linearizable(history(*asked, *done(2, "read", None, 1)), Register()).verdict is Verdict.VALID
    both = [*done(2, "read", None, 1), *done(2, "read", None, True)]
    assert check_linearizable(history(*asked, *both), Register()).verdict is Verdict.VALID
    again = [*both, *done(2, "read", None, 1)]
    assert check_linearizable(history(*asked, *again), Register()).first_bad_event == 7


def test_the_checkers_without_a_search_tell_them_apart_too() -> None:
    ids = [*done(0, "generate", None, 1), *done(0, "generate", None, True)]
    assert check_unique_ids(history(*ids)).verdict is Verdict.VALID
    added = [*done(0, "add", 1, None), *done(0, "read", None, [True])]
    assert check_set_full(history(*added)).kinds() == ("lost", "unexpected")
    queued = [*done(0, "enqueue", 1, None), *done(0, "dequeue", None, True)]
    assert check_total_queue(history(*queued)).kinds() == ("lost", "unexpected")
    appended = [["append", "x", 1], ["append", "x", True]]
    lists = [
        *done(0, "txn", appended, appended),
        *done(0, "txn", [["r", "x", None]], [["r", "x", [True, 1]]]),
    ]
    assert "incompatible-order" in check_list_append(history(*lists)).kinds()


def test_exact_values_print_and_compare_as_what_they_stand_for() -> None:
    assert (Truth.TRUE == True, Truth.TRUE == 1, Truth.FALSE == 0) == (True, False, False)  # noqa: E712
    assert repr(exact([True, {"a": False}])) == "(True, (('a', False),))"
    assert exact({2, True}) == frozenset({2, True})
    assert frozen([True]) == (1,)
    assert not exact(False)
