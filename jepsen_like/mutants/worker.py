"""`python -m jepsen_like.mutants.worker`: plants a bug for the life of the process and runs the plans it is given.

The first line of standard input says what to plant; each further line is a plan, each line of the answer a run. A run
that uses up its processor time ends the process with `ENDED_ENDLESS`: a bug may make the code loop for ever.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import BinaryIO

import msgspec

from jepsen_like.mutants.mutant import Mutant
from jepsen_like.mutants.plant import Unplantable, planted
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.tiers import NoSuchPlace, Simulate, simulator
from jepsen_like.sim.worker import Order, perform

ENDED_ENDLESS = 71
ENDED_UNPLANTABLE = 72
"""The code does not fit the mutant, or the tier cannot be imported; standard error says how."""
MEMORY = 3 << 30
"""Bytes of address space a process may take."""


class Assignment(msgspec.Struct, frozen=True):
    """What a process is for."""

    place: str
    """What runs plans: `package.module:run`."""
    mutants: tuple[Mutant, ...] = ()
    """What to plant; empty: the clean build."""
    seconds: int = 120
    """Processor time of one run."""


def main() -> None:
    """Serve until the input ends. What runs print goes to standard error: standard output carries answers alone."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    plans = sys.stdin.buffer
    assignment = msgspec.json.decode(plans.readline(), type=Assignment)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _endless)
    try:
        # The tier first: a bug in a module's own beginnings must meet the module as it is when it is used.
        simulate = simulator(assignment.place)
        with planted(*assignment.mutants) if assignment.mutants else nullcontext():
            _serve(simulate, assignment.seconds, plans, answers)
    except (Unplantable, NoSuchPlace) as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(ENDED_UNPLANTABLE)


def _serve(simulate: Simulate, seconds: int, plans: BinaryIO, answers: BinaryIO) -> None:
    for line in plans:
        order = Order(msgspec.json.decode(line, type=Plan))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        done = perform(order, simulate)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(msgspec.json.encode(done.run) + b"\n")
        answers.flush()


_endless: Callable[[int, object], None] = lambda number, frame: os._exit(ENDED_ENDLESS)  # noqa: E731 - a handler


if __name__ == "__main__":
    main()
