"""A machine that shows every lost, repeated or reordered command: counters that return what they have become."""

from raftlog import Machine, command, query


class Tally(Machine):
    """Counters by name."""

    counts: dict[str, int]

    def __init__(self) -> None:
        self.counts = {}

    @command
    def add(self, name: str, amount: int) -> int:
        """Add to a counter: its new value."""
        self.counts[name] = self.counts.get(name, 0) + amount
        return self.counts[name]

    @query
    def read(self, name: str) -> int:
        """A counter's value."""
        return self.counts.get(name, 0)
