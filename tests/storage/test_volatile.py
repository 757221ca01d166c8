"""The disks that forget: a process killed with SIGKILL loses what was not synced, and nothing else."""

import asyncio
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from raftlog.storage import LocalDisk, Wal, load_or_create
from raftlog.storage.identity import load
from tests.storage.story import G0, Entropy, run

SCRIPT = """
import asyncio, os, signal, sys
from pathlib import Path
from random import Random
from raftlog.storage import LocalDisk, Wal, load_or_create
from raftlog.testing.volatile import UnsyncedDisk, VolatileDisk
from tests.storage.story import CLUSTER, G0, SEGMENT, Entropy, entry, membership, run, write

kind, directory = {"volatile": VolatileDisk, "unsynced": UnsyncedDisk}[sys.argv[1]], Path(sys.argv[2])

async def main():
    disk = kind(directory)
    identity = await load_or_create(disk, Entropy(Random(1)))
    groups = {G0: membership(1)}
    identity = await Wal.bootstrap(
        disk, identity=identity, cluster_id=CLUSTER, groups=groups, segment_size=SEGMENT
    )
    wal = await Wal.open(disk, identity=identity, segment_size=SEGMENT)
    for each in run(1, 20, 1, size=400):
        await wal.append([write(each, term=1)])
    assert await wal.read(G0, 1, 20, max_bytes=1 << 20) == run(1, 20, 1, size=400)
    await disk.write(f"{wal.end.segment:016d}.seg", wal.end.offset, [b"garbage that no sync covers"])
    await disk.allocate("unsynced", 512)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def found_in(directory: Path) -> tuple[int, list[str]]:
    disk = LocalDisk(directory)
    names = await disk.names()
    identity = await load_or_create(disk, Entropy(Random(1)))
    wal = await Wal.open(disk, identity=identity, segment_size=4096)
    last = wal.recovered(G0).last
    if last:
        assert await wal.read(G0, 1, last, max_bytes=1 << 20) == run(1, last, 1, size=400)
    await wal.close()
    assert await load(disk) == identity
    await disk.close()
    return last, names


@pytest.mark.real
@pytest.mark.parametrize("kind, last", [("volatile", 20), ("unsynced", 0)])
def test_a_killed_process_loses_what_no_sync_covered(kind: str, last: int, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -9, ended.stderr
    found, names = asyncio.run(found_in(tmp_path))
    assert found == last
    assert "unsynced" not in names
