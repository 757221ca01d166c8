"""The yardstick: a pipeline that replicates and syncs like the real thing, without Raft.

    client --1--> primary --2--> replica, replica
                  write + fdatasync    write + fdatasync
    client <--4-- primary <--3-- durable

1. Calls made at the same time travel in one frame. 2. What arrived while the last write was in flight is one batch: one
write and one fdatasync in a worker thread, while the same bytes travel to two replicas. 3. A replica syncs what has
come and says so. 4. When the primary and one replica have a command durable, it is decoded by its type, run on a dict
and its answer is encoded; the replicas do the same when they hear of the commit.

Spared are terms, elections, sessions, the log's index and recovery, new segments (its file is a ring), reads and
every check that makes a log trustworthy. What the real log does beside this is the price of those.
"""

import pathlib
from typing import Self

from bench.processes import Child, ChildFailed, python


class YardstickNodes:
    """Three processes on loopback, as a context manager. Not for reuse."""

    name = "yardstick"

    def __init__(self, directory: pathlib.Path, profiles: pathlib.Path | None = None) -> None:
        self._directory = directory
        self._profiles = profiles
        self._nodes: list[Child] = []
        self.addresses: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        try:
            replicas = [self._start(name) for name in ("replica-1", "replica-2")]
            self.addresses = (self._start("primary", *replicas),)
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name, the primary first."""
        return {node.name: node.pid for node in reversed(self._nodes)}

    def stop(self) -> dict[str, int]:
        """End all three, the primary first, and say how many commands each has applied.

        Raises:
            ChildFailed: one of them came to a bad end.
        """
        applied: dict[str, int] = {}
        for node in reversed(self._nodes):
            node.end()
            applied[node.name] = int(node.word("applied"))
            if code := node.wait():
                raise ChildFailed(f"{node.name} ended with exit code {code}")
        return applied

    def kill(self) -> None:
        """End what still runs."""
        for node in self._nodes:
            node.__exit__()

    def _start(self, name: str, *replicas: str) -> str:
        home = self._directory / name
        home.mkdir(parents=True)
        profile = self._profiles / f"{self.name}-{name}.prof" if self._profiles else None
        command = python("bench.yardstick_node", str(home), *replicas, profile=profile)
        node = Child(name, command, home / "stderr")
        self._nodes.append(node)
        return f"127.0.0.1:{node.word('ready')}"
