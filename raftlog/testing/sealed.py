"""Keeps a simulation to itself: inside, real clocks, entropy and threads are refused, and the refusal names the caller.

Python code is stopped wherever it reaches for one of them: through the module (`time.time()`) or through a name that it
imported earlier (`from time import time`). Not covered: functions that were put into some structure before, and clocks
that C code reads by itself, such as `datetime.now()`. A machine that uses one shows in the replicas' digests instead.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

_OBSERVERS = frozenset(
    {"logging", "_pytest", "pytest", "pluggy", "coverage", "hypothesis", "pdb", "bdb", "cProfile"}
)
"""Whose clocks show in nothing that is simulated: log records carry a time, and debuggers wait for people."""

_CLOCKS = (
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "process_time_ns",
    "thread_time",
    "thread_time_ns",
    "clock_gettime",
    "clock_gettime_ns",
    "localtime",
    "gmtime",
    "sleep",
)
_LOTS = (
    "betavariate",
    "choice",
    "choices",
    "expovariate",
    "gauss",
    "getrandbits",
    "normalvariate",
    "randbytes",
    "randint",
    "random",
    "randrange",
    "sample",
    "seed",
    "shuffle",
    "triangular",
    "uniform",
)


class Unsealed(RuntimeError):
    """Code inside a simulation reached for the real world; the message names the code and what to use instead."""


class _Seal:
    """How many simulations this process is inside of, and how many observers have stepped out.

    Invariant: the guards stand while `depth` is above 0, and let everything pass while `watching` is.
    """

    depth = 0
    watching = 0
    modules = 0
    places: tuple[tuple[ModuleType, str, Any], ...] = ()
    """Where the guarded functions are known by name, found when there were so many `modules`."""


@contextmanager
def sealed() -> Iterator[None]:
    """Refuse, in this thread, what would make two runs differ. Other threads go on undisturbed."""
    undo = list(_close(threading.get_ident())) if not _Seal.depth else []
    _Seal.depth += 1
    try:
        yield
    finally:
        _Seal.depth -= 1
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


@contextmanager
def outside() -> Iterator[None]:
    """Step out of the simulation for a moment: for those who watch it and may need to know what time it really is."""
    _Seal.watching += 1
    try:
        yield
    finally:
        _Seal.watching -= 1


def _close(thread: int) -> Iterator[tuple[Any, str, Any]]:
    """Put a guard in each place; what has to be put back afterwards."""
    guards: dict[int, Callable[..., Any]] = {}
    originals = [
        *((time, name, "the clock port") for name in _CLOCKS if hasattr(time, name)),
        *((random, name, "a random.Random made from the seed") for name in _LOTS),
        (os, "urandom", "the clock port's entropy"),
        (random, "_urandom", "a random.Random made from the seed"),
    ]
    for module, name, instead in originals:
        original = getattr(module, name)
        guards[id(original)] = _guard(original, f"{module.__name__}.{name}", instead, thread)
    yield from _replace_names(guards)
    yield threading.Thread, "start", threading.Thread.start
    _put(threading.Thread, "start", _guard(threading.Thread.start, "a thread", "a task of the loop", thread))
    yield random.Random, "seed", random.Random.seed
    _put(random.Random, "seed", _seeded(random.Random.seed, thread))


def _replace_names(guards: dict[int, Callable[..., Any]]) -> Iterator[tuple[Any, str, Any]]:
    if _Seal.modules != len(sys.modules):  # looking everywhere takes milliseconds
        _Seal.modules = len(sys.modules)
        _Seal.places = tuple(
            (module, name, value)
            for module in _modules()
            for name, value in list(vars(module).items())
            if id(value) in guards
        )
    for module, name, value in _Seal.places:
        if getattr(module, name, None) is value:
            yield module, name, value
            setattr(module, name, guards[id(value)])


def _modules() -> Iterator[ModuleType]:
    """`time`, `os`, `random`, and every module that is not the standard library's or an observer's."""
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        ours = top not in sys.stdlib_module_names and top not in _OBSERVERS
        if (ours or name in ("time", "os", "random")) and hasattr(module, "__dict__"):
            yield module


def _put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _guard(original: Callable[..., Any], what: str, instead: str, thread: int) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        if not _Seal.watching and threading.get_ident() == thread:
            _refuse(what, instead)
        return original(*args, **kwargs)

    return refuse


def _seeded(original: Callable[..., Any], thread: int) -> Callable[..., Any]:
    def seed(self: random.Random, a: Any = None, *rest: Any, **options: Any) -> Any:
        if a is None and not _Seal.watching and threading.get_ident() == thread:
            _refuse("random.Random() without a seed", "a generator made from the run's")
        return original(self, a, *rest, **options)

    return seed


def _refuse(what: str, instead: str) -> None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") in (__name__, "random", "secrets", "uuid"):
        frame = frame.f_back
    if frame is None or str(frame.f_globals.get("__name__", "")).partition(".")[0] in _OBSERVERS:
        return
    where = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
    raise Unsealed(f"{where} uses {what} inside a simulation: no two runs would be alike; use {instead}")
