"""What happens at a failpoint: nothing, unless a rule names it; then what the rule says, when it says so."""

import asyncio
from random import Random

import pytest

from raftlog.failpoints import (
    INERT,
    Action,
    BadRule,
    Crash,
    Fail,
    FailpointCrash,
    FailpointError,
    Failpoints,
)
from raftlog.storage import DiskError
from raftlog.testing.loop import SimLoop, run

ASYNC, SYNC, KNOWS = "wal.append.after_sync", "replica.before_perform", "node.before_send"


def armed(points: Failpoints) -> bool:
    """A call, because it changes between two looks."""
    return points.armed


def never(name: str) -> None:
    raise AssertionError(f"crashed at {name}")


def test_the_inert_failpoints_are_not_armed_and_cannot_be() -> None:
    assert not INERT.armed
    with pytest.raises(AssertionError, match="belong to everybody"):
        INERT.arm("node.before_send=error")
    assert not INERT.armed
    assert not Failpoints().armed


def test_without_a_rule_a_place_is_counted_and_nothing_happens() -> None:
    seen: list[tuple[str, Action | None]] = []
    points = Failpoints(on_hit=lambda name, action: seen.append((name, action)), crash=never)
    assert armed(points)

    async def reach() -> None:
        await points.hit(ASYNC, DiskError)
        points.hit_now(SYNC)
        assert points.fails(KNOWS) is False

    run(reach())
    assert points.hits == {ASYNC: 1, SYNC: 1, KNOWS: 1}
    assert seen == [(ASYNC, None), (SYNC, None), (KNOWS, None)]
    assert points.fired == {}


def test_an_error_is_the_one_of_the_place() -> None:
    points = Failpoints(f"{ASYNC}=error;{SYNC}=error;{KNOWS}=error")
    with pytest.raises(DiskError, match=r"injected at the failpoint wal\.append\.after_sync"):
        run(points.hit(ASYNC, DiskError))
    with pytest.raises(FailpointError):
        points.hit_now(SYNC)
    assert points.fails(KNOWS)
    assert points.fired == {ASYNC: 1, SYNC: 1, KNOWS: 1}


def test_a_delay_lets_the_task_wait_or_the_process_stand_still() -> None:
    async def reach() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        points = Failpoints(f"{ASYNC}=delay(50ms);{SYNC}=delay(3s)", stall=loop.spend)
        ran: list[float] = []
        loop.call_later(0.01, lambda: ran.append(loop.time()))
        await points.hit(ASYNC, DiskError)
        assert (ran, loop.time()) == ([0.01], 0.05)
        loop.call_later(0.01, lambda: ran.append(loop.time()))
        points.hit_now(SYNC)
        assert (ran, loop.time()) == ([0.01], 3.05), "somebody else ran meanwhile"
        await asyncio.sleep(0)

    run(reach())


def test_a_crash_ends_the_process_before_anything_else_is_done_there() -> None:
    crashed: list[str] = []
    points = Failpoints(f"{SYNC}=crash", crash=crashed.append, on_hit=lambda name, action: None)
    with pytest.raises(FailpointCrash) as crash:
        points.hit_now(SYNC)
    assert crashed == [SYNC] == [crash.value.name]
    assert not isinstance(crash.value, Exception), "an `except Exception` would hold it up"


def test_what_unwinds_after_a_crash_passes_every_place() -> None:
    points = Failpoints(f"{SYNC}=crash;{KNOWS}=error", crash=lambda name: None)
    with pytest.raises(FailpointCrash):
        points.hit_now(SYNC)
    assert not armed(points)
    points.arm(f"{ASYNC}=crash")
    assert not armed(points), "a dead process was armed"


@pytest.mark.parametrize(
    "rule, strikes",
    [
        ("error", {1, 2, 3, 4, 5, 6}),
        ("error*2", {1, 2}),
        ("3rd:error", {3}),
        ("3rd:error*2", {3, 4}),
        ("5th:error*always", {5, 6}),
    ],
)
def test_hits_and_times_are_counted(rule: str, strikes: set[int]) -> None:
    points = Failpoints(f"{KNOWS}={rule}")
    assert {number for number in range(1, 7) if points.fails(KNOWS)} == strikes
    assert points.fired == {KNOWS: len(strikes)}


def test_a_chance_is_drawn_from_the_given_generator() -> None:
    def strikes(seed: int) -> list[bool]:
        points = Failpoints(f"{KNOWS}=20%:error", random=Random(seed))
        return [points.fails(KNOWS) for _ in range(500)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert 50 < sum(strikes(1)) < 150
    with pytest.raises(BadRule, match="draws lots"):
        Failpoints(f"{KNOWS}=20%:error")


def test_rules_can_be_armed_and_dropped_while_the_node_runs() -> None:
    points = Failpoints()
    points.arm(f"{KNOWS}=2nd:error")
    assert armed(points)
    assert [points.fails(KNOWS) for _ in range(3)] == [False, True, False]
    points.arm(f"{KNOWS}=2nd:error")
    assert [points.fails(KNOWS) for _ in range(3)] == [False, True, False], "hits are counted from the arming"
    assert points.has_rule(KNOWS)
    points.disarm(KNOWS)
    assert not armed(points)
    assert not points.has_rule(KNOWS)


def test_whoever_watches_sees_what_was_done() -> None:
    seen: list[Action | None] = []
    points = Failpoints(
        f"{KNOWS}=2nd:error;{SYNC}=crash",
        on_hit=lambda name, action: seen.append(action),
        crash=lambda name: None,
    )
    for _ in range(2):
        points.fails(KNOWS)
    with pytest.raises(FailpointCrash):
        points.hit_now(SYNC)
    assert seen == [None, Fail(), Crash()]


@pytest.mark.parametrize("wrong", [SYNC, KNOWS])
def test_a_place_uses_the_call_that_its_entry_in_the_list_says(wrong: str) -> None:
    points = Failpoints(f"{wrong}=error")
    with pytest.raises(AssertionError, match="nothing can wait"):
        run(points.hit(wrong, DiskError))
    with pytest.raises(AssertionError, match="is awaited"):
        points.hit_now(ASYNC)
