"""The smallest machine worth replicating: a number that is only ever added to."""

from raftlog import Machine, MachineError, command, query

MOST = (1 << 63) - 1
"""The largest value, and with a minus the smallest: integers on the wire and in snapshots have 64 bits."""


class OutOfRange(MachineError):
    """The sum would not fit into 64 bits; nothing was changed."""

    value: int
    """What the counter holds."""


class Counter(Machine):
    """One integer. Its only state is the annotated attribute, which snapshots save by themselves."""

    value: int = 0

    @command(errors=(OutOfRange,))
    def add(self, amount: int) -> int:
        """Add an amount, of either sign: the new value."""
        value = self.value + amount
        if not -MOST <= value <= MOST:
            raise OutOfRange(self.value)
        self.value = value
        return value

    @query
    def read(self) -> int:
        """The present value."""
        return self.value
