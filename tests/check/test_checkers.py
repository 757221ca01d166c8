"""The checkers that need no search: every planted anomaly is found and named, correct histories pass."""

from random import Random
from typing import Any

import pytest

from jepsen_like.check import (
    Finding,
    History,
    Verdict,
    check_bank,
    check_counter,
    check_fenced_lock,
    check_set_full,
    check_total_queue,
    check_unique_ids,
)
from tests.check.lines import done, history


def _judged(found: Finding) -> tuple[str, tuple[str, ...], int | None]:
    return found.verdict.value, found.kinds(), found.first_bad_event


# ------------------------------------------------------------------------------------------------- set-full
ADDED = done(0, "add", 1, 1)


@pytest.mark.parametrize(
    "name, lines, expected",
    [
        ("present", [*ADDED, *done(1, "read", None, [1])], ("valid", (), None)),
        ("lost", [*ADDED, *done(1, "read", None, [])], ("invalid", ("lost",), 3)),
        (
            "lost after it was seen, its add unanswered",
            [(0, "ask", "add", 1), *done(1, "read", None, [1]), *done(2, "read", None, [])],
            ("invalid", ("lost",), 4),
        ),
        (
            "stale",
            [*ADDED, *done(1, "read", None, []), *done(1, "read", None, [1])],
            ("invalid", ("stale",), 3),
        ),
        ("never read", [(1, "ask", "read", None), *ADDED, (1, "ok", "read", [])], ("unknown", (), None)),
        (
            "concurrent with its add",
            [ADDED[0], *done(1, "read", None, []), ADDED[1], *done(1, "read", None, [1])],
            ("valid", (), None),
        ),
        (
            "add unanswered and never seen",
            [(0, "ask", "add", 1), (0, "info", "add", 1), *done(1, "read", None, [])],
            ("unknown", (), None),
        ),
        ("nothing added", done(1, "read", None, []), ("unknown", (), None)),
        (
            "one kept, one never read",
            [*ADDED, *done(1, "read", None, [1]), *done(0, "add", 2, 2)],
            ("valid", (), None),
        ),
        (
            "add failed and yet seen",
            [(0, "ask", "add", 1), (0, "fail", "add", 1), *done(1, "read", None, [1])],
            ("invalid", ("unexpected",), 3),
        ),
        ("invented", [*done(1, "read", None, [7])], ("invalid", ("unexpected",), 1)),
        ("twice", [*ADDED, *done(1, "read", None, [1, 1])], ("invalid", ("duplicate",), 3)),
    ],
)
def test_set_full(name: str, lines: list[Any], expected: Any) -> None:
    assert _judged(check_set_full(history(*lines))) == expected


def test_a_stale_element_is_a_remark_where_reads_may_be_old() -> None:
    lines = [*ADDED, *done(1, "read", None, []), *done(1, "read", None, [1])]
    found = check_set_full(history(*lines), linearizable=False)
    assert found.verdict is Verdict.VALID
    assert [each.kind for each in found.remarks] == ["stale"]


# ----------------------------------------------------------------------------------------------------- bank
@pytest.mark.parametrize(
    "balances, kinds",
    [
        ({"a": 4, "b": 6}, ()),
        ({"a": 4, "b": 5}, ("wrong-total",)),
        ({"a": -1, "b": 11}, ("negative",)),
        ({"a": 10}, ("missing-account",)),
        ({"a": 4, "b": 6, "c": 0}, ("unexpected-account",)),
        ({"a": 10, "b": None}, ("no-balance",)),
        (10, ("no-balance",)),
        ((("a", 4), ("b", 6)), ()),
        ((("a", 4), ("b", 5)), ("wrong-total",)),
        ((4, 6), ("no-balance",)),
    ],
)
def test_bank(balances: Any, kinds: tuple[str, ...]) -> None:
    found = check_bank(history(*done(0, "read", None, balances)), total=10, accounts=["a", "b"])
    assert _judged(found) == ("invalid" if kinds else "valid", kinds, 1 if kinds else None)


def test_a_bank_that_nobody_read_is_unknown_and_debts_may_be_allowed() -> None:
    assert check_bank(history((0, "ask", "read", None)), total=10).verdict is Verdict.UNKNOWN
    read = history(*done(0, "read", None, {"a": -1, "b": 11}))
    assert check_bank(read, total=10, may_be_negative=True).verdict is Verdict.VALID


