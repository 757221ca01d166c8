"""List-append transactions: every anomaly planted and named, and brute force over all serial orders."""

from itertools import pairwise, permutations
from random import Random
from typing import Any

import pytest

from jepsen_like.check import (
    CONSISTENCY,
    EventType,
    History,
    Misused,
    Operation,
    Verdict,
    check_list_append,
)
from jepsen_like.check.graph import Reach, components, shortest
from tests.check.lines import done, history


def _actions(words: str) -> list[list[Any]]:
    """`ax1 rx rx12`: append 1 to x, read x as nothing, read x as [1 2]. Lists and elements have one letter."""
    found: list[list[Any]] = []
    for word in words.split():
        if word[0] == "a":
            found.append(["append", word[1], int(word[2:])])
        else:
            found.append(["r", word[1], [int(each) for each in word[2:]]])
    return found


def _txn(process: int, words: str) -> list[tuple[Any, ...]]:
    return done(process, "txn", _actions(words), _actions(words))


def _together(*words: str) -> list[tuple[Any, ...]]:
    """Transactions of processes 0, 1, 2, ..., all under way at the same time."""
    asked = [(process, "ask", "txn", _actions(each)) for process, each in enumerate(words)]
    return [*asked, *((process, "ok", "txn", _actions(each)) for process, each in enumerate(words))]


def _failed(process: int, words: str) -> list[tuple[Any, ...]]:
    return [(process, "ask", "txn", _actions(words)), (process, "fail", "txn", None)]


def _kinds(*lines: tuple[Any, ...], consistency: str = "strict-serializable") -> tuple[str, ...]:
    return check_list_append(history(*lines), consistency=consistency).kinds()


@pytest.mark.parametrize(
    "kind, lines",
    [
        ("internal", _txn(0, "rx ax1 rx")),
        ("internal", _txn(0, "ax1 rx2")),
        ("internal", [*_txn(0, "ax1"), *_txn(0, "rx1 rx")]),
        ("phantom", _txn(0, "rx1")),
        ("duplicate", [*_txn(0, "ax1"), *_txn(0, "rx11")]),
        ("incompatible-order", [*_together("ax1", "ax2"), *_txn(0, "rx12"), *_txn(1, "rx2")]),
        ("incompatible-order", [*_txn(0, "ax1 ax2"), *_txn(1, "rx21")]),
        ("incompatible-order", [*_txn(0, "ax1 ax2"), *_txn(1, "rx2")]),
        ("G1a", [*_failed(0, "ax1"), *_txn(1, "rx1")]),
        ("G1b", _together("ax1 ax2", "rx1")),
        ("G0", [*_together("ax1 ay1", "ax2 ay2"), *_txn(2, "rx12 ry21")]),
        ("G0", [*_together("ax1 ax3", "ax2"), *_txn(2, "rx123")]),
        ("G1c", _together("ax1 ry1", "ay1 rx1")),
        ("G-single", [*_together("ax1 ay1", "rx ry1")]),
        ("G2", _together("rx ay1", "ry ax1")),
        ("lost-update", [*_together("rx ax1", "rx ax2"), *_txn(2, "rx12")]),
        ("lost-update", [*_together("rx ax1", "rx ax2"), *_txn(2, "rx1")]),
        ("G-single-process", [*_txn(0, "ax1"), *_txn(0, "rx")]),
        ("G0-process", [*_txn(0, "ax1"), *_txn(0, "ax2"), *_txn(1, "rx21")]),
        ("G1c-process", [*_together("rx1", ""), *_txn(0, "ax1")]),
        ("G-single-realtime", [*_txn(0, "ax1"), *_txn(1, "rx")]),
        ("G-single-realtime", [*_txn(0, "ax1"), *_failed(1, "ax2"), *_txn(2, "rx")]),
        ("G-single-realtime", [*_together("ax1", "ay1"), *_txn(2, "rx ry1")]),
        ("G0-realtime", [*_txn(0, "ax1"), *_txn(1, "ax2"), *_txn(2, "rx21")]),
        ("G1c-realtime", [*_txn(0, "rx1"), *_txn(1, "ax1")]),
        (
            "G2-process",
            [
                (2, "ask", "txn", _actions("ax1")),
                (3, "ask", "txn", _actions("ay1")),
                *_txn(0, "rx1"),
                *_txn(0, "ry"),
                *_txn(1, "ry1"),
                *_txn(1, "rx"),
                (2, "ok", "txn", _actions("ax1")),
                (3, "ok", "txn", _actions("ay1")),
            ],
        ),
    ],
)
def test_every_anomaly_is_named(kind: str, lines: list[tuple[Any, ...]]) -> None:
    found = check_list_append(history(*lines))
    assert kind in found.kinds(), found
    assert found.verdict is Verdict.INVALID


