"""What the simulator itself asks of a user's cluster: a command and a query that touch nothing of the user's."""

from raftlog.machine.calls import encode_call
from raftlog.machine.method import command, query
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import Machine
from raftlog.machine.wire import encode_result


class Probe(Machine):
    """Answered by `Watched` in the user's machine's stead: through the log, sessions and all, to no effect."""

    @command
    def jepsen_like_write(self) -> None:
        """Goes through the log."""

    @query
    def jepsen_like_read(self) -> None:
        """A linearizable read."""


BODIES = (encode_call(Probe.jepsen_like_write), encode_call(Probe.jepsen_like_read))
ANSWER = Result(Kind.OK, encode_result(None))