# -------------------------------------------------------------------------------------------------- counter
@pytest.mark.parametrize(
    "lines, bad",
    [
        ([*done(0, "add", 2, None), *done(0, "read", None, 2)], None),
        ([*done(0, "add", 2, None), *done(0, "read", None, 1)], 3),
        ([*done(0, "add", 2, None), *done(0, "read", None, 3)], 3),
        ([(0, "ask", "add", 2), *done(1, "read", None, 2)], None),
        (
            [
                (0, "ask", "add", 2),
                (0, "info", "add", 2),
                *done(1, "read", None, 0),
                *done(1, "read", None, 2),
            ],
            None,
        ),
        ([(0, "ask", "add", 2), (0, "fail", "add", 2), *done(1, "read", None, 2)], 3),
        ([(0, "ask", "add", -2), *done(1, "read", None, -2)], None),
        ([(0, "ask", "add", -2), *done(1, "read", None, 1)], 2),
        ([(1, "ask", "read", None), *done(0, "add", 2, None), (1, "ok", "read", 2)], None),
        ([(1, "ask", "read", None), (1, "ok", "read", 2), *done(0, "add", 2, None)], 1),
    ],
)
def test_counter(lines: list[Any], bad: int | None) -> None:
    found = check_counter(history(*lines))
    assert found.first_bad_event == bad
    assert found.verdict is (Verdict.VALID if bad is None else Verdict.INVALID)


def test_counter_bounds_are_those_of_adding_up_every_time() -> None:
    for seed in range(200):
        recorded = _counted(Random(seed))
        assert check_counter(recorded).first_bad_event == _slow_counter(recorded), (
            f"seed {seed}: {recorded.events}"
        )


def _counted(random: Random) -> History:
    recorded, busy = History(), dict[int, str]()
    for time in range(30):
        process = random.randrange(4)
        f = busy.pop(process, None)
        if f is None:
            busy[process] = random.choice(["add", "read"])
            recorded.invoke(process, busy[process], random.randrange(-3, 4), time=time)
        elif f == "read":
            recorded.ok(process, random.randrange(-4, 5), time=time)
        else:
            match random.randrange(3):
                case 0:
                    recorded.ok(process, time=time)
                case 1:
                    recorded.fail(process, time=time)
                case _:
                    recorded.info(process, time=time)
    return recorded


def _slow_counter(recorded: History) -> int | None:
    bad = []
    operations = recorded.operations()
    adds = [each for each in operations if each.f == "add" and each.outcome.value != "fail"]
    for read in operations:
        if read.f != "read" or read.outcome.value != "ok" or read.returned is None:
            continue
        sure = [each.argument for each in adds if each.returned is not None and each.returned < read.invoked]
        may = [
            each.argument
            for each in adds
            if each.invoked < read.returned
            and not (each.returned is not None and each.returned < read.invoked)
        ]
        low = sum(sure) + sum(min(each, 0) for each in may)
        high = sum(sure) + sum(max(each, 0) for each in may)
        if not low <= read.result <= high:
            bad.append(read.returned)
    return min(bad, default=None)


# ------------------------------------------------------------------------------------------------ unique ids
def test_unique_ids() -> None:
    one, again = done(0, "generate", None, 5), done(1, "generate", None, 5)
    assert _judged(check_unique_ids(history(*one, *done(1, "generate", None, 6)))) == ("valid", (), None)
    assert _judged(check_unique_ids(history(*one, *again))) == ("invalid", ("duplicate",), 3)
    failed = [(1, "ask", "generate", None), (1, "fail", "generate", 5)]
    assert check_unique_ids(history(*one, *failed)).verdict is Verdict.VALID
    assert check_unique_ids(history()).verdict is Verdict.UNKNOWN


# ----------------------------------------------------------------------------------------------- total queue
PUT = done(0, "enqueue", 1, 1)


