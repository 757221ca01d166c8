"""Every format says its version, ARCHITECTURE lists it, and what is of another version is refused by name."""

import asyncio
import io
import re
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import xxhash

from raftlog import cluster
from raftlog.backup import format as backup
from raftlog.backup.reading import BackupReader
from raftlog.cluster import ClusterFailed, ClusterFile
from raftlog.core.ids import META_GROUP, Boot, ClusterId, EntryId, NodeId
from raftlog.machine import snapshot as stream
from raftlog.machine.applier import Applier
from raftlog.service import Service
from raftlog.storage import Identity, StorageRefused, Wal, load_or_create, restored
from raftlog.storage import format as segments
from raftlog.storage.snapshots import Snapshots, manifest
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from raftlog.transport import client_frames, handshake
from raftlog.transport.client_frames import ClientFrame, encode_client_frame
from raftlog.transport.port import Lane
from statemachines.counter import Counter
from tests.backup import samples
from tests.service.memory import Wire
from tests.storage.story import Entropy

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "storage" / "fixtures"
OTHER = 2

VERSIONS = {
    "raftlog/storage/format.py": segments.FORMAT,
    "raftlog/storage/identity.py": segments.FORMAT,
    "raftlog/storage/snapshots/manifest.py": manifest.FORMAT,
    "raftlog/storage/restored.py": restored.FORMAT,
    "raftlog/machine/snapshot.py": stream.FORMAT,
    "raftlog/backup/format.py": backup.FORMAT,
    "raftlog/cluster.py": cluster.FORMAT,
    "proto/raftlog/pb/raft.proto": f"protocol {handshake.PROTOCOL_VERSION}",
    "proto/raftlog/pb/client.proto": f"protocol {client_frames.PROTOCOL_VERSION}",
}


def table() -> dict[str, str]:
    """Version by module, as ARCHITECTURE has it."""
    page = (
        (ROOT / "ARCHITECTURE.md").read_text().partition("## Formats and versions")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    return {path: version for _, version, where in rows for path in re.findall(r"`([\w/.]+\.\w+)`", where)}


def test_the_table_of_formats_is_what_the_code_says() -> None:
    listed = table()
    for path in listed:
        assert (ROOT / path).exists(), f"ARCHITECTURE names {path}"
    assert {path: listed.get(path) for path in VERSIONS} == {path: str(v) for path, v in VERSIONS.items()}


def test_every_module_with_a_format_is_in_the_table() -> None:
    """A new one shows itself by its constant."""
    named = re.compile(r"^(FORMAT|PROTOCOL_VERSION)(: Final)? = ", re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "raftlog").rglob("*.py")
        if named.search(path.read_text())
    }
    wire = {
        "raftlog/transport/handshake.py",
        "raftlog/transport/client_frames.py",
    }  # listed by their .proto files
    assert found - wire <= set(table()), "give it a row in ARCHITECTURE, a fixture and a refusal here"


def sector(content: bytes) -> bytes:
    """A sector of another version, its checksum in order."""
    spoilt = content[:8] + struct.pack("<I", OTHER) + content[12:504]
    return spoilt + struct.pack("<Q", xxhash.xxh3_64_intdigest(spoilt)) + content[512:]


def sealed(content: bytes) -> bytes:
    """The same for a file whose body has a length."""
    end = 16 + struct.unpack_from("<I", content, 12)[0]
    spoilt = content[:8] + struct.pack("<I", OTHER) + content[12:end]
    return spoilt + struct.pack("<Q", xxhash.xxh3_64_intdigest(spoilt)) + content[end + 8 :]


def spoilt(directory: str, suffix: str, spoil: Callable[[bytes], bytes]) -> SimDisk:
    """A sample's directory, the files whose names end so being of another version."""
    contents = {path.name: path.read_bytes() for path in sorted((FIXTURES / directory).iterdir())}
    changed = {
        name: spoil(content) if name.endswith(suffix) else content for name, content in contents.items()
    }
    assert changed != contents, "nothing was changed: no test"
    return SimDisk(Random(1), platter=Platter(changed))


def of_format_1(disk: SimDisk) -> Awaitable[Wal]:
    return Wal.open(
        disk,
        identity=Identity(NodeId(0x605E50B67DEF9CA3), ClusterId(0xC1), "sample:Machine"),
        segment_size=4096,
        repair=True,
    )


