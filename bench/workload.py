"""The load: what is asked of whatever is measured, the same for all."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Protocol

import msgspec

VALUE = bytes(range(128))
"""128 bytes, the size every figure is quoted for."""

KEYS = tuple(f"bench/{number:06d}" for number in range(10_000))
"""Written again and again in turn, so that the store keeps one size while it is measured."""


class Target(Protocol):
    """A connected client. Every method raises when an answer is not a plain ok: a benchmark counts nothing else."""

    async def put(self, key: str, value: bytes) -> None:
        """One durable write."""
        ...

    async def put_many(self, pairs: Sequence[tuple[str, bytes]]) -> None:
        """Many durable writes in one call; returns when all of them are answered."""
        ...

    async def close(self) -> None:
        """Give up the connection."""
        ...


class Callers(msgspec.Struct, frozen=True, tag="callers"):
    """Tasks that each await one write after the other. One task alone is the sequential load."""

    tasks: int

    @property
    def name(self) -> str:
        """The row's name."""
        return "sequential" if self.tasks == 1 else f"{self.tasks} callers"


class Bulk(msgspec.Struct, frozen=True, tag="bulk"):
    """Tasks that each await one call of `batch` writes after the other."""

    tasks: int
    batch: int

    @property
    def name(self) -> str:
        """The row's name."""
        return f"bulk {self.tasks} x {self.batch}"


Workload = Callers | Bulk

STANDARD: tuple[Workload, ...] = (Callers(1), Callers(64), Callers(512), Bulk(4, 512))
"""The rows of the table."""


class Span(msgspec.Struct, frozen=True):
    """How long to ask: `warm` seconds that do not count, then `seconds` that do."""

    warm: float
    seconds: float


class Measure(msgspec.Struct, frozen=True):
    """What one run of a workload gave. Latencies are of whole calls (a bulk call is one), in milliseconds."""

    workload: str
    commands: int
    seconds: float
    p50_ms: float
    p99_ms: float
    worst_ms: float

    @property
    def rate(self) -> float:
        """Commands answered per second."""
        return self.commands / self.seconds


async def run(workload: Workload, target: Target, span: Span, window: "Window | None" = None) -> Measure:
    """Load `target` and measure. Raises what a call raises: a failed call makes the figure void."""
    window = window or Window()
    call, per_call = _call(workload, target)
    async with asyncio.TaskGroup() as callers:
        for _ in range(workload.tasks):
            callers.create_task(_ask(call, window))
        await asyncio.sleep(span.warm)
        window.open()
        await asyncio.sleep(span.seconds)
        window.close()
    return window.measure(workload.name, per_call)


class Window:
    """The counted part of a run: a call counts when its answer falls inside."""

    def __init__(self) -> None:
        self.closed = False
        self._counts = False
        self._opened_at = 0.0
        self._closed_at = 0.0
        self._latencies: list[float] = []

    def open(self) -> None:
        """From here on answers count."""
        self._counts = True
        self._opened_at = time.perf_counter()

    def close(self) -> None:
        """No answer counts any more, and callers stop asking."""
        self._closed_at = time.perf_counter()
        self._counts = False
        self.closed = True

    def answered(self, asked_at: float) -> None:
        """One call that was made at `asked_at` has been answered."""
        if self._counts:
            self._latencies.append(time.perf_counter() - asked_at)

    def measure(self, workload: str, per_call: int) -> Measure:
        """What was counted.

        Raises:
            NothingAnswered: the window saw no answer at all.
        """
        if not self._latencies:
            raise NothingAnswered(f"{workload}: no call was answered in the counted time: ask for longer")
        ordered = sorted(self._latencies)
        return Measure(
            workload=workload,
            commands=len(ordered) * per_call,
            seconds=self._closed_at - self._opened_at,
            p50_ms=percentile(ordered, 50) * 1e3,
            p99_ms=percentile(ordered, 99) * 1e3,
            worst_ms=ordered[-1] * 1e3,
        )


class NothingAnswered(Exception):
    """A run without a single answer measures nothing."""


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of 100 do not exceed (nearest rank). `ordered` is sorted and not empty."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


async def _ask(call: Callable[[], Awaitable[None]], window: Window) -> None:
    while not window.closed:
        asked_at = time.perf_counter()
        await call()
        window.answered(asked_at)


def _call(workload: Workload, target: Target) -> tuple[Callable[[], Awaitable[None]], int]:
    match workload:
        case Callers():
            return _single(target), 1
        case Bulk(batch=batch):
            return _batch(target, batch), batch


def _single(target: Target) -> Callable[[], Awaitable[None]]:
    turn = count()
    return lambda: target.put(KEYS[next(turn) % len(KEYS)], VALUE)


def _batch(target: Target, batch: int) -> Callable[[], Awaitable[None]]:
    turn = count()

    def call() -> Awaitable[None]:
        first = next(turn) * batch
        return target.put_many([(KEYS[n % len(KEYS)], VALUE) for n in range(first, first + batch)])

    return call