@pytest.mark.parametrize(
    "lines",
    [
        [],
        _txn(0, "rx ax1 rx1 ax2 rx12"),
        _txn(0, "ax1 rx1 ax2 rx12 ax3 rx123"),
        [*_txn(0, "ax1 ax2"), *_txn(1, "ax3 rx123 ax4 rx1234")],
        [*_txn(0, "ax1"), *_txn(1, "rx1 ax2"), *_txn(2, "rx12")],
        [*_together("ax1 ay1", "rx1 ry1")],
        [*_together("ax1 ay1", "rx ry")],
        [*_failed(0, "ax1"), *_txn(1, "rx")],
        [(0, "ask", "txn", _actions("ax1")), *_txn(1, "rx"), *_txn(1, "rx1")],
        [(0, "ask", "txn", _actions("ax1")), (0, "info", "txn", None), *_txn(1, "rx")],
        # Unanswered, so it may take effect after what its process did next.
        [(0, "ask", "txn", _actions("ax1")), (0, "info", "txn", None), *_txn(0, "ax2"), *_txn(1, "rx21")],
    ],
)
def test_serializable_histories_pass(lines: list[tuple[Any, ...]]) -> None:
    found = check_list_append(history(*lines))
    assert found.verdict is Verdict.VALID, found


def test_what_a_level_allows_is_a_remark() -> None:
    skew = history(*_together("rx ay1", "ry ax1"))
    assert check_list_append(skew, consistency="serializable").verdict is Verdict.INVALID
    allowed = check_list_append(skew, consistency="snapshot-isolation")
    assert allowed.verdict is Verdict.VALID
    assert {each.kind for each in allowed.remarks} == {"G2"}
    stale = (*_txn(0, "ax1"), *_txn(1, "rx"))
    assert _kinds(*stale, consistency="strong-session-serializable") == ()
    session = (*_txn(0, "ax1"), *_txn(0, "rx"))
    assert _kinds(*session, consistency="strong-session-serializable") == ("G-single-process",)
    assert _kinds(*session, consistency="serializable") == ()
    assert _kinds(*_together("ax1 ay1", "rx ry1"), consistency="read-committed") == ()
    assert set(CONSISTENCY) >= {"serializable", "strict-serializable"}


def test_elements_that_cannot_be_traced_are_refused() -> None:
    with pytest.raises(Misused, match="appended to 'x' twice"):
        check_list_append(history(*_txn(0, "ax1"), *_txn(1, "ax1")))


# ----------------------------------------------------------------------------------------- against brute force
def test_verdicts_are_those_of_trying_all_orders() -> None:
    invalid = 0
    for seed in range(400):
        invalid += _compare(seed)
    assert 50 < invalid < 350, (
        f"{invalid} of 400 histories were not strictly serializable: too tame or too wild"
    )


def _compare(seed: int) -> bool:
    """A random history that ends with a read of every list, so that all orders are known; True if it is invalid."""
    random = Random(f"transactions {seed}")
    recorded = _transacted(random, lie=random.random() < 0.7)
    expected = _serializable(recorded.operations(), real_time=True)
    found = check_list_append(recorded)
    replay = f'replay: python -c "from tests.check.test_transactions import _compare; _compare({seed})"'
    assert (found.verdict is Verdict.VALID) == expected, f"{found}\n{recorded.events}\n{replay}"
    plain = check_list_append(recorded, consistency="serializable").verdict is Verdict.VALID
    assert plain == _serializable(recorded.operations(), real_time=False), (
        f"{found}\n{recorded.events}\n{replay}"
    )
    return not expected


