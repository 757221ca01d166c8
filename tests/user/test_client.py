"""How calls and operations of a workload become a history."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jepsen_like.check import History
from jepsen_like.user.client import Recording, SimulatedClient, plain
from raftlog import CallFailed, CallUnknown
from raftlog.machine.result import Refusal
from raftlog.testing.loop import run
from statemachines.kv import Versioned
from tests.user.machines import Counter, Full

LOST = CallUnknown("Counter.add", Refusal("lost"))
REFUSED = CallFailed("Counter.add", Refusal("no leader"))


class Answers:
    """Stands in the place of a caller: answers as it is told, a millisecond later."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.nanos = 0

    async def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0.001)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(*answers: Any, wanted: Any = lambda f: True) -> SimulatedClient:
    caller = Answers(*answers)

    async def connected() -> Any:
        return caller

    return SimulatedClient("c1", connected, Recording(wanted), {})


def lines(history: History) -> list[str]:
    return [f"{event.process} {event.type.value} {event.f} {event.value}" for event in history]


def test_calls_are_named_like_methods_with_plain_arguments_and_results() -> None:
    async def main() -> None:
        one = client(3, 4, Full(1))
        await one.call(Counter.add, 3)
        await one.call(Counter.add, amount=1)
        with pytest.raises(Full):
            await one.call(Counter.add_up_to, 1)
        assert lines(one._recording.history) == [
            "c1 invoke add 3", "c1 ok add 3",
            "c1 invoke add 1", "c1 ok add 4",
            "c1 invoke add_up_to 1", "c1 fail add_up_to None",
        ]  # fmt: skip
        assert one.acknowledged == 2

    run(main())


def test_outcomes_are_told_apart() -> None:
    async def main() -> None:
        one = client(LOST, REFUSED)
        for error in (LOST, REFUSED):
            with pytest.raises(type(error)):
                await one.call(Counter.add, 1)
        assert lines(one._recording.history)[1::2] == ["c1 info add None", "c1 fail add None"]

    run(main())


def test_calls_at_once_are_several_processes() -> None:
    async def main() -> None:
        one = client(1, 2, 3)
        await asyncio.gather(one.call(Counter.add, 1), one.call(Counter.add, 1))
        await one.call(Counter.add, 1)
        processes = [event.process for event in one._recording.history]
        assert processes == ["c1", "c1/2", "c1", "c1/2", "c1", "c1"]

    run(main())


def test_what_the_model_does_not_want_is_not_recorded() -> None:
    async def main() -> None:
        one = client(1, wanted=lambda f: f == "read")
        await one.call(Counter.add, 1)
        assert len(one._recording.history) == 0

    run(main())


def test_an_operation_is_one_event_of_several_calls() -> None:
    async def main() -> None:
        one = client(1, 2)
        with one.operation("increment", [1]) as operation:
            value = await one.call(Counter.read)
            operation.answer(value + await one.call(Counter.add, 1))
        assert lines(one._recording.history) == ["c1 invoke increment (1,)", "c1 ok increment 3"]

    run(main())


async def read_and_add(one: SimulatedClient) -> None:
    with one.operation("increment"):
        await one.call(Counter.read)
        await one.call(Counter.add, 1)


async def add_twice(one: SimulatedClient) -> None:
    with one.operation("twice"):
        await one.call(Counter.add, 1)
        await one.call(Counter.add, 1)


@pytest.mark.parametrize(
    "answers, end",
    [
        ((1, REFUSED), "fail"),
        ((1, LOST), "info"),
        ((LOST,), "fail"),
    ],
)
def test_an_operation_that_breaks_did_not_happen_unless_a_command_of_it_may_have(
    answers: tuple[Any, ...], end: str
) -> None:
    async def main() -> None:
        one = client(*answers)
        with pytest.raises((CallFailed, CallUnknown)):
            await read_and_add(one)
        assert lines(one._recording.history)[-1] == f"c1 {end} increment None"

    run(main())


def test_an_operation_that_breaks_after_a_command_may_have_happened() -> None:
    async def main() -> None:
        one = client(1, REFUSED)
        with pytest.raises(CallFailed):
            await add_twice(one)
        assert lines(one._recording.history)[-1] == "c1 info twice None"

    run(main())


def test_a_recorded_value_is_a_copy_that_cannot_change() -> None:
    value = [1, {"a": [2]}]
    kept = plain(value)
    value.append(3)
    assert kept == (1, (("a", (2,)),))
    assert plain(Versioned(b"x", 3)) == plain(Versioned(b"x", 3))
    assert hash(plain(Versioned(b"x", 3)))
    assert plain(SimpleNamespace) is SimpleNamespace
    assert plain([Versioned(b"x", 3), {"k": Versioned(b"y", 4)}]) == ((b"x", 3), (("k", (b"y", 4)),))
