"""Runs a log through a machine command by command and notes what each one did: what two processes can compare."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import msgspec
import xxhash

from jepsen_like.user.outside import Outside
from jepsen_like.user.probe import ANSWER, BODIES
from raftlog.core.entry import Entry
from raftlog.core.ids import Micros
from raftlog.machine.applier import Applier
from raftlog.machine.contract import Context, StateMachine
from raftlog.machine.result import Kind, Result

BUDGET = 64 << 20
"""Bytes of state that are encoded for one log. A machine with a large state is looked at less and less often."""


LONG = 1_000
"""Bytes of a result from which on its hash will do."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """What one command of the user's machine did."""

    index: int
    ordinal: int
    body: bytes
    result: bytes
    """The result, encoded; of a long one its hash."""
    state: int | None
    """Hash of the state after it; None where nobody looked."""
    took: Micros = 0
    """Processor time, in the processes that measure it."""
    reached: str = ""
    """What it reached for outside of the machine, in the processes that listen."""


def written(machine: StateMachine) -> bytes:
    """The whole state as a snapshot would hold it."""
    return b"".join(machine.write(machine.capture()))


class Look(msgspec.Struct):
    """Looks at a machine's state as often as the budget allows: after every command, every second, every fourth, ..."""

    spent: int = 0
    every: int = 1
    seen: int = 0

    def due(self) -> bool:
        """Whether to look after this command."""
        self.seen += 1
        return self.seen % self.every == 0

    def state(self, machine: StateMachine) -> int:
        """The hash of the state as it stands."""
        saved = written(machine)
        self.spent += len(saved)
        if self.spent > BUDGET * (1 - 1 / (2 * self.every)):  # half of what is left, each time
            self.every *= 2
        return xxhash.xxh3_64_intdigest(saved)


Around = Callable[[StateMachine, bytes, Context, Callable[[], Result]], Result]
"""Told of every command of the user's: calls the last argument, which runs it, and gives back its result."""


class Stepping(StateMachine):
    """A machine each of whose commands is run alone, with somebody around it. Made by `stepping`."""

    def __init__(self, inner: StateMachine, around: Around) -> None:
        self.inner = inner
        self._around = around

    def apply(self, command: bytes, context: Context) -> Result:
        """See `StateMachine.apply`."""
        if command in BODIES:
            return ANSWER
        return self._around(self.inner, command, context, lambda: self.inner.apply(command, context))

    def query(self, query: bytes) -> Result:
        """A log holds no queries."""
        raise AssertionError(f"a query came out of a log: {query!r}")

    def capture(self) -> object:
        """See `StateMachine.capture`."""
        return self.inner.capture()

    def write(self, view: Any) -> Iterator[bytes]:
        """See `StateMachine.write`."""
        return self.inner.write(view)

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`."""
        self.inner.restore(chunks, version)

    def method_of(self, body: bytes) -> str:
        """See `StateMachine.method_of`."""
        return self.inner.method_of(body)


def stepping(make: Callable[[], StateMachine], around: Around) -> Callable[[], StateMachine]:
    """A way to make machines that run one command at a time."""
    sample = make()
    kind: Callable[[StateMachine, Around], StateMachine] = type(
        "Stepping", (Stepping,), {"name": sample.name, "version": sample.version}
    )
    return lambda: kind(make(), around)


def noted(result: Result) -> bytes:
    """The result as a step keeps it."""
    encoded = msgspec.msgpack.encode(result)
    return encoded if len(encoded) <= LONG else xxhash.xxh3_64_digest(encoded)


def raised(error: Exception) -> Result:
    """Stands for an exception: its type is the same on all replicas, its words need not be."""
    return Result(Kind.FAULT, type(error).__name__.encode())


class Trail(msgspec.Struct, frozen=True, array_like=True):
    """What every command of a log did, and the state after one of them, if somebody wanted it."""

    steps: list[Step]
    state: bytes = b""


def steps(
    make: Callable[[], StateMachine],
    log: Sequence[Entry],
    *,
    wanted: int = -1,
    outside: Outside | None = None,
) -> Trail:
    """What every command of the log does, with the processor time it takes. Needs a real clock.

    `wanted` is the step whose state is wanted in full; with one, no other is looked at. `outside` listens.
    """
    found: list[Step] = []
    kept = b""
    look = Look()

    def around(machine: StateMachine, body: bytes, context: Context, run: Callable[[], Result]) -> Result:
        nonlocal kept
        began = time.process_time_ns()
        failed: Exception | None = None
        try:
            with nullcontext() if outside is None else outside.watch():
                result = run()
        except Exception as error:  # noqa: BLE001 - what it raised is the step's result, and raised again below
            result, failed = raised(error), error
        took = (time.process_time_ns() - began) // 1_000
        state = look.state(machine) if wanted < 0 and look.due() else None
        if len(found) == wanted:
            kept = written(machine)
        reached = "" if outside is None else outside.reached
        found.append(Step(context.index, context.ordinal, body, noted(result), state, took, reached))
        if failed is not None:
            raise failed
        return result

    applier = Applier(stepping(make, around))
    for entry in log:
        applier.apply(entry)
    return Trail(found, kept)
