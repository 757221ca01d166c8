"""Directories written by earlier programs open unchanged: samples of each format, kept as they were written."""

import asyncio
from pathlib import Path
from random import Random

import msgspec

from raftlog.core.durable import HardState, TermRun
from raftlog.core.ids import ClusterId, EntryId, GroupId, NodeId
from raftlog.core.membership import MembershipAt
from raftlog.machine.applier import Applier
from raftlog.machine.calls import encode_call
from raftlog.storage import Identity, Wal, load_or_create
from raftlog.storage.inspect import verify
from raftlog.storage.restored import load_restored
from raftlog.storage.snapshots import SnapshotId, Snapshots
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from statemachines.counter import Counter
from tests.storage.story import G0, Entropy, entry, membership, run, write

FORMAT_1 = Path(__file__).parent / "fixtures" / "format-1"
"""Two groups; eight segments of 4 KiB, one of them empty; a truncation at 5, a snapshot at 8 in four parts.

Written before there were repairs. New formats get samples of their own; these stay as they are.
"""

G7 = GroupId(7)


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(FORMAT_1.iterdir())}


def test_a_directory_of_format_1_is_read() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1), platter=Platter(files()))
        identity = await load_or_create(disk, Entropy(Random(1)))
        assert identity == Identity(NodeId(0x605E50B67DEF9CA3), ClusterId(0xC1), "sample:Machine")
        wal = await Wal.open(disk, identity=identity, segment_size=4096)
        found = wal.recovered(G0)
        assert found.hard_state == HardState(4, None, 12)
        assert (found.base.last, found.base.log_time) == (EntryId(1, 5), 5)
        assert found.base.membership == MembershipAt(4, membership(1, 2))
        assert found.runs == (TermRun(6, 2), TermRun(10, 3))
        assert (found.last, found.last_log_time, found.snapshot) == (14, 14, EntryId(2, 8))
        assert found.impaired is False
        assert await wal.read(G0, 6, 14, max_bytes=1 << 20) == (
            *(entry(index, 2, 700) for index in range(6, 10)),
            *run(10, 12, 3, 200),
            *run(13, 14, 3, 500),
        )
        other = wal.recovered(G7)
        assert (other.hard_state, other.last) == (HardState(2, NodeId(2), 1), 3)
        assert other.base.membership == MembershipAt(0, membership(1, 2))
        assert await wal.read(G7, 1, 3, max_bytes=1 << 20) == (entry(1, 1, 60, 7), *run(2, 3, 2, 300, 7))
        (manifest,) = wal.snapshots.all(G0)
        assert (manifest.meta.last, manifest.digest) == (EntryId(2, 8), 0x0123456789ABCDEF)
        state = b"".join([part async for part in wal.snapshots.stream(manifest)])
        assert state == b"".join(f"piece {n:03d} of the state at 8@2\n".encode() * 5 for n in range(13))
        await wal.append([write(entry(15, 4), term=4, commit=14)])
        await wal.close()

    asyncio.run(tale())


def test_a_directory_of_format_1_is_sound() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1), platter=Platter(files()))
        report = await verify(disk)
        assert report.sound, report.problems
        assert disk.trace == []

    asyncio.run(tale())


SNAPSHOT_1 = Path(__file__).parent / "fixtures" / "snapshot-1"
"""A snapshot of group 0 at 2@1 of cluster c0ffee, in four parts: a counter of 42 and one session.

Made with `write_part` and `seal` from `tests.backup.samples.state(0, 42)`.
"""

RESTORED_1 = Path(__file__).parent / "fixtures" / "restored-1"
"""A directory that waits with the state of two groups: an identity, `restored`, eight parts.

Made by `raftlog restore tests/backup/fixtures/format-1.backup --data-dir ...`; the lock file was removed.
"""


def on_disk(directory: Path) -> SimDisk:
    contents = {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
    return SimDisk(Random(1), platter=Platter(contents))


def counted(applier: Applier) -> int:
    return msgspec.msgpack.decode(applier.query(encode_call(Counter.read)).body, type=int)


def test_a_snapshot_of_format_1_is_read() -> None:
    async def tale() -> None:
        snapshots = await Snapshots.open(on_disk(SNAPSHOT_1), ClusterId(0xC0FFEE), entropy=lambda: 1)
        (manifest,) = snapshots.all(G0)
        assert snapshots.damage == ()
        assert (manifest.id, manifest.meta.last) == (SnapshotId(0xABC0), EntryId(1, 2))
        assert manifest.meta.membership.membership.member(NodeId(1)) is not None
        assert [part.length for part in manifest.parts] == [35, 35, 35, 16]
        applier = Applier(Counter)
        applier.restore([part async for part in snapshots.stream(manifest)])
        assert (counted(applier), applier.applied, applier.digest) == (42, EntryId(1, 2), manifest.digest)

    asyncio.run(tale())


def test_a_restored_directory_of_format_1_is_read_and_initialised() -> None:
    async def tale() -> None:
        disk = on_disk(RESTORED_1)
        identity = await load_or_create(disk, Entropy(Random(1)))
        assert identity == Identity(NodeId(0x111E381BDB6F08EB), None, "Counter")
        restored = await load_restored(disk)
        assert restored is not None
        assert (restored.source, restored.machine) == (ClusterId(0xC0FFEE), "Counter")
        members = membership(1, identity.node)
        member = await Wal.bootstrap(
            disk,
            identity=identity,
            cluster_id=ClusterId(5),
            groups={G0: members},
            restored=restored,
            segment_size=4096,
        )
        wal = await Wal.open(disk, identity=member, segment_size=4096)
        for group, value in ((G0, 42), (G7, 49)):
            (manifest,) = wal.snapshots.all(group)
            applier = Applier(Counter, group=group)
            applier.restore([part async for part in wal.snapshots.stream(manifest)])
            assert counted(applier) == value
            assert wal.recovered(group).base.membership == MembershipAt(0, members)
        await wal.close()

    asyncio.run(tale())
