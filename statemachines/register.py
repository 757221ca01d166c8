"""Registers: named integers that are read, written and compared-and-set, each on its own."""

from raftlog import Machine, command, query


class Registers(Machine):
    """Named registers. One that nobody wrote holds None.

    Values are integers of 64 bits. Whole snapshots are one encoding: about 120 ms per million registers. For bytes, for
    more than that, or for keys in order there is `statemachines.kv`.
    """

    values: dict[str, int]

    def __init__(self) -> None:
        self.values = {}

    @command
    def put(self, name: str, value: int) -> None:
        """Let the register hold `value`."""
        self.values[name] = value

    @command
    def cas(self, name: str, expected: int | None, value: int) -> bool:
        """Let it hold `value` if it holds exactly `expected` (None: nothing yet): whether it did."""
        if self.values.get(name) != expected:
            return False
        self.values[name] = value
        return True

    @query
    def get(self, name: str) -> int | None:
        """What it holds."""
        return self.values.get(name)
