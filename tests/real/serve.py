"""One node as a process of its own, on a disk of the tests' choice; ends when its standard input does.

    python -m tests.real.serve DIRECTORY ADDRESS DISK [FAILPOINTS]

DISK is local, volatile, unsynced or stalling. SIGUSR1 stalls a stalling disk, SIGUSR2 lets it go on. With any other
disk SIGUSR1 arms the failpoints, and SIGUSR2 disarms them.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random

import uvloop

from raftlog.clock import SystemClock
from raftlog.failpoints import Failpoints
from raftlog.server import Address, ServeOptions, Server
from raftlog.server.options import DiskFactory
from raftlog.storage import Disk
from raftlog.storage.local import LocalDisk
from raftlog.testing.volatile import UnsyncedDisk, VolatileDisk
from statemachines.kv import KeyValue
from tests.real.disks import StallingDisk

DISKS: Mapping[str, DiskFactory] = {
    "local": LocalDisk,
    "volatile": VolatileDisk,
    "unsynced": UnsyncedDisk,
    "stalling": StallingDisk,
}


def say(text: str, fields: Mapping[str, object]) -> None:
    """An event, for whoever reads the log of a failed test."""
    sys.stderr.write(f"{text} {dict(fields)}\n")
    sys.stderr.flush()


async def serve(directory: Path, address: Address, disk: DiskFactory, rules: str) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    points = Failpoints(random=Random(SystemClock().entropy()))

    def disarm() -> None:
        for rule in points.rules:
            points.disarm(rule.name)

    def open_disk(at: Path) -> Disk:
        opened = disk(at)
        if isinstance(opened, StallingDisk):
            loop.add_signal_handler(signal.SIGUSR1, opened.stall)
            loop.add_signal_handler(signal.SIGUSR2, opened.resume)
        else:
            loop.add_signal_handler(signal.SIGUSR1, points.arm, rules)
            loop.add_signal_handler(signal.SIGUSR2, disarm)
        return opened

    options = ServeOptions(
        data_dir=directory,
        listen=address,
        machine=KeyValue,
        disk_factory=open_disk,
        failpoints=points,
    )
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    async with Server(options, on_event=say):
        await ended.wait()


def main() -> None:
    """See the module."""
    directory, address, disk, *rules = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(directory), Address.parse(address), DISKS[disk], ";".join(rules)))


if __name__ == "__main__":
    main()