@pytest.mark.parametrize(
    "name, lines, expected",
    [
        ("in and out", [*PUT, *done(1, "dequeue", None, 1)], ("valid", (), None)),
        ("drained", [*PUT, *done(1, "drain", None, [1])], ("valid", (), None)),
        ("lost", [*PUT, *done(1, "dequeue", None, None)], ("invalid", ("lost",), None)),
        ("perhaps taken by one never answered", [*PUT, (1, "ask", "dequeue", None)], ("unknown", (), None)),
        (
            "lost, more than were perhaps taken",
            [*PUT, *done(0, "enqueue", 2, 2), (1, "ask", "dequeue", None)],
            ("invalid", ("lost",), None),
        ),
        ("invented", [*done(1, "dequeue", None, 3)], ("invalid", ("unexpected",), 1)),
        (
            "enqueue failed",
            [(0, "ask", "enqueue", 1), (0, "fail", "enqueue", 1), *done(1, "dequeue", None, 1)],
            ("invalid", ("unexpected",), 3),
        ),
        (
            "twice",
            [*PUT, *done(1, "dequeue", None, 1), *done(1, "dequeue", None, 1)],
            ("invalid", ("duplicate",), 5),
        ),
        (
            "enqueued twice",
            [*PUT, *PUT, *done(1, "dequeue", None, 1), *done(1, "dequeue", None, 1)],
            ("valid", (), None),
        ),
        ("recovered", [(0, "ask", "enqueue", 1), *done(1, "dequeue", None, 1)], ("valid", (), None)),
    ],
)
def test_total_queue(name: str, lines: list[Any], expected: Any) -> None:
    assert _judged(check_total_queue(history(*lines))) == expected


def test_a_queue_may_promise_at_least_once() -> None:
    lines = [*PUT, *done(1, "dequeue", None, 1), *done(1, "dequeue", None, 1)]
    assert check_total_queue(history(*lines), at_least_once=True).verdict is Verdict.VALID


# ----------------------------------------------------------------------------------------------- fenced lock
def _grant(process: int, token: int | None, key: Any = None) -> list[tuple[Any, ...]]:
    return done(process, "acquire", None, token, key)


def _release(process: int) -> list[tuple[Any, ...]]:
    return done(process, "release", None, None)


@pytest.mark.parametrize(
    "name, lines, leases, expected",
    [
        ("one after the other", [*_grant(0, 1), *_release(0), *_grant(1, 2)], False, ("valid", (), None)),
        ("two holders", [*_grant(0, 1), *_grant(1, 2)], False, ("invalid", ("two-holders",), 3)),
        ("a lease ran out", [*_grant(0, 1), *_grant(1, 2)], True, ("valid", (), None)),
        ("two locks", [*_grant(0, 1, "a"), *_grant(1, 1, "b")], False, ("valid", (), None)),
        ("not granted", [*_grant(0, 1), *_grant(1, None)], False, ("valid", (), None)),
        (
            "released while it was granted",
            [*_grant(0, 1), (0, "ask", "release", None), *_grant(1, 2)],
            False,
            ("valid", (), None),
        ),
        (
            "released too late",
            [*_grant(0, 1), *_grant(1, 2), *_release(0)],
            False,
            ("invalid", ("two-holders",), 3),
        ),
        (
            "the third holder",
            [
                *_grant(0, 1),
                (1, "ask", "acquire", None),
                *_release(0),
                (1, "ok", "acquire", 2),
                *_grant(2, 3),
            ],
            False,
            ("invalid", ("two-holders",), 7),
        ),
        (
            "token repeated",
            [*_grant(0, 1), *_release(0), *_grant(1, 1)],
            False,
            ("invalid", ("token-repeated",), 5),
        ),
        (
            "token smaller",
            [*_grant(0, 2), *_release(0), *_grant(1, 1)],
            False,
            ("invalid", ("token-not-growing",), 5),
        ),
        (
            "tokens of grants at one time",
            [(0, "ask", "acquire", None), *_grant(1, 1), (0, "ok", "acquire", 0)],
            True,
            ("valid", (), None),
        ),
        (
            "old token used",
            [*done(0, "use", 2, None), *done(1, "use", 1, None)],
            True,
            ("invalid", ("stale-use",), 3),
        ),
        (
            "old token refused",
            [*done(0, "use", 2, None), (1, "ask", "use", 1), (1, "fail", "use", 1)],
            True,
            ("valid", (), None),
        ),
        (
            "old token used at the same time",
            [(0, "ask", "use", 2), *done(1, "use", 1, None), (0, "ok", "use", 2)],
            True,
            ("valid", (), None),
        ),
    ],
)
def test_fenced_lock(name: str, lines: list[Any], leases: bool, expected: Any) -> None:
    assert _judged(check_fenced_lock(history(*lines), leases=leases)) == expected


# --------------------------------------------------------------------------------------------------- verdicts
def test_verdicts_compose() -> None:
    valid, unknown, invalid = Verdict.VALID, Verdict.UNKNOWN, Verdict.INVALID
    assert Verdict.composed([]) is valid
    assert Verdict.composed([valid, valid]) is valid
    assert Verdict.composed([valid, unknown]) is unknown
    assert Verdict.composed([unknown, invalid, valid]) is invalid
