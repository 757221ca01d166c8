"""The machine a benchmark ran on, as far as its figures depend on it."""

import importlib.metadata
import os
import pathlib
import platform

import msgspec

from bench.floor import sync_times
from bench.workload import percentile

VOLATILE = ("tmpfs", "ramfs")
"""File systems where a sync costs nothing and keeps nothing: figures from them say little."""


class Machine(msgspec.Struct, frozen=True):
    """What a reader must know beside the figures."""

    processor: str
    cores: int
    """Those this process may use."""
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]
    directory: str
    filesystem: str
    fdatasync_p50_us: float
    """Of a 4 KiB write to a file filled with zeros before."""


def look(directory: pathlib.Path) -> Machine:
    """Note the machine, measuring its disk in `directory` for a moment."""
    syncs = sorted(sync_times(directory / "machine", 200, "fill"))
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in ("grpcio", "msgspec", "uvloop")},
        directory=str(directory.parent),
        filesystem=filesystem_of(directory),
        fdatasync_p50_us=percentile(syncs, 50) * 1e6,
    )


def filesystem_of(directory: pathlib.Path) -> str:
    """The type of the file system that holds `directory`."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted:
            return rest.split()[0]
    return "unknown"


def _processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
