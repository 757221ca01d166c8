"""Clocks drift, jump and restart, and say truly when a deadline is reached."""

from random import Random

from jepsen_like.sim.core.clock import WALL, Clock


def test_a_clock_shows_what_it_was_set_to() -> None:
    clock = Clock(5_000)
    assert (clock.monotonic(0), clock.monotonic(10)) == (5_000, 5_010)
    assert clock.wall(7) == WALL + 7


def test_a_fast_clock_gains_from_now_on() -> None:
    clock = Clock(0)
    clock.drift(5_000, 1_000_000)
    assert clock.monotonic(1_000_000) == 1_000_000
    assert clock.monotonic(3_000_000) == 3_010_000
    clock.drift(0, 3_000_000)
    assert clock.monotonic(4_000_000) == 4_010_000


def test_only_the_wall_clock_jumps() -> None:
    clock = Clock(0)
    clock.set_wall(-3_600_000_000)
    assert clock.monotonic(5) == 5
    assert clock.wall(5) == WALL + 5 - 3_600_000_000


def test_a_reboot_leaves_the_wall_clock_alone() -> None:
    clock = Clock(123, wall_ahead=55)
    before = clock.wall(1_000)
    clock.reboot(9, 1_000)
    assert clock.wall(1_000) == before
    assert clock.monotonic(1_001) == 10


def test_a_deadline_is_due_at_the_first_moment_that_shows_it() -> None:
    random = Random("clock")
    for _ in range(500):
        clock = Clock(random.choice((0, 10**7, 2**53 - 10**7)))
        now = random.randrange(10**7)
        clock.drift(random.choice((-5_000, -1, 0, 3, 500, 5_000)), now // 2)
        shows = clock.monotonic(now) + random.randrange(-10, 3_000_000)
        due = clock.true(shows, now)
        assert due >= now
        assert clock.monotonic(due) >= shows
        assert due == now or clock.monotonic(due - 1) < shows
