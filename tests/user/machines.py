"""Machines for the tests: right ones, and ones that are wrong in one way each."""

import datetime as dt
import random
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from raftlog import Context, Kind, Machine, MachineError, Result, StateMachine, command, query


class Full(MachineError):
    most: int


class Counter(Machine):
    """A right one."""

    value: int = 0

    @command
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @command(errors=[Full])
    def add_up_to(self, most: int) -> int:
        if self.value >= most:
            raise Full(most)
        self.value += 1
        return self.value

    @query
    def read(self) -> int:
        return self.value


class HastyError(Counter):
    """Changes the state and then raises the declared error."""

    @command(errors=[Full])
    def add_up_to(self, most: int) -> int:
        self.value += 1
        if self.value > most:
            raise Full(most)
        return self.value


class Undeclared(Counter):
    @command
    def add(self, amount: int) -> int:
        return {1: 2}[amount]


class ReadsFiles(Counter):
    @command
    def add(self, amount: int) -> int:
        with open("/nowhere/at/all") as file:
            return len(file.read())


class ReadsItself(Counter):
    """A file that is there: no error gives it away."""

    @command
    def add(self, amount: int) -> int:
        with open(__file__) as file:
            self.value = len(file.read())
        return self.value


class ImportsLate(Counter):
    """A right one: an import opens files, too."""

    @command
    def add(self, amount: int) -> int:
        import colorsys

        self.value += round(colorsys.ONE_THIRD) + amount
        return self.value


class LendsItsState(Machine):
    """Its view is the state itself, which later commands change."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @command
    def add(self, name: str) -> None:
        self.names.append(name)

    def capture(self) -> object:
        return self.names

    def write(self, view: Any) -> Any:
        yield msgspec.msgpack.encode(view)

    def restore(self, chunks: Any, version: int) -> None:
        self.names = msgspec.msgpack.decode(b"".join(chunks), type=list[str])


class Bytes(StateMachine):
    """A right one that takes bytes."""

    name = "bytes"

    def __init__(self) -> None:
        self.held = b""

    def apply(self, command: bytes, context: Context) -> Result:
        self.held = command
        return Result(Kind.OK, command)

    def query(self, query: bytes) -> Result:
        return Result(Kind.OK, self.held)

    def capture(self) -> bytes:
        return self.held

    def write(self, view: bytes) -> Iterator[bytes]:
        yield view

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        self.held = b"".join(chunks)


class AsksTheTime(Counter):
    @command
    def add(self, amount: int) -> int:
        self.value = round(time.time())
        return self.value


class DrawsLots(Counter):
    @command
    def add(self, amount: int) -> int:
        self.value += random.randrange(1_000)  # noqa: TID251 - what a careless machine does
        return self.value


class StartsThreads(Counter):
    @command
    def add(self, amount: int) -> int:
        threading.Thread(target=print).start()
        return 0


class ReadsTheDate(Counter):
    """C code reads the clock: nothing can refuse it."""

    @command
    def add(self, amount: int) -> int:
        self.value = dt.datetime.now().microsecond  # noqa: DTZ005 - what a careless machine does
        return 0


class KeepsHashOrder(Machine):
    names: list[str]

    def __init__(self) -> None:
        self.names = []

    @command
    def add(self, names: list[str]) -> int:
        self.names += list(frozenset(names))
        return len(self.names)


class AnswersInHashOrder(Machine):
    @command
    def first(self, names: list[str]) -> str:
        return next(iter(frozenset(names)))


class SharedByAll(Machine):
    """Its state is the class's: replicas in one process share it."""

    totals: ClassVar[dict[str, int]] = {}

    @command
    def add(self, amount: int) -> int:
        self.totals["sum"] = self.totals.get("sum", 0) + amount
        return self.totals["sum"]


class WritesWhenAsked(Counter):
    asked: int = 0

    @query
    def read(self) -> int:
        self.asked += 1
        return self.asked


class ForgetsInSnapshots(Counter):
    """Keeps something that only the commands since the last start know."""

    def __init__(self) -> None:
        self.since: int = 0

    @command
    def add(self, amount: int) -> int:
        self.since += amount
        return self.since

    def capture(self) -> object:
        return b""

    def write(self, view: Any) -> Any:
        yield view

    def restore(self, chunks: Any, version: int) -> None:
        assert b"".join(chunks) == b""


class GrowsAttributes(Counter):
    """Sets an attribute that no snapshot holds, at the third command only."""

    @command
    def add(self, amount: int) -> int:
        self.value += amount
        if self.value > 2:
            self.extra = 1
        return self.value


class WorksTooMuch(Counter):
    @command
    def add(self, amount: int) -> int:
        self.value = sum(number * number for number in range(amount))
        return 0


class TakesItsTime(Machine):
    """A right one that uses what the context gives."""

    value: int = 0

    @command
    def add(self, context: Context, amount: int) -> int:
        self.value = context.log_time ^ context.random.getrandbits(32)
        return self.value


def three_at_most(machines: Any) -> bool:
    """An invariant that answers."""
    return all(machine.value <= 3 for machine in machines)
