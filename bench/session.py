"""One turn of one system: its nodes started, loaded by the load generator, and stopped."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Protocol, Self

import msgspec

from bench.cluster import RaftlogNodes
from bench.load import Observed, Plan
from bench.processes import Child, python
from bench.workload import Span, Workload
from bench.yardstick import YardstickNodes


class Nodes(Protocol):
    """A running system under load. Leaving the context ends what still runs."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients connect."""
        ...

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name, the leading node first."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def stop(self) -> object:
        """End all processes cleanly."""
        ...


Start = Callable[[pathlib.Path, pathlib.Path | None], Nodes]

SYSTEMS: dict[str, Start] = {"yardstick": YardstickNodes, "raftlog": RaftlogNodes, "wire": RaftlogNodes}
"""What can be measured, the yardstick first: nodes made from a fresh directory and a place for profiles."""


def once(
    system: str,
    workloads: tuple[Workload, ...],
    span: Span,
    home: pathlib.Path,
    profiles: pathlib.Path | None = None,
) -> Iterator[Observed]:
    """Start fresh nodes of one system in `home`, run the workloads, stop them. With `profiles`, all under a profiler.

    Raises:
        ChildFailed: a process did not start, answered wrongly or died.
    """
    home.mkdir(parents=True)
    with SYSTEMS[system](home, profiles) as nodes:
        plan = Plan(
            system=system,
            addresses=nodes.addresses,
            workloads=workloads,
            span=span,
            processes=nodes.processes,
            profile=str(profiles / f"{system}-client.prof") if profiles else None,
        )
        command = python("bench.load", msgspec.json.encode(plan).decode())
        with Child("the load generator", command, home / "load.stderr") as load:
            patience = 60.0 + span.warm + span.seconds
            for _ in workloads:
                yield msgspec.json.decode(load.word("measured", patience), type=Observed)
            load.wait()
        nodes.stop()
