"""Linearizability: every model against brute force on small random histories, true and falsified."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from jepsen_like.check import (
    UNKNOWN,
    CasRegister,
    Counter,
    EventType,
    GrowSet,
    KeyValue,
    Model,
    MultiRegister,
    Mutex,
    Queue,
    Register,
    SequentialModel,
    Verdict,
    check_linearizable,
)
from tests.check.histories import Choice, falsified, first_bad_event, recorded

Answer = Callable[[Any, str, Any], Any]


def _register(random: Random) -> tuple[str, Any, Any]:
    return random.choice([("read", None, None), ("write", None, random.randrange(3))])


def _cas_register(random: Random) -> tuple[str, Any, Any]:
    return random.choice([_register(random), ("cas", None, [random.randrange(3), random.randrange(3)])])


def _comparisons(random: Random) -> tuple[str, Any, Any]:
    """Mostly comparisons, so that unanswered ones must be spent one after another."""
    compared = ("cas", None, [random.randrange(4), random.randrange(4)])
    return random.choice([_register(random), compared, compared, compared])


def _mutex(random: Random) -> tuple[str, Any, Any]:
    return random.choice(["acquire", "release"]), None, None


def _key_value(random: Random) -> tuple[str, Any, Any]:
    f = random.choice(["get", "put", "append", "delete", "cas"])
    value = [random.choice("ab"), random.choice("ab")] if f == "cas" else random.choice("ab")
    return f, random.choice("xy"), None if f in ("get", "delete") else value


def _multi_register(random: Random) -> tuple[str, Any, Any]:
    kind = random.choice(["r", "w", "rw"])
    return "txn", None, [[each, key, random.randrange(2)] for each, key in zip(kind * 2, "xy", strict=False)]


def _queue(random: Random) -> tuple[str, Any, Any]:
    return random.choice([("enqueue", None, random.randrange(3)), ("dequeue", None, None)])


def _distinct_queue(random: Random) -> tuple[str, Any, Any]:
    return random.choice([("enqueue", None, random.randrange(10**6)), ("dequeue", None, None)])


def _none_or_other(random: Random, truth: Any) -> Any:
    return None if truth is not None and random.random() < 0.7 else truth


def _counter(random: Random) -> tuple[str, Any, Any]:
    return random.choice(
        [("add", None, random.randrange(3)), ("decrement", None, None), ("read", None, None)]
    )


def _set(random: Random) -> tuple[str, Any, Any]:
    return random.choice([("add", None, random.randrange(3)), ("remove", None, 1), ("read", None, None)])


def _stored(state: Any, f: str, argument: Any) -> Any:
    """What a real object answers, for the models whose answers follow from the state."""
    match f:
        case "read" | "get":
            return sorted(state) if isinstance(state, frozenset) else state
        case "cas":
            return bool(state == argument[0])
        case "acquire" | "release":
            return bool(state) is (f == "release")
        case "dequeue":
            return state[0] if state else None
        case "txn":
            return _transacted(dict(state), argument)
        case _:
            return None


def _transacted(registers: dict[Any, Any], argument: Any) -> Any:
    done = []
    for kind, key, value in argument:
        if kind == "w":
            registers[key] = value
        done.append([kind, key, registers.get(key)])
    return done


class Balance(SequentialModel):
    """A user's own model: an account that refuses to be overdrawn."""

    initial = 1

    def apply(self, state: Any, f: str, argument: Any) -> tuple[Any, Any]:
        after = state + argument
        return (after, after) if after >= 0 else (state, "refused")


def _balance(random: Random) -> tuple[str, Any, Any]:
    return "move", None, random.choice([-1, -2, 1])


def _moved(state: Any, f: str, argument: Any) -> Any:
    return Balance().apply(state, f, argument)[1]


def _one_of(*values: Any) -> Callable[[Random, Any], Any]:
    return lambda random, truth: random.choice(values)


def _other_actions(random: Random, truth: Any) -> Any:
    return [[kind, key, value if kind == "w" else random.randrange(2)] for kind, key, value in truth]


CASES: dict[str, tuple[Model, Choice, Answer, Callable[[Random, Any], Any]]] = {
    "register": (Register(), _register, _stored, _one_of(0, 1, 2, None)),
    "register from 1": (Register(1), _register, _stored, _one_of(0, 1, 2, None)),
    "cas-register": (CasRegister(), _cas_register, _stored, _one_of(0, 1, 2, None, True, False)),
    "chains of comparisons": (CasRegister(0), _comparisons, _stored, _one_of(0, 1, 2, 3, True, False)),
    "mutex": (Mutex(), _mutex, _stored, _one_of(True, False)),
    "kv": (KeyValue(), _key_value, _stored, _one_of("", "a", "b", "ab", None, True, False)),
    "kv of text": (KeyValue(""), _key_value, _stored, _one_of("", "a", "b", "ab", None, True, False)),
    "queue": (Queue(), _queue, _stored, _one_of(0, 1, 2, None)),
    "queue of distinct values": (Queue(), _distinct_queue, _stored, _none_or_other),
    "counter": (Counter(), _counter, _stored, _one_of(0, 1, 2, 3, -1)),
    "set": (GrowSet(), _set, _stored, _one_of([], [0], [1], [0, 1], [0, 1, 2])),
    "multi-register": (
        MultiRegister({"x": 0}),
        _multi_register,
        _stored,
        _other_actions,
    ),
    "one's own": (Balance(), _balance, _moved, _one_of(0, 1, 2, "refused")),
}
SEEDS = 200


@pytest.mark.parametrize("case", CASES)
def test_verdicts_and_first_bad_events_are_those_of_brute_force(case: str) -> None:
    invalid = sum(_compare(case, seed) for seed in range(SEEDS))
    assert invalid > SEEDS / 10, f"only {invalid} falsified histories of {case} were invalid: too tame"


def _compare(case: str, seed: int) -> int:
    """Compare a true history and three lies upon it with brute force; how many were invalid."""
    model, choose, answer, lies = CASES[case]
    random = Random(f"{case} {seed}")
    history = recorded(
        random,
        model,
        choose,
        answer,
        operations=random.randrange(2, 8),
        processes=random.randrange(1, 5),
        lost=random.choice([0.1, 0.2, 0.6]),
    )
    replay = (
        f'replay: python -c "from tests.check.test_linearizable import _compare; _compare({case!r}, {seed})"'
    )
    invalid = 0
    for lie in range(4):
        expected = first_bad_event(model, history)
        found = check_linearizable(history, model)
        assert found.first_bad_event == expected, (
            f"after {lie} lies: {found}, brute force: {expected}; {replay}"
        )
        assert found.verdict is (Verdict.VALID if expected is None else Verdict.INVALID), replay
        assert lie > 0 or expected is None, f"a true history was called false; {replay}"
        if found.verdict is Verdict.VALID:
            _assert_explains(model, found.orders, replay)
        invalid += expected is not None
        history = falsified(random, history, lies)
    return invalid


def _assert_explains(model: Model, orders: Any, replay: str) -> None:
    """The orders handed out are legal, keep real time and hold every answered operation."""
    for order in orders.values():
        state = model.initial
        for place, operation in enumerate(order):
            state = model.step(state, operation.f, operation.argument, operation.result)
            early = [
                each
                for each in order[place + 1 :]
                if each.returned is not None and each.returned < operation.invoked
            ]
            assert not early, f"{early} ended before {operation} began and come later; {replay}"
            assert operation.outcome is not EventType.FAIL, replay
            assert (operation.result is UNKNOWN) == (operation.outcome is EventType.INFO), replay
