"""Nothing real gets into a simulation: clocks, entropy, threads; whoever tries is named."""
# ruff: noqa: PLW0108 - each lambda looks its function up when it is called, as the code that must be caught does

import logging
import os
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from random import Random
from random import choice as choose  # noqa: TID251 - this is what must be refused
from time import perf_counter as stopwatch

import pytest

from raftlog.clock import SystemClock
from raftlog.testing.loop import run
from raftlog.testing.sealed import Unsealed, outside, sealed

ESCAPES: dict[str, Callable[[], object]] = {
    "time": lambda: time.time(),
    "by name": lambda: stopwatch(),
    "monotonic": lambda: time.monotonic_ns(),
    "sleep": lambda: time.sleep(0),
    "system clock": lambda: SystemClock().monotonic(),
    "system entropy": lambda: SystemClock().entropy(),
    "urandom": lambda: os.urandom(1),
    "module functions": lambda: random.random(),  # noqa: TID251 - this is what must be refused
    "module function by name": lambda: choose("ab"),
    "an unseeded generator": lambda: Random(),
    "secrets": lambda: secrets.token_bytes(1),
    "uuid": lambda: uuid.uuid4(),
    "a thread": lambda: threading.Thread(target=int).start(),
}


async def _do(escape: Callable[[], object]) -> object:
    return escape()


@pytest.mark.parametrize("name", sorted(ESCAPES))
def test_what_is_real_is_refused_and_the_culprit_named(name: str) -> None:
    with pytest.raises(Unsealed, match=r"inside a simulation: no two runs would be alike") as refused:
        run(_do(ESCAPES[name]))
    assert "test_sealed.py" in str(refused.value) or "clock.py" in str(refused.value)


def test_a_clock_called_through_its_module_is_refused() -> None:
    with pytest.raises(Unsealed, match=r"time\.time"):
        run(_do(lambda: time.time()))


def test_everything_is_back_afterwards_also_after_a_failure() -> None:
    before = (time.time, os.urandom, random.random, threading.Thread.start, Random.seed, stopwatch)  # noqa: TID251
    with pytest.raises(Unsealed):
        run(_do(lambda: time.time()))
    after = (time.time, os.urandom, random.random, threading.Thread.start, Random.seed, stopwatch)  # noqa: TID251
    assert before == after
    assert Random().random() < 1, "an unseeded generator is nobody's business out here"


def test_seeded_generators_are_what_a_simulation_uses() -> None:
    assert run(_do(lambda: Random(7).random())) == Random(7).random()


def test_log_records_may_carry_the_time() -> None:
    record = run(_do(lambda: logging.makeLogRecord({})))
    assert isinstance(record, logging.LogRecord)


def test_observers_step_out_and_other_threads_never_were_inside() -> None:
    seen: list[float] = []
    go, done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        go.wait()
        seen.append(time.monotonic())
        done.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with sealed():
        go.set()
        done.wait()
        with outside():
            seen.append(time.monotonic())
        with pytest.raises(Unsealed):
            time.monotonic()
    thread.join()
    assert len(seen) == 2


def test_a_simulation_inside_a_simulation_keeps_the_seal() -> None:
    with sealed():
        with sealed():
            pass
        with pytest.raises(Unsealed):
            time.time()
