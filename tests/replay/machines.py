"""Machines that another process imports: a plain one, one that depends on the order of hashes, one that can be held."""

from collections.abc import Iterable, Iterator
from typing import Any

from raftlog import Machine, command, query


class Names(Machine):
    """Names in the order they came."""

    names: dict[str, int]

    def __init__(self, first: int = 1) -> None:
        self.names = {}
        self._first = first

    @command
    def add(self, name: str) -> int:
        """Note a name: its number."""
        return self.names.setdefault(name, len(self.names) + 1)

    @query
    def count(self) -> int:
        """How many there are."""
        return len(self.names)

    def capture(self) -> object:
        """See `StateMachine.capture`."""
        return list(self.names)

    def write(self, view: Any) -> Iterator[bytes]:
        """See `StateMachine.write`."""
        for name in view:
            yield name.encode()

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`."""
        self.names = {name.decode(): number for number, name in enumerate(chunks, self._first)}


class Hashing(Names):
    """Answers with what Python's hashes happen to be in this process."""

    @command
    def bucket(self, name: str) -> int:
        """Where a dict would look first."""
        return hash(name) & 0xFFFF_FFFF


class Held(Names):
    """Waits at a named pipe before its first command: whoever opens the other end knows that it is there."""

    def __init__(self, pipe: str) -> None:
        super().__init__()
        self._pipe = pipe

    @command
    def add(self, name: str) -> int:
        """Note a name, once somebody has written to the pipe and closed it, or closed it at once."""
        if self._pipe:
            with open(self._pipe, "rb") as gate:
                gate.read()
            self._pipe = ""
        return self.names.setdefault(name, len(self.names) + 1)
