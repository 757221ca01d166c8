"""Machines that break the contract, each in one way, for the test kit to find; importable by a fresh process."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from raftlog.machine.contract import Context
from raftlog.machine.errors import MachineError
from raftlog.machine.method import command, query
from raftlog.machine.typed import Machine


class Refused(MachineError):
    pass


class HashOrder(Machine):
    """Answers in the order of a set."""

    names: list[str]

    def __init__(self) -> None:
        self.names = []

    @command
    def add(self, name: str) -> list[str]:
        self.names.append(name)
        return list(set(self.names))


class HashOrderedSnapshot(Machine):
    """Its results are good, but it writes a set as it comes."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    @command
    def add(self, name: str) -> int:
        self.names.add(name)
        return len(self.names)

    def capture(self) -> object:
        return tuple(self.names)

    def write(self, view: Any) -> Iterator[bytes]:
        yield msgspec.msgpack.encode(view)

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        self.names = set(msgspec.msgpack.decode(b"".join(chunks), type=tuple[str, ...]))


class Forgetful(HashOrderedSnapshot):
    """Keeps something that its snapshot does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    @command
    def add(self, name: str) -> int:
        self.calls += 1
        return self.calls

    def capture(self) -> object:
        return tuple(sorted(self.names))


class Hasty(Machine):
    """Changes before it refuses."""

    taken: int = 0

    @command(errors=[Refused])
    def take(self) -> int:
        self.taken += 1
        if self.taken > 2:
            raise Refused
        return self.taken


class Liar(Machine):
    """Returns what its annotation does not say."""

    value: int = 0

    @command
    def read(self) -> int:
        return "three"  # type: ignore[return-value]


class Meddler(Machine):
    """Its query changes the state."""

    reads: int = 0

    @command
    def nothing(self) -> None:
        pass

    @query
    def read(self) -> int:
        self.reads += 1
        return self.reads


class Buggy(Machine):
    """Raises what it does not declare."""

    value: int = 0

    @command
    def divide(self, by: int) -> int:
        self.value += 1
        return self.value // by


class Good(Machine):
    """Uses everything a machine may use."""

    seen: dict[str, list[int]]

    def __init__(self) -> None:
        self.seen = {}

    @command(errors=[Refused])
    def draw(self, context: Context, name: str) -> tuple[int, int, dict[str, list[int]]]:
        if len(self.seen.get(name, [])) == 3:
            raise Refused
        number = context.random.getrandbits(30)
        self.seen.setdefault(name, []).append(number)
        return number, context.log_time, self.seen

    @command
    def oldest(self) -> str | None:
        return next(iter(self.seen), None)

    @query
    def read(self, name: str) -> list[int]:
        return self.seen.get(name, [])
