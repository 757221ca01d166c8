"""Child processes of a benchmark: started with a word that they are ready, timed, and gone when we are."""

import asyncio
import gc
import os
import pathlib
import select
import subprocess
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Self

import uvloop

START_SECONDS = 60.0
STOP_SECONDS = 30.0
SWITCH_SECONDS = 0.0005
"""A disk thread that comes back from its sync waits this long for a busy event loop, not the usual 5 ms."""
_TICK = os.sysconf("SC_CLK_TCK")


class ChildFailed(Exception):
    """A process of the benchmark ended, or was silent, when it should have spoken. Quotes the end of its errors."""


class Child:
    """A process that speaks in lines, and ends when its standard input is closed."""

    def __init__(self, name: str, command: Sequence[str], errors: pathlib.Path) -> None:
        self.name = name
        self._errors = errors
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
                # gRPC writes a line about every connection that its peer closes.
                env={**os.environ, "GRPC_VERBOSITY": "ERROR"},
            )
        self.pid = self._process.pid

    def line(self, seconds: float = START_SECONDS) -> str:
        """The next line it writes, without its end.

        Raises:
            ChildFailed: it ended, or wrote nothing for `seconds`.
        """
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        text = b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise ChildFailed(f"{self.name} was silent for {seconds:.0f} s{self.last_words()}")
            byte = os.read(self._process.stdout.fileno(), 1)
            if not byte:
                raise ChildFailed(f"{self.name} ended before its time{self.last_words()}")
            text += byte
        return text.decode().rstrip("\n")

    def word(self, first: str, seconds: float = START_SECONDS) -> str:
        """What follows `first` on the next line.

        Raises:
            ChildFailed: as `line`, or the line begins otherwise.
        """
        line = self.line(seconds)
        word, _, rest = line.partition(" ")
        if word != first:
            raise ChildFailed(f"{self.name} wrote '{line}' instead of '{first} ...'")
        return rest

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def end(self) -> None:
        """Close its standard input: it finishes in its own time."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self) -> int:
        """End it and give its exit code, 0 for fine; killed when it does not come to an end."""
        self.end()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()

    def terminate(self) -> None:
        """Ask by SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()

    def last_words(self) -> str:
        """The end of what it wrote to standard error, as the end of a sentence; empty when it wrote nothing."""
        words = self._errors.read_text(errors="replace").strip()
        return f"; the end of {self._errors}:\n{words[-2000:]}" if words else ""


def python(module: str, *arguments: str, profile: pathlib.Path | None = None) -> list[str]:
    """The command that runs a module with this interpreter, its main thread under cProfile when `profile` is a file."""
    watched = ["-m", "bench.profiled", str(profile)] if profile else ["-m"]
    return [sys.executable, *watched, module, *arguments]


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor time in seconds, user and system (resolution 10 ms)."""

    whole: float
    """Of all threads."""
    loop: float
    """Of the first thread, which runs the event loop and with it all of our Python code but the disk's."""


def cpu_used(pid: int) -> Cpu:
    """What a process has used so far."""
    process = pathlib.Path(f"/proc/{pid}")
    return Cpu(_seconds(process / "stat"), _seconds(process / "task" / str(pid) / "stat"))


def children_used(pid: int) -> float:
    """Processor seconds of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICK


def machine_used() -> tuple[float, float]:
    """Processor seconds of the whole machine since it started: in use or taken by other guests, and in all."""
    user, nice, system, idle, waiting, *others = map(int, _first_line("/proc/stat").split()[1:9])
    busy = user + nice + system + sum(others)
    return busy / _TICK, (busy + idle + waiting) / _TICK


def _first_line(file: str) -> str:
    with open(file) as lines:
        return lines.readline()


def _seconds(stat: pathlib.Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


async def parent_is_gone() -> None:
    """Returns when standard input ends: the parent closed it, or died."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def look() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            ended.set()

    loop.add_reader(0, look)
    await ended.wait()


def run_quickly(main: Coroutine[Any, Any, None]) -> None:
    """Run a process's main coroutine as the real nodes run theirs: uvloop, and threads that yield within 0.5 ms."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
