"""What the main job asks of a cluster of processes."""

from typing import Protocol

import msgspec

from raftlog.core.ids import Index, Term


class View(msgspec.Struct, frozen=True):
    """How one node sees group 0."""

    leads: bool
    term: Term
    committed: Index
    applied: Index
    digest: int


class Nodes(Protocol):
    """Three processes, by name."""

    @property
    def addresses(self) -> dict[str, str]:
        """Where clients reach each node, running or not."""
        ...

    async def views(self) -> dict[str, View]:
        """Of every node that answers."""
        ...

    def kill(self, name: str) -> int:
        """SIGKILL a node's process, now; its process id. It is not started again by itself."""
        ...

    async def start(self, name: str) -> None:
        """Start the process of a killed node again, on its own data directory."""
        ...
