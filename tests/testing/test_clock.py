"""The simulated clocks: virtual, skewed, suspended, seeded."""

import asyncio
from random import Random

import pytest

from raftlog.testing.clock import EPOCH, SimClock
from raftlog.testing.loop import SimLoop, run


@pytest.mark.parametrize("start", [0, 2**31 * 1_000, 2**53])
def test_monotonic_time_is_exact_from_any_start(start: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        clock = SimClock(loop, Random(1), start=start)
        await asyncio.sleep(0.000_003)
        assert clock.monotonic() == start + 3
        assert clock.wall() == EPOCH + 3

    run(main())


def test_setting_the_wall_clock_leaves_the_monotonic_one_alone() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        clock = SimClock(loop, Random(1))
        clock.skew_wall(-3_600_000_000)
        assert (clock.monotonic(), clock.wall()) == (0, EPOCH - 3_600_000_000)
        clock.suspend(20)
        assert (clock.monotonic(), clock.wall()) == (20, EPOCH - 3_600_000_000 + 20)

    run(main())


def test_entropy_is_the_seeds_own_and_never_zero() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        clock = SimClock(loop, Random(5))
        return [clock.entropy() for _ in range(100)]

    draws = run(main())
    assert draws == run(main())
    assert len(set(draws)) == 100
    assert all(0 < draw < 1 << 64 for draw in draws)
