"""The virtual-time loop: time, order, and what it refuses."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog.testing.loop import SimDeadlock, SimLeak, SimLoop, run
from raftlog.testing.sealed import outside


def sim_loop() -> SimLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    return loop


def test_time_jumps_to_the_next_timer() -> None:
    async def main() -> list[int]:
        seen = []
        for delay in (1.5, 0.000_001, 86_400.0 * 365):
            await asyncio.sleep(delay)
            seen.append(sim_loop().micros)
        return seen

    assert run(main()) == [1_500_000, 1_500_001, 1_500_001 + 86_400 * 365 * 1_000_000]


@given(st.lists(st.integers(0, 20), max_size=40))
def test_timers_fire_by_time_and_then_in_the_order_they_were_set(delays: list[int]) -> None:
    async def main() -> list[tuple[int, int]]:
        fired: list[tuple[int, int]] = []
        for order, delay in enumerate(delays):
            sim_loop().call_later(delay / 1e6, lambda *at: fired.append(at), delay, order)
        await asyncio.sleep(1)
        return fired

    assert run(main()) == sorted((delay, order) for order, delay in enumerate(delays))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_a_timer_never_fires_before_its_microsecond(delays: list[float]) -> None:
    async def main() -> None:
        for delay in delays:
            due = round((sim_loop().time() + delay) * 1e6)
            await asyncio.sleep(delay)
            assert sim_loop().micros >= due

    run(main())


def test_an_aborted_group_cancels_its_tasks_in_the_order_of_their_making() -> None:
    async def main() -> list[int]:
        ended: list[int] = []

        async def wait(number: int) -> None:
            try:
                await asyncio.sleep(1_000)
            finally:
                ended.append(number)

        async def abort() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(40):
                    group.create_task(wait(number))
                await asyncio.sleep(1)
                raise KeyError

        with pytest.raises(ExceptionGroup):
            await abort()
        return ended

    assert run(main()) == list(range(40))


def test_equal_programs_run_equally_under_any_hash_seed() -> None:
    program = textwrap.dedent(
        """
        import asyncio, random
        from raftlog.testing.loop import run

        async def main():
            seen, draw = [], random.Random(7)
            async def work(name):
                for _ in range(5):
                    await asyncio.sleep(draw.random())
                    seen.append((asyncio.get_running_loop().micros, name, asyncio.current_task().get_name()))
            async with asyncio.TaskGroup() as group:
                for name in ["a", "b", "c", "dd", "eee"]:
                    group.create_task(work(name))
                done, pending = await asyncio.wait([asyncio.create_task(work(str(n))) for n in range(20)])
                seen.append([task.get_name() for task in done])
            print(seen)

        run(main())
        """
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1


def test_a_deadlock_names_the_tasks_that_wait() -> None:
    async def for_ever() -> None:
        await sim_loop().create_future()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(for_ever(), name="the consumer")

    with pytest.raises(SimDeadlock, match=r"the consumer: .*for_ever") as caught:
        run(main(), seed=42)
    assert "under seed 42" in caught.value.__notes__[0]


def test_a_task_left_behind_is_named() -> None:
    async def for_ever() -> None:
        await asyncio.sleep(1_000)

    async def main() -> None:
        _ = sim_loop().create_task(for_ever(), name="an orphan")
        await asyncio.sleep(1)

    with pytest.raises(SimLeak, match="an orphan"):
        run(main())


def test_a_failure_that_nobody_awaited_fails_the_run() -> None:
    async def fail() -> None:
        raise ValueError("nobody looked")

    async def main() -> None:
        _ = sim_loop().create_task(fail())
        await asyncio.sleep(1)

    with pytest.raises(ValueError, match="nobody looked"):
        run(main())


async def _connect() -> None:
    await asyncio.open_connection("localhost", 1)


async def _thread() -> None:
    await asyncio.to_thread(print)


async def _process() -> None:
    await asyncio.create_subprocess_exec("true")


@pytest.mark.parametrize("escape", [_connect(), _thread(), _process()], ids=["socket", "thread", "process"])
def test_threads_and_real_io_are_refused(escape: Coroutine[Any, Any, None]) -> None:
    with pytest.raises(RuntimeError, match="inside a simulation: use the port's in-memory twin"):
        run(escape)


def test_other_threads_may_not_call_in() -> None:
    async def main() -> list[BaseException]:
        loop, caught = sim_loop(), list[BaseException]()

        def call_in() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except RuntimeError as error:
                caught.append(error)

        other = threading.Thread(target=call_in)
        with outside():
            other.start()
            other.join()
        return caught

    assert "another thread" in str(run(main())[0])


def test_a_timeout_takes_virtual_time_only() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3_600):
                await asyncio.sleep(7_200)
        return sim_loop().time()

    assert run(main()) == 3_600
