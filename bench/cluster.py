"""Three real nodes of raftlog as processes on loopback, ready for load."""

import importlib.util
import pathlib
from typing import Self

from bench.processes import Child, ChildFailed


class RaftlogNodes:
    """Three processes of `raftlog serve`, initialised into one cluster, as a context manager. Not for reuse."""

    name = "raftlog"

    def __init__(self, directory: pathlib.Path, profiles: pathlib.Path | None = None) -> None:
        self._directory = directory
        self._profiles = profiles
        self._nodes: list[Child] = []
        self.addresses: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        if importlib.util.find_spec("raftlog.client") is None:
            raise ChildFailed("raftlog.client is not there yet")
        raise ChildFailed("raftlog's nodes cannot be started yet")

    def __exit__(self, *_: object) -> None:
        for node in self._nodes:
            node.__exit__()

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name, the leader first."""
        return {node.name: node.pid for node in self._nodes}

    def stop(self) -> None:
        """End all three by SIGTERM."""
