"""What the runner needs of whatever it runs: nodes it can hurt, clients that ask them, and, where there is one, a log.

`RAFTLOG` is this project's. Another system is a class of its own with these methods; `examples/pysyncobj` has one.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Protocol, Self

from jepsen_like.cluster.broken import CLIENTS, DISKS, NODES
from jepsen_like.cluster.callers import DEADLINE
from jepsen_like.cluster.cluster import Cluster
from jepsen_like.cluster.host import Host
from jepsen_like.cluster.network import Network
from jepsen_like.cluster.trial import Trial
from raftlog import Client
from raftlog.core.ids import Index


class Nodes(Protocol):
    """Processes that are one cluster while it is entered; left, none of them is there."""

    @property
    def hosts(self) -> Mapping[str, Host]:
        """By name: `n1`, `n2` and so on."""
        ...

    @property
    def network(self) -> Network:
        """Between them."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of all hosts."""
        ...

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients reach them, running or not."""
        ...

    async def __aenter__(self) -> Self:
        """Started, and with a leader."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gone."""
        ...

    async def leader(self) -> str | None:
        """Who leads; None while nobody does."""
        ...

    async def settled(self) -> Index:
        """Wait until all nodes are in the same state, then end them in good order.

        Returns:
            How far the log went that the hosts' directories hold; 0 where none can be read.

        Raises:
            HostFailed: they did not come to the same state.
        """
        ...


class System(Protocol):
    """A kind of cluster, and how to call it."""

    def nodes(self, trial: Trial, machine: str, directory: Path, random: Random) -> Nodes:
        """Those of a run, not started yet."""
        ...

    def client(
        self, trial: Trial, addresses: Sequence[str], random: Random
    ) -> AbstractAsyncContextManager[Any]:
        """One that gives up after `DEADLINE`: what `Workload.perform` is given. Its errors are those of raftlog's."""
        ...


class Raftlog:
    """See `System`."""

    def nodes(self, trial: Trial, machine: str, directory: Path, random: Random) -> Cluster:
        """See `System.nodes`."""
        return Cluster(
            directory,
            machine,
            random=random,
            nodes=trial.nodes,
            disk=DISKS.get(trial.broken, trial.disk),
            broken=trial.broken if trial.broken in NODES else "",
        )

    def client(self, trial: Trial, addresses: Sequence[str], random: Random) -> Client:
        """See `System.client`."""
        return Client(addresses, deadline=DEADLINE, random=random, session=trial.broken not in CLIENTS)


RAFTLOG: System = Raftlog()
