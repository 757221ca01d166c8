"""A process of its own for each planted bug, which may hang or eat memory, seen from outside."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from types import TracebackType

import msgspec

from jepsen_like.mutants.mutant import ENDLESS
from jepsen_like.mutants.plant import Unplantable
from jepsen_like.mutants.worker import ENDED_ENDLESS, ENDED_UNPLANTABLE, Assignment
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Run
from jepsen_like.sim.worker import broken

SLACK = 10
"""How many times its processor time a run may take by the clock: the machine may be busy."""


class Process:
    """Runs plans one after the other on a build with its assignment's bugs in it; used with `with`.

    Invariant: at most one process lives; one that ended in a run is replaced at the next.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._complaints.close()

    def run(self, plan: Plan) -> Run:
        """Make one run; a process that ends in it makes it a failed one, of `endless` or `worker`.

        Raises:
            Unplantable: the code does not fit the bug, or the tier cannot be imported.
        """
        process = self._process or self._start()
        assert process.stdin is not None, "it was opened with pipes"
        assert process.stdout is not None, "it was opened with pipes"
        watchdog = threading.Timer(self._assignment.seconds * SLACK, process.kill)
        watchdog.start()
        try:
            process.stdin.write(msgspec.json.encode(plan) + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            watchdog.cancel()
        if line.endswith(b"\n"):
            return msgspec.json.decode(line, type=Run)
        return self._ended(plan, process)

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "jepsen_like.mutants.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, "PYTHONHASHSEED": "1"},
            process_group=0,  # Ctrl-C on the terminal is for whoever reports
        )
        assert process.stdin is not None, "it was opened with pipes"
        process.stdin.write(msgspec.json.encode(self._assignment) + b"\n")
        return process

    def _ended(self, plan: Plan, process: subprocess.Popen[bytes]) -> Run:
        code = process.wait()
        said = self._said()
        self._end()
        if code == ENDED_UNPLANTABLE:
            raise Unplantable(said)
        if code == ENDED_ENDLESS:
            return broken(
                plan, ENDLESS, f"the run took more than {self._assignment.seconds} s of processor time"
            )
        return broken(plan, "worker", f"the process ended with exit code {code} in this run: {said[-300:]}")

    def _said(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace").strip()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was still to be said has nobody to hear it
                    pipe.close()
        process.wait()
