"""One node under test as a process of its own: `python -m jepsen_like.cluster.serve SETTING`, a `Setting` in JSON.

It reads orders from its standard input, a line each, answers them on its standard output, and ends when its input does.
What happens to it stands on its standard error, as `raftlog serve` writes it.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import uvloop

from jepsen_like.cluster.broken import NODES
from jepsen_like.cluster.clock import FaultyClock
from jepsen_like.cluster.disk import FaultyDisk
from jepsen_like.cluster.orders import (
    AnyOrder,
    Arm,
    Disarm,
    Done,
    Drift,
    FailNext,
    Full,
    Jump,
    Setting,
    Slow,
    Stall,
)
from raftlog.clock import SystemClock
from raftlog.core.settings import Settings
from raftlog.failpoints import BadRule, Failpoints
from raftlog.server import Address, ServeOptions, Server
from raftlog.server.machine_spec import load_machine
from raftlog.server.options import DiskFactory
from raftlog.storage import Disk
from raftlog.storage.local import LocalDisk
from raftlog.testing.volatile import UnsyncedDisk, VolatileDisk

DISKS: Mapping[str, DiskFactory] = {
    "local": LocalDisk,
    "volatile": VolatileDisk,
    "unsynced": UnsyncedDisk,
}


class Subject:
    """The node, and what can be done to it from inside its process."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._clock = FaultyClock(SystemClock())
        self._failpoints = Failpoints()
        self._disk: FaultyDisk

    async def run(self) -> None:
        """Until the orders end, or SIGTERM asks it to stop."""
        loop = asyncio.get_running_loop()
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        ended = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        async with Server(self._options(), clock=self._clock, on_event=say), asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._obey(orders, ended))
            await ended.wait()
            reading.cancel()

    def _options(self) -> ServeOptions:
        setting = self._setting
        times = Settings()
        if setting.election_timeout:
            span = setting.election_timeout
            times = Settings(election_timeout=span, heartbeat=min(times.heartbeat, span // 5))
        return ServeOptions(
            data_dir=Path(setting.directory),
            name=setting.name,
            listen=Address.parse(setting.listen),
            machine=load_machine(setting.machine),
            settings=times,
            disk_factory=self._open_disk,
            failpoints=self._failpoints,
            routes=setting.routes,
        )

    def _open_disk(self, directory: Path) -> Disk:
        self._disk = FaultyDisk(DISKS[self._setting.disk](directory))
        return self._disk

    async def _obey(self, orders: asyncio.StreamReader, ended: asyncio.Event) -> None:
        while line := await orders.readline():
            order = msgspec.json.decode(line, type=AnyOrder)
            answer = Done(order.number, self._carry_out(order))
            sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
            sys.stdout.flush()
        ended.set()

    def _carry_out(self, order: AnyOrder) -> str:
        match order:
            case Stall():
                self._disk.stall(order.on)
            case Slow():
                self._disk.latency = order.latency / 1_000_000
            case Full():
                self._disk.full = order.on
            case FailNext():
                self._disk.fail_next(order.operation)
            case Jump():
                self._clock.jump(order.by)
            case Drift():
                self._clock.drift(order.ppm)
            case Arm():
                try:
                    self._failpoints.arm(order.rules)
                except BadRule as bad:
                    return str(bad)
            case Disarm():
                for rule in self._failpoints.rules:
                    self._failpoints.disarm(rule.name)
        return ""


def say(text: str, fields: Mapping[str, object]) -> None:
    """An event, for whoever reads the log of a failed run."""
    shown = " ".join(f"{name}={value}" for name, value in fields.items())
    sys.stderr.write(f"{SystemClock().wall() / 1_000_000:.6f} {text} {shown}\n")
    sys.stderr.flush()


def main() -> None:
    """See the module."""
    setting = msgspec.json.decode(sys.argv[1], type=Setting)
    if setting.broken:
        NODES[setting.broken]()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Subject(setting).run())


if __name__ == "__main__":
    main()
