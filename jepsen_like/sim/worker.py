"""`python -m jepsen_like.sim.worker PLACE`: runs the plans that come in on standard input, one a line, one answer each.

Values travel as JSON: whoever reads a pipe can read what went over it. The end of the input ends the process.
"""

import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import BinaryIO

import msgspec

from jepsen_like.sim.happening import Happening
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.tiers import Simulate, simulator
from jepsen_like.sim.verdict import Run

READY = b"ready\n"
"""The first line of every worker: what it needs is imported, and a run's time can be counted."""


class Order(msgspec.Struct, frozen=True):
    """One run to make."""

    plan: Plan
    watched: bool = False
    """Have somebody watch: it must change nothing."""


class Finished(msgspec.Struct, frozen=True):
    """One run, made."""

    plan: Plan
    run: Run
    seconds: float
    """Wall-clock time, measured around the run."""
    heard: int = 0
    """How many happenings were told to whoever watched."""
    memory: int = 0
    """Bytes that the process has held at most until now."""


def broken(plan: Plan, oracle: str, problem: str) -> Run:
    """The run of a plan that broke the laboratory itself: it counts as failed, and has no trace to compare."""
    return Run(
        seed=plan.seed,
        tier=plan.tier,
        outcome="failed",
        oracle=oracle,
        problem=problem,
        trace="",
        span=0,
        events=0,
    )


def perform(order: Order, simulate: Simulate) -> Finished:
    """Make one run. What it raises is a defect of the laboratory and becomes a failed run of the oracle `harness`."""
    heard = 0

    def hear(_: Happening) -> None:
        nonlocal heard
        heard += 1

    began = time.perf_counter()
    try:
        run = simulate(order.plan, watch=hear if order.watched else None)
    except Exception as error:  # noqa: BLE001 - one broken run must not end a campaign of thousands
        traceback.print_exception(error)
        run = broken(order.plan, "harness", f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - began
    return Finished(order.plan, run, seconds, heard, most_memory())


def most_memory() -> int:
    """Bytes that this process has held at most.

    Not what `getrusage` says where there is better: on Linux that begins with what the *parent* held at the start.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024


def _serve(place: str, orders: BinaryIO, answers: BinaryIO) -> None:
    simulate = simulator(place)
    answers.write(READY)
    answers.flush()
    for line in orders:
        done = perform(msgspec.json.decode(line, type=Order), simulate)
        answers.write(msgspec.json.encode(done) + b"\n")
        answers.flush()


def main() -> None:
    """Serve until the input ends. What runs print goes to standard error: standard output carries answers alone."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _serve(sys.argv[1], sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
