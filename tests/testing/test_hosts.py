"""A loop of several hosts: pausing one, clocks that run wrong, and an order that is drawn where nobody promises one."""

import asyncio
from functools import partial
from itertools import pairwise
from random import Random

import pytest

from raftlog.testing.clock import SimClock
from raftlog.testing.loop import MICROS, SimDeadlock, SimLoop, run
from raftlog.testing.network import SimNetwork, Weather


def sim_loop() -> SimLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    return loop


async def count(seen: list[float], ticks: int) -> None:
    """Note the time every second."""
    for _ in range(ticks):
        await asyncio.sleep(1.0)
        seen.append(sim_loop().time())


def test_a_paused_host_stands_still_and_others_do_not() -> None:
    async def main() -> tuple[list[float], list[float]]:
        loop, one, two = sim_loop(), list[float](), list[float]()
        works = [
            loop.create_task(count(seen, 4), context=loop.context_of(name))
            for name, seen in (("one", one), ("two", two))
        ]
        loop.call_exactly(1_500_000, loop.pause, "one")
        await asyncio.sleep(3.5)
        assert loop.paused("one")
        assert loop.waiting("one") == 1, "its timer has come due and waits"
        loop.resume("one")
        await asyncio.gather(*works)
        return one, two

    one, two = run(main())
    assert two == [1.0, 2.0, 3.0, 4.0]
    assert one == [1.0, 3.5, 4.5, 5.5]


def test_what_a_host_starts_belongs_to_it() -> None:
    async def main() -> list[float]:
        loop, seen = sim_loop(), list[float]()

        async def parent() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(count(seen, 1))

        work = loop.create_task(parent(), context=loop.context_of("one"))
        await asyncio.sleep(0.5)
        loop.pause("one")
        await asyncio.sleep(5)
        loop.resume("one")
        await work
        return seen

    assert run(main()) == [5.5]


@pytest.mark.parametrize("ppm", [-500_000, -500, 0, 500, 1_000_000])
def test_a_hosts_timers_and_its_clock_agree_about_how_wrong_they_are(ppm: int) -> None:
    async def main() -> int:
        loop = sim_loop()
        clock = SimClock(loop, Random(1), start=5, wall=0)
        clock.set_rate(ppm)
        loop.set_rate("one", ppm)
        begun = clock.monotonic()
        await loop.create_task(asyncio.sleep(10), context=loop.context_of("one"))
        assert abs(clock.monotonic() - begun - 10 * MICROS) <= 2
        assert clock.wall() == clock.monotonic() - 5
        return loop.micros

    assert abs(run(main()) - 10 * MICROS * MICROS // (MICROS + ppm)) <= 1


def test_a_clock_whose_rate_changes_never_jumps() -> None:
    async def main() -> None:
        clock = SimClock(sim_loop(), Random(1))
        shown = [clock.monotonic()]
        for ppm in (5_000, -5_000, 0, -500_000, 1):
            clock.set_rate(ppm)
            assert clock.monotonic() == shown[-1], "setting the rate moved it"
            await asyncio.sleep(0.1)
            shown.append(clock.monotonic())
        steps = [after - before for before, after in pairwise(shown)]
        assert steps == [100_500, 99_500, 100_000, 50_000, 100_000]

    run(main())


def mixed(seed: int) -> str:
    """In which order six hosts, and timers of one, get their turns at one moment."""

    async def main() -> str:
        loop, order = sim_loop(), list[str]()
        for name in "abcdef":
            for step in "12":
                loop.call_soon(order.append, name + step, context=loop.context_of(name))
        await asyncio.sleep(1)
        return " ".join(order)

    return run(main(), loop=SimLoop(Random(seed)))


def test_the_turns_of_hosts_are_drawn_and_each_keeps_its_own_order() -> None:
    orders = {mixed(seed) for seed in range(20)}
    assert len(orders) > 15, "the seed decides nothing"
    for order in orders:
        for name in "abcdef":
            assert order.index(name + "1") < order.index(name + "2"), f"asyncio promises this order: {order}"
    assert mixed(3) == mixed(3)


def due_together(seed: int | None) -> str:
    async def main() -> str:
        loop, order = sim_loop(), list[str]()
        for name in "abcdef":
            loop.call_later(1.0, order.append, name)
        await asyncio.sleep(2)
        return "".join(order)

    return run(main(), loop=SimLoop(None if seed is None else Random(seed)))


def test_timers_due_at_one_moment_run_in_a_drawn_order_or_in_that_of_their_making() -> None:
    assert len({due_together(seed) for seed in range(20)}) > 15
    assert due_together(None) == "abcdef"


def test_a_program_that_never_lets_time_pass_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftlog.testing.loop.STUCK_AFTER", 1_000)

    async def main() -> None:
        def again() -> None:
            sim_loop().call_soon(again)

        again()
        await asyncio.sleep(1)

    with pytest.raises(SimDeadlock, match="no time passes"):
        run(main())


def test_generators_that_nobody_finished_are_closed_in_the_order_they_were_begun() -> None:
    closed: list[int] = []

    async def numbers(name: int):  # type: ignore[no-untyped-def]
        try:
            yield name
        finally:
            closed.append(name)

    async def main() -> None:
        kept = [numbers(name) for name in range(8)]
        for each in kept:
            await anext(each)
        sim_loop().kept = kept  # type: ignore[attr-defined]

    run(main())
    assert closed == list(range(8))


def test_a_slow_way_is_slow_in_one_direction_only() -> None:
    async def main() -> list[tuple[str, int]]:
        loop, seen = sim_loop(), list[tuple[str, int]]()
        network = SimNetwork(Random(1), loop, Weather(delay=(100, 100)))
        network.slow("a", "b", 5_000)

        def note(ends: str) -> None:
            seen.append((ends, loop.micros))

        for origin, target in (("a", "b"), ("b", "a"), ("a", "c")):
            network.carry(origin, target, partial(note, origin + target))
        network.slow("a", "b", 0)
        network.carry("a", "b", partial(note, "again"))
        await asyncio.sleep(1)
        return sorted(seen)

    assert run(main()) == [("ab", 5_100), ("ac", 100), ("again", 100), ("ba", 100)]


def test_what_arrived_at_a_hung_host_before_a_cut_is_dropped_like_what_is_on_its_way() -> None:
    async def main() -> list[str]:
        network, seen = SimNetwork(Random(1), sim_loop(), Weather(delay=(100, 100))), list[str]()
        network.hang("b")
        network.carry("a", "b", lambda: seen.append("a"))
        network.carry("c", "b", lambda: seen.append("c"))
        await asyncio.sleep(1)
        network.cut("a", "b")
        network.resume("b")
        return seen

    assert run(main()) == ["c"]
