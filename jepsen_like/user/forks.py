"""Seeds on several processes: forks of this one, so that a machine may be defined anywhere."""

import os
import signal
import struct
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from select import select
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from jepsen_like.sim.verdict import Run
from jepsen_like.user.elsewhere import Elsewhere
from jepsen_like.user.running import Ran
from raftlog.machine.contract import StateMachine

LENGTH = struct.Struct("<Q")


class Told(msgspec.Struct, frozen=True):
    """What a fork tells of a run. The exception that showed it stays there; its sentence is in the run's problem."""

    run: Run
    judged: bool
    timeline: str = ""
    cause: None = None


class Lost(Exception):
    """A fork has ended without finishing its seeds."""


class Forks:
    """Makes a runner in each process, with another process of its own to compare with if `machine` is given.

    Invariant: when the block is left, every process that was started has ended.
    """

    def __init__(
        self,
        make: Callable[[Elsewhere | None], Callable[[int], Ran]],
        machine: Callable[[], StateMachine] | None,
        workers: int,
    ) -> None:
        if workers < 1:
            raise ValueError(f"{workers} workers run nothing: give 1 or more")
        self._make = make
        self._workers = workers
        # Made here, so that a machine that cannot be imported elsewhere is refused before anything runs.
        self._elsewhere = None if machine is None else Elsewhere(machine)
        self._children: dict[int, BinaryIO] = {}
        """By process id, where each of them tells."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child, pipe in self._children.items():
            pipe.close()
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        self._children.clear()

    def run(self, seeds: Sequence[int]) -> Generator[Ran | Told, None, None]:
        """Each seed's run, in whatever order they end."""
        if self._workers == 1:
            return self._here(seeds)
        return self._there(seeds)

    def _here(self, seeds: Sequence[int]) -> Generator[Ran, None, None]:
        with ExitStack() as stack:
            elsewhere = None if self._elsewhere is None else stack.enter_context(self._elsewhere)
            yield from map(self._make(elsewhere), seeds)

    def _there(self, seeds: Sequence[int]) -> Generator[Told, None, None]:
        for number in range(self._workers):
            self._fork(seeds[number :: self._workers])
        left = len(seeds)
        while left:
            ready, _, _ = select(list(self._children.values()), [], [])
            for pipe in ready:
                head = pipe.read(LENGTH.size)
                if len(head) < LENGTH.size:
                    self._bury(pipe)
                    continue
                left -= 1
                yield msgspec.msgpack.decode(pipe.read(*LENGTH.unpack(head)), type=Told)

    def _bury(self, pipe: BinaryIO) -> None:
        child = next(child for child, each in self._children.items() if each is pipe)
        del self._children[child]
        pipe.close()
        _, status = os.waitpid(child, 0)
        if status:
            raise Lost(f"the process {child} ended with status {os.waitstatus_to_exitcode(status)}")

    def _fork(self, seeds: Sequence[int]) -> None:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Threads that this process may have are idle or not needed: the fork runs the simulator alone.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child:
            os.close(writing)
            self._children[child] = os.fdopen(reading, "rb", buffering=0)
            return
        status = 1
        try:
            os.close(reading)
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            with os.fdopen(writing, "wb") as pipe:
                for ran in self._here(seeds):
                    _tell(pipe, ran)
            status = 0
        finally:
            os._exit(status)


def _tell(pipe: BinaryIO, ran: Ran) -> None:
    encoded = msgspec.msgpack.encode(Told(ran.run, ran.judged, ran.timeline))
    pipe.write(LENGTH.pack(len(encoded)) + encoded)
    pipe.flush()
