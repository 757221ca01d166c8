"""Worker processes that make runs: fresh interpreters, each under a hash seed of its own, spoken to in JSON."""

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType

import msgspec

from jepsen_like.sim.plan import Plan
from jepsen_like.sim.worker import READY, Finished, Order, broken

PATIENCE = 300.0
"""Wall-clock seconds after which a run counts as hung and its process is killed."""


MOST_MEMORY = 512 << 20
"""Bytes beyond which a worker is replaced by a fresh one: a soak of days must not end for want of memory."""


class NoWorker(Exception):
    """A worker process does not even start."""


class _Worker:
    """One process, and the order it works on."""

    def __init__(self, place: str, hash_seed: int) -> None:
        self._command = [sys.executable, "-m", "jepsen_like.sim.worker", place]
        self._environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
        self.order: Order | None = None
        self.began = 0.0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._ready = False
        # A process group of its own: Ctrl-C on the terminal is for whoever keeps the ledger.
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            process_group=0,
        )

    def give(self, order: Order) -> None:
        assert self.order is None, "a worker has one order at a time"
        assert self.process.stdin is not None
        self._await_readiness()
        self.order, self.began = order, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # it has died; its end of the answers says so
            self.process.stdin.write(msgspec.json.encode(order) + b"\n")
            self.process.stdin.flush()

    def _await_readiness(self) -> None:
        if self._ready:
            return
        assert self.process.stdout is not None
        if self.process.stdout.readline() != READY:
            raise NoWorker(f"{' '.join(self._command)} does not start: what it says is on standard error")
        self._ready = True

    def take(self) -> Finished:
        """The answer that has arrived. A process that died instead is started anew."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line.endswith(b"\n"):
            self.order = None
            done = msgspec.json.decode(line, type=Finished)
            if done.memory > MOST_MEMORY:
                self.end()
                self.process = self._start()
            return done
        self.end()
        return self._given_up(
            "worker", f"the process ended with exit code {self.process.returncode} in this run"
        )

    def hang(self) -> Finished:
        """The run takes too long: its process is killed, and another one started."""
        self.end()
        return self._given_up("hang", "the run did not end within the time a worker is given")

    def _given_up(self, oracle: str, problem: str) -> Finished:
        assert self.order is not None
        plan, self.order = self.order.plan, None
        self.process = self._start()
        return Finished(plan, broken(plan, oracle, problem), time.monotonic() - self.began)

    def end(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was still to be said has nobody to hear it
                    pipe.close()
        self.process.wait()


class Crew:
    """`size` workers that make runs at once; used with `with`, which ends them all.

    Invariants: every plan that was taken is answered once; answers come as they are ready, in no particular order.
    """

    def __init__(self, size: int, place: str, *, patience: float = PATIENCE, hash_seed: int = 1) -> None:
        self._patience = patience
        self._workers = [_Worker(place, hash_seed + number) for number in range(size)]

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()

    def run(self, plans: Iterable[Plan], *, watched: bool = False) -> Iterator[Finished]:
        """Make the runs of all these plans. Plans are taken one by one, when a worker is free."""
        waiting = iter(plans)
        idle = list(self._workers)
        while True:
            while idle and (plan := next(waiting, None)) is not None:
                idle.pop(0).give(Order(plan, watched))
            busy = [worker for worker in self._workers if worker.order is not None]
            if not busy:
                return
            for worker in self._ready(busy):
                idle.append(worker)
                yield worker.take()
            for worker in busy:
                if worker.order is not None and time.monotonic() - worker.began > self._patience:
                    idle.append(worker)
                    yield worker.hang()

    def _ready(self, busy: list[_Worker]) -> list[_Worker]:
        """Who has an answer or has died; nobody when one of them must have hung."""
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                assert worker.process.stdout is not None
                selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            longest = max(time.monotonic() - worker.began for worker in busy)
            ready = selector.select(max(0.0, self._patience - longest) + 0.01)
            return [key.data for key, _ in ready]