@pytest.mark.parametrize(
    "directory, suffix, spoil, start",
    [
        ("format-1", "8.seg", sector, of_format_1),
        ("format-1", "identity", sector, lambda disk: load_or_create(disk, Entropy(Random(1)))),
        ("format-1", ".snap", sealed, of_format_1),
        (
            "snapshot-1",
            ".snap",
            sealed,
            lambda disk: Snapshots.open(disk, ClusterId(0xC0FFEE), entropy=lambda: 1),
        ),
        ("restored-1", "restored", sealed, restored.load_restored),
    ],
    ids=["segment", "identity", "manifest in a log's directory", "manifest", "restored"],
)
def test_a_file_of_another_version_is_refused_by_name_and_left_alone(
    directory: str,
    suffix: str,
    spoil: Callable[[bytes], bytes],
    start: Callable[[SimDisk], Awaitable[object]],
) -> None:
    disk = spoilt(directory, suffix, spoil)
    before = disk.platter.contents()
    with pytest.raises(StorageRefused, match=rf"{suffix} has format version {OTHER}, this program reads 1"):
        asyncio.run(_await(start(disk)))
    assert disk.platter.contents() == before


async def _await(work: Awaitable[object]) -> None:
    await work


def test_a_backup_of_another_version() -> None:
    content = (ROOT / "tests" / "backup" / "fixtures" / "format-1.backup").read_bytes()
    with pytest.raises(
        backup.BackupRefused, match=f"the backup b has format version {OTHER}, this program reads 1"
    ):
        BackupReader(io.BytesIO(sealed(content)), "b")


def test_a_backup_with_a_manifest_of_another_version() -> None:
    found, _ = samples.state(META_GROUP, 1)
    content = sealed(manifest.encode(found))
    header = backup.Header(cluster=samples.CLUSTER, taken_at=0, release="9", groups=(META_GROUP,))
    file = header.encode() + backup.block_head(backup.Kind.MANIFEST, content).encode() + content
    with pytest.raises(backup.BackupRefused, match=f"manifest of group 0 in b has format version {OTHER}"):
        next(iter(BackupReader(io.BytesIO(file), "b").groups()))


def test_a_state_of_another_version() -> None:
    head = stream.Head(
        stream.MAGIC, OTHER, META_GROUP, EntryId(1, 1), 1, 1, (("raftlog.sessions", 1), ("Counter", 1))
    )
    with pytest.raises(stream.SnapshotRefused, match=r"has format \[2\], this version reads 1"):
        Applier(Counter).restore(stream.write_stream(head, ((), ())))


def test_a_cluster_file_of_another_version(tmp_path: Path) -> None:
    ClusterFile(OTHER, (), None).write(tmp_path)
    with pytest.raises(ClusterFailed, match=f"is of version {OTHER}, which this release does not know"):
        ClusterFile.read(tmp_path)


def test_a_peer_of_another_version() -> None:
    me = handshake.Identity(NodeId(1), ClusterId(5), Boot(1))
    door = handshake.Doorkeeper(me)
    door.allow([NodeId(2)])
    hello = handshake.Hello(OTHER, ClusterId(5), NodeId(2), NodeId(1), Boot(2), Lane.BULK)
    verdict = door.admit(hello)
    assert isinstance(verdict, handshake.Refused)
    assert verdict.blame is handshake.Blame.PROTOCOL
    assert f"it speaks protocol version {OTHER}, here is 1" in verdict.reason
    welcome = handshake.Welcome(OTHER, NodeId(2), Boot(2))
    answer = handshake.accept_welcome(door.hello(NodeId(2), Lane.BULK), welcome)
    assert answer is not None
    assert f"in protocol version {OTHER}, not 1" in answer.reason


def test_a_client_of_another_version() -> None:
    async def talk() -> None:
        wire = Wire()
        await wire.client.send(encode_client_frame(ClientFrame(protocol_version=OTHER, commands=b"\x90")))
        await wire.client.close()
        nobody: Any = _Nobody()
        await Service(nobody).serve_link(wire.node)

    with pytest.raises(
        client_frames.BadFrame, match=f"the client speaks protocol version {OTHER}, this node 1"
    ):
        asyncio.run(talk())


class _Nobody:
    """Requests that must not be asked for anything."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"asked for {name}")
