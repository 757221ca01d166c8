"""What each model allows, one step at a time: the brute force of the other tests asks the same models."""

from typing import Any

import pytest

from jepsen_like.check import (
    ILLEGAL,
    MODELS,
    UNKNOWN,
    CasRegister,
    Counter,
    GrowSet,
    KeyValue,
    Misused,
    Model,
    MultiRegister,
    Mutex,
    Queue,
    Register,
    check_linearizable,
)
from tests.check.lines import history

XY = (("x", 0), ("y", 1))


@pytest.mark.parametrize(
    "model, state, f, argument, result, after",
    [
        (Register(), 1, "read", None, 1, 1),
        (Register(), 1, "read", None, 2, ILLEGAL),
        (Register(), 1, "read", None, None, ILLEGAL),
        (Register(), 1, "read", None, UNKNOWN, 1),
        (Register(), 1, "write", 2, None, 2),
        (CasRegister(), 1, "read", None, 2, ILLEGAL),
        (CasRegister(), 1, "cas", (1, 2), (1, 2), 2),
        (CasRegister(), 1, "cas", (1, 2), True, 2),
        (CasRegister(), 1, "cas", (3, 2), True, ILLEGAL),
        (CasRegister(), 1, "cas", (3, 2), False, 1),
        (CasRegister(), 1, "cas", (1, 2), False, ILLEGAL),
        (CasRegister(), 1, "cas", (1, 2), UNKNOWN, 2),
        (CasRegister(), 1, "cas", (3, 2), UNKNOWN, 1),
        (Mutex(), False, "acquire", None, None, True),
        (Mutex(), True, "acquire", None, None, ILLEGAL),
        (Mutex(), True, "acquire", None, False, True),
        (Mutex(), False, "acquire", None, False, ILLEGAL),
        (Mutex(), True, "acquire", None, UNKNOWN, ILLEGAL),
        (Mutex(), True, "release", None, None, False),
        (Mutex(), False, "release", None, None, ILLEGAL),
        (KeyValue(), "a", "get", None, "a", "a"),
        (KeyValue(), "a", "get", None, None, ILLEGAL),
        (KeyValue(), "a", "put", "b", None, "b"),
        (KeyValue(), "a", "append", "b", None, "ab"),
        (KeyValue(), None, "append", "b", None, "b"),
        (KeyValue(), (1,), "append", (2,), None, (1, 2)),
        (KeyValue(), "a", "delete", None, None, None),
        (KeyValue(""), "a", "delete", None, None, ""),
        (KeyValue(), "a", "cas", ("a", "b"), True, "b"),
        (KeyValue(), "a", "cas", ("a", "b"), False, ILLEGAL),
        (
            MultiRegister(),
            XY,
            "txn",
            (("r", "x", None), ("w", "y", 2)),
            (("r", "x", 0), ("w", "y", 2)),
            (("x", 0), ("y", 2)),
        ),
        (MultiRegister(), XY, "txn", (("r", "x", None),), (("r", "x", 5),), ILLEGAL),
        (
            MultiRegister(),
            XY,
            "txn",
            (("w", "x", 5), ("r", "x", None)),
            (("w", "x", 5), ("r", "x", 5)),
            (("x", 5), ("y", 1)),
        ),
        (MultiRegister(), XY, "txn", (("r", "z", None),), (("r", "z", None),), XY),
        (Queue(), (1, 2), "dequeue", None, 1, (2,)),
        (Queue(), (1, 2), "dequeue", None, 2, ILLEGAL),
        (Queue(), (1, 2), "dequeue", None, None, ILLEGAL),
        (Queue(), (), "dequeue", None, None, ()),
        (Queue(), (), "dequeue", None, 1, ILLEGAL),
        (Queue(), (1,), "dequeue", None, UNKNOWN, ()),
        (Queue(), (1,), "enqueue", 2, None, (1, 2)),
        (Counter(), 3, "add", 2, None, 5),
        (Counter(), 3, "increment", None, None, 4),
        (Counter(), 3, "decrement", 2, None, 1),
        (Counter(), 3, "read", None, 2, ILLEGAL),
        (GrowSet(), frozenset({1}), "add", 2, None, frozenset({1, 2})),
        (GrowSet(), frozenset({1}), "remove", 1, None, frozenset()),
        (GrowSet(), frozenset({1}), "read", None, frozenset(), ILLEGAL),
    ],
)
def test_one_step(model: Model, state: Any, f: str, argument: Any, result: Any, after: Any) -> None:
    assert model.step(state, f, argument, result) == after
    if model.observes(f, argument, result):
        assert after in (state, ILLEGAL), "an observer changes nothing"
    if model.overwrites(f, argument, result):
        assert model.landing(f, argument, result) == after
    goal = model.goal(f, argument, result)
    if goal is not ILLEGAL and model.observes(f, argument, result) and result is not UNKNOWN:
        assert (goal == state) == (after == state)


def test_jepsens_way_to_write_a_key() -> None:
    lines = history(
        (0, "ask", "put", ["k", "v"]),
        (0, "ok", "put", ["k", "v"]),
        (0, "ask", "get", ["k", None]),
        (0, "ok", "get", ["k", "w"]),
        (0, "ask", "cas", ["k", "v", "w"]),
    )
    found = check_linearizable(lines, KeyValue())
    assert found.first_bad_event == 3
    assert found.impossible is not None
    assert (found.impossible.partition, found.impossible.operation.result) == ("k", "w")


def test_maps_are_read_and_written_as_a_whole() -> None:
    lines = [
        (0, "ask", "write", {"x": 1, "y": 2}),
        (0, "ok", "write", None),
        (0, "ask", "read", None),
        (0, "ok", "read", {"y": 2, "x": 1}),
    ]
    assert check_linearizable(history(*lines), MultiRegister()).first_bad_event is None
    lines[-1] = (0, "ok", "read", {"y": 2, "x": 2})
    assert check_linearizable(history(*lines), MultiRegister()).first_bad_event == 3


@pytest.mark.parametrize("name", MODELS)
def test_every_model_refuses_what_it_does_not_know(name: str) -> None:
    model = MODELS[name]()
    with pytest.raises(Misused, match="not fly"):
        check_linearizable(history((0, "ask", "fly", None)), model)


def test_one_who_forgets_to_define_the_steps_is_told() -> None:
    with pytest.raises(NotImplementedError, match="define step"):
        check_linearizable(history((0, "ask", "x", None), (0, "ok", "x", None)), Model())
