"""Another process, under another hash seed, in which a log is run again: what a second machine would make of it."""

import contextlib
import inspect
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Self

import msgspec

from jepsen_like.sim.verdict import Violation
from jepsen_like.user.steps import Step, Trail, steps
from jepsen_like.user.words import LOOK, command_text, difference, result_text
from raftlog.core.entry import Entry
from raftlog.core.ids import Micros
from raftlog.machine.contract import StateMachine

HASH_SEED = 4_711
LENGTH = struct.Struct("<Q")


class Found(msgspec.Struct, frozen=True):
    """Where a class is found by another process."""

    module: str
    file: str
    name: str


class Request(msgspec.Struct, frozen=True):
    """Run this log. `wanted`: the number of the step whose state is wanted in full, -1 for none."""

    log: list[Entry]
    wanted: int = -1


class Reply(msgspec.Struct, frozen=True):
    """What became of it."""

    trail: Trail | None = None
    problem: str = ""


class Unreachable(ValueError):
    """A machine that another process cannot import; the sentence says what to do."""


class Broken(Exception):
    """The machine breaks in a fresh process; the sentence is that process's own."""


def find(machine: Callable[[], StateMachine]) -> Found:
    """Where to import a machine from.

    Raises:
        Unreachable: it was made in a function or at a prompt.
    """
    name = getattr(machine, "__qualname__", "<nothing>")
    module = str(getattr(machine, "__module__", ""))
    try:
        file = inspect.getsourcefile(machine) or ""
    except TypeError:
        file = ""
    if "<" in name or not os.path.exists(file):
        raise Unreachable(
            f"{name} of {module} cannot be imported by another process, so nobody could see whether it depends on the"
            " hash seed: define it at the top of a file, or leave that check out with another_process=False"
        )
    return Found(module, os.path.abspath(file), name)


class Elsewhere:
    """A process that lives as long as a campaign and runs each log in a fork of itself, so every one is a first one.

    Invariant: one request is answered before the next is sent.
    """

    def __init__(self, machine: Callable[[], StateMachine]) -> None:
        self._make = machine
        self._found = find(machine)
        self._entered: _Process | None = None

    def __enter__(self) -> Self:
        environment = os.environ | {
            "PYTHONHASHSEED": str(HASH_SEED + (os.environ.get("PYTHONHASHSEED") == str(HASH_SEED))),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._entered = _Process(environment)
        self._send(self._found)
        if problem := self._reply().problem:
            self.__exit__(None, None, None)
            raise Unreachable(
                f"{self._found.name} of {self._found.file} cannot be imported elsewhere: {problem}"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.end()

    @property
    def _process(self) -> "_Process":
        assert self._entered is not None, "used before it was entered"
        return self._entered

    def compare(self, log: Sequence[Entry], here: Sequence[Step], slow: Micros | None) -> Violation | None:
        """Run the log there; the first command that differs from `here`, or the slowest one beyond `slow`.

        Slow commands are run three times and judged by the quickest.
        """
        try:
            there = self._ask(log).steps
        except Broken as broken:
            return Violation("determinism", f"in a fresh process {broken}")
        for at, (one, other) in enumerate(zip(here, there, strict=True)):
            if other.reached:
                return Violation(
                    "outside",
                    f"{self._words(other)} reaches outside: {other.reached}. Replicas would find other things there:"
                    " let clients bring what commands need",
                )
            if (one.result, one.state) != (other.result, other.state):
                return self._differs(log, at, one, other)
        if slow is None:
            return None
        took = [step.took for step in there]
        for _ in range(2):
            if max(took, default=0) > slow:
                took = [min(pair) for pair in zip(took, self._times(log), strict=True)]
        if max(took, default=0) <= slow:
            return None
        step = there[took.index(max(took))]
        return Violation(
            "slow",
            f"{self._words(step)} took {max(took) / 1e3:.0f} ms of processor time; beyond {slow / 1e3:g} ms it"
            " holds up every other caller: do less at once",
        )

    def _times(self, log: Sequence[Entry]) -> list[Micros]:
        return [step.took for step in self._ask(log).steps]

    def _differs(self, log: Sequence[Entry], at: int, one: Step, other: Step) -> Violation:
        machine = self._make()
        where = "in another process with another hash seed"
        if one.result != other.result:
            answers = [result_text(machine, one.body, each.result) for each in (one, other)]
            return Violation(
                "determinism",
                f"{self._words(one)} answers {answers[0]} here and {answers[1]} {where}: {LOOK}",
            )
        return Violation(
            "determinism", f"{self._words(one)} leaves another state {where}{self._state(log, at)}: {LOOK}"
        )

    def _state(self, log: Sequence[Entry], at: int) -> str:
        machine = self._make()
        return difference(machine, steps(self._make, log, wanted=at).state, self._ask(log, at).state)

    def _words(self, step: Step) -> str:
        return command_text(self._make(), step.body, step.index, step.ordinal)

    # -- the pipe

    def _ask(self, log: Sequence[Entry], wanted: int = -1) -> Trail:
        """Raises `Broken`."""
        self._send(Request(list(log), wanted))
        reply = self._reply()
        if reply.trail is None:
            raise Broken(reply.problem)
        return reply.trail

    def _reply(self) -> Reply:
        answer = self._process.answer()
        if answer is None:
            return Reply(problem="the process ends; see standard error")
        return msgspec.msgpack.decode(answer, type=Reply)

    def _send(self, value: msgspec.Struct) -> None:
        self._process.ask(msgspec.msgpack.encode(value))


class _Process:
    """The process and the two pipes to it; values are prefixed with their length."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "jepsen_like.user.again"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._popen.stdin is not None, "it has a pipe"
        assert self._popen.stdout is not None, "it has a pipe"
        self._to: IO[bytes] = self._popen.stdin
        self._from: IO[bytes] = self._popen.stdout

    def ask(self, value: bytes) -> None:
        """Send a value; one that nobody reads any more is noticed when its answer does not come."""
        try:
            self._to.write(LENGTH.pack(len(value)) + value)
            self._to.flush()
        except BrokenPipeError:
            return

    def answer(self) -> bytes | None:
        """The next value, or None when there will be none."""
        head = self._from.read(LENGTH.size)
        return self._from.read(*LENGTH.unpack(head)) if len(head) == LENGTH.size else None

    def end(self) -> None:
        """It ends when its input does."""
        with contextlib.suppress(BrokenPipeError):
            self._to.close()
        self._from.close()
        self._popen.wait()
