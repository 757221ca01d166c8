"""The load generator: a process that asks one system for everything in a plan and writes one line per measure."""

import os
import sys
from collections.abc import Sequence

import msgspec

from bench.client_load import ClientLoad
from bench.processes import Cpu, cpu_used, machine_used, run_quickly
from bench.profiled import profiled
from bench.wire_client import WireClient
from bench.workload import Measure, Span, Target, Window, Workload, run
from bench.yardstick_client import YardstickClient


class Plan(msgspec.Struct, frozen=True):
    """What the load generator is told."""

    system: str
    addresses: tuple[str, ...]
    workloads: tuple[Workload, ...]
    span: Span
    processes: dict[str, int]
    """Process ids of the system's nodes by name: their processor time is noted."""
    profile: str | None = None
    """A file for a profile of the load generator itself."""


class Spent(msgspec.Struct, frozen=True):
    """Processor time per command in one process, in microseconds."""

    whole_us: float
    """In all its threads."""
    loop_us: float
    """In its event loop's thread alone; the rest is gRPC's threads and the disk's."""


class Observed(msgspec.Struct, frozen=True):
    """One measure with the processor time it took: of the client, the leading node and the others in turn."""

    measure: Measure
    spent: dict[str, Spent]
    others: float
    """Share of the machine's processors that was used by anything else meanwhile: above 0.1 the figure is disturbed."""


class CountedCpu(Window):
    """A window that also notes how much processor time passed inside it, by process."""

    def __init__(self, processes: dict[str, int]) -> None:
        super().__init__()
        self._processes = processes
        self._before: dict[str, Cpu] = {}
        self._after: dict[str, Cpu] = {}
        self._machine_before = (0.0, 0.0)
        self._machine_after = (0.0, 0.0)

    def open(self) -> None:
        """See `Window`."""
        self._before = self._now()
        self._machine_before = machine_used()
        super().open()

    def close(self) -> None:
        """See `Window`."""
        super().close()
        self._after = self._now()
        self._machine_after = machine_used()

    @property
    def others(self) -> float:
        """Share of the machine's processors that other processes used."""
        busy, whole = (
            after - before for after, before in zip(self._machine_after, self._machine_before, strict=True)
        )
        ours = sum(after.whole - self._before[name].whole for name, after in self._after.items())
        return max(0.0, busy - ours) / whole if whole else 0.0

    def per_command(self, commands: int) -> dict[str, Spent]:
        """By process, in the order given."""
        return {
            name: Spent(
                whole_us=(after.whole - self._before[name].whole) / commands * 1e6,
                loop_us=(after.loop - self._before[name].loop) / commands * 1e6,
            )
            for name, after in self._after.items()
        }

    def _now(self) -> dict[str, Cpu]:
        return {name: cpu_used(pid) for name, pid in self._processes.items()}


async def connect(system: str, addresses: Sequence[str]) -> Target:
    """A client of the named system, connected and answered once.

    Raises:
        ValueError: no such system.
    """
    match system:
        case "yardstick":
            target: Target = YardstickClient(addresses[0])
        case "raftlog":
            client = ClientLoad(addresses)
            await client.open()
            target = client
        case "wire":
            target = WireClient(addresses[0])
        case _:
            raise ValueError(f"there is no system '{system}' to measure")
    await target.put("bench/first", b"")
    return target


async def perform(plan: Plan) -> None:
    """Ask for everything in the plan; one JSON line per measure."""
    target = await connect(plan.system, plan.addresses)
    try:
        for workload in plan.workloads:
            window = CountedCpu({"client": os.getpid(), **plan.processes})
            measure = await run(workload, target, plan.span, window)
            observed = Observed(measure, window.per_command(measure.commands), window.others)
            print("measured", msgspec.json.encode(observed).decode(), flush=True)
    finally:
        await target.close()


def main() -> None:
    """`python -m bench.load PLAN`, the plan in JSON."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    if plan.profile is None:
        run_quickly(perform(plan))
        return
    with profiled(plan.profile):
        run_quickly(perform(plan))


if __name__ == "__main__":
    main()