def _transacted(random: Random, *, lie: bool) -> History:
    recorded, lists, fresh = History(), {"x": [], "y": []}, iter(range(1, 100))  # type: ignore[var-annotated]
    waiting: dict[int, list[list[Any]]] = {}
    answers: dict[int, list[list[Any]]] = {}
    left, time = random.randrange(2, 6), 0
    while left or waiting or answers:
        time += 1
        process = random.randrange(3)
        if process in answers:
            recorded.ok(process, answers.pop(process), time=time)
        elif process in waiting:
            answers[process] = _performed(random, waiting.pop(process), lists, lie=lie)
        elif left:
            waiting[process] = [
                ["append", random.choice("xy"), next(fresh)]
                if random.random() < 0.5
                else ["r", random.choice("xy"), None]
                for _ in range(random.randrange(1, 6))
            ]
            recorded.invoke(process, "txn", waiting[process], time=time)
            left -= 1
    final = [["r", key, list(lists[key])] for key in "xy"]
    recorded.invoke(9, "txn", final, time=time)
    recorded.ok(9, final, time=time)
    return recorded


def _performed(
    random: Random, asked: list[list[Any]], lists: dict[str, list[int]], *, lie: bool
) -> list[list[Any]]:
    """Do it on the lists; a liar reads old states, or appends a little too early in the list."""
    done_so_far = []
    for kind, key, value in asked:
        if kind == "append":
            back = random.randrange(2) if lie and lists[key] and random.random() < 0.3 else 0
            lists[key].insert(len(lists[key]) - back, value)
            done_so_far.append([kind, key, value])
        else:
            state = list(lists[key])
            if lie and random.random() < 0.4:
                state = state[: len(state) - random.randrange(2)] if state else state
            done_so_far.append([kind, key, state])
    return done_so_far


def _serializable(operations: list[Operation], *, real_time: bool) -> bool:
    wanted = [each for each in operations if each.outcome is EventType.OK]
    return any(_explains(order, real_time=real_time) for order in permutations(wanted))


def _explains(order: tuple[Operation, ...], *, real_time: bool) -> bool:
    lists: dict[str, list[int]] = {}
    for place, operation in enumerate(order):
        if real_time and any(
            later.returned is not None and later.returned < operation.invoked for later in order[place:]
        ):
            return False
        for kind, key, value in operation.result:
            if kind == "append":
                lists.setdefault(key, []).append(value)
            elif lists.get(key, []) != value:
                return False
    return True


# ------------------------------------------------------------------------------------------------------ graphs
def test_components_ways_and_reach_are_those_of_walking() -> None:
    for seed in range(200):
        random = Random(seed)
        size = random.randrange(1, 9)
        edges = {
            node: sorted(random.sample(range(size), random.randrange(min(3, size) + 1)))
            for node in range(size)
        }
        reached = {node: _walked(node, edges) for node in range(size)}
        reach = Reach(range(size), edges.__getitem__)
        found = components(range(size), edges.__getitem__)
        assert sorted(node for each in found for node in each) == list(range(size)), f"seed {seed}"
        for members in found:
            for node in members:
                same = {
                    other for other in range(size) if other in reached[node] and node in reached[other]
                } | {node}
                assert set(members) == same, f"seed {seed}"
        for start in range(size):
            for end in range(size):
                way = shortest(start, end, edges.__getitem__)
                assert (way is not None) == (end in reached[start]) == reach.leads(start, end), f"seed {seed}"
                if way is not None:
                    assert (way[0], way[-1]) == (start, end), f"seed {seed}"
                    assert all(after in edges[before] for before, after in pairwise(way)), f"seed {seed}"


def _walked(start: int, edges: dict[int, list[int]]) -> set[int]:
    reached: set[int] = set()
    todo = list(edges[start])
    while todo:
        node = todo.pop()
        if node not in reached:
            reached.add(node)
            todo += edges[node]
    return reached
