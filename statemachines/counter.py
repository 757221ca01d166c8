"""The smallest machine worth replicating: a number that is only ever added to."""

from raftlog import Machine, command, query


class Counter(Machine):
    """One integer. Its only state is the annotated attribute, which snapshots save by themselves."""

    value: int = 0

    @command
    def add(self, amount: int) -> int:
        """Add an amount, of either sign: the new value."""
        self.value += amount
        return self.value

    @query
    def read(self) -> int:
        """The present value."""
        return self.value
