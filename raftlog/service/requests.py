"""The Requests port: what the service asks of the node it stands before."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from raftlog.core.entry import Command
from raftlog.core.ids import ClusterId, GroupId, Index
from raftlog.machine.result import Result
from raftlog.transport.client_frames import Level


class Requests(Protocol):
    """A node, as its clients see it. Every method returns at once; callbacks run on the event loop, perhaps at once."""

    @property
    def cluster_id(self) -> ClusterId:
        """The cluster this node belongs to; 0 while it waits to be initialised."""
        ...

    def serves(self, group: GroupId) -> bool:
        """Whether this node has the group. The other methods are asked about such groups only."""
        ...

    def refusals(self, group: GroupId, commands: Sequence[Command]) -> Mapping[int, Result]:
        """The refusals of those commands that must not enter the log, by position. Asked before they are proposed."""
        ...

    def check(self, group: GroupId, command: Command) -> Result | None:
        """Why a command can never succeed, in words, or None. Too dear to be asked about every command."""
        ...

    def submit(
        self, group: GroupId, commands: Sequence[Command], done: Callable[[Sequence[Result]], None]
    ) -> None:
        """Propose, or forward, the commands as one batch.

        `done` is called exactly once with one result per command, in order. Never raises; what is refused because
        too much is undecided is `FAILED` with `retry_after`.
        """
        ...

    def read(self, group: GroupId, level: Level, done: Callable[[Result | None], None]) -> None:
        """Call `done` once: with None when local state may answer queries of this level, or with the refusal."""
        ...

    def query(self, group: GroupId, machine: int, body: bytes) -> Result:
        """Answer one query from local state. Never raises."""
        ...

    def leader(self, group: GroupId) -> str:
        """Client address of the group's leader when that is another node; empty: this one leads, or none is known."""
        ...

    def applied(self, group: GroupId) -> Index:
        """Local state reflects the group's log up to here."""
        ...
