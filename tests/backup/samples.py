"""A small backup made by hand: two groups, several parts. `python -m tests.backup.samples FILE` writes it."""

import sys
from pathlib import Path

import xxhash

from raftlog.backup.format import Header
from raftlog.backup.writing import BackupWriter
from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import META_GROUP, ClusterId, EntryId, GroupId, NodeId
from raftlog.core.membership import Member, Membership, MembershipAt
from raftlog.machine.applier import Applier
from raftlog.machine.calls import encode_call
from raftlog.storage.snapshots import Manifest, Part, SnapshotId
from statemachines.counter import Counter
from tests.machine.logs import Log, loose, open_session

CLUSTER = ClusterId(0xC0FFEE)
TAKEN_AT = 1_700_000_000_000_000
PART = 35
MEMBERS = Membership(voters=(NodeId(1),), members=(Member(NodeId(1), "old", "o:1", "o:1"),))


def state(group: GroupId, value: int) -> tuple[Manifest, list[bytes]]:
    """A group's manifest and parts: a counter that was added to, and a session."""
    log, applier = Log(group), Applier(Counter, group=group)
    open_session(log, applier)
    applier.apply(log.entry(loose(encode_call(Counter.add, value))))
    stream = b"".join(applier.write(applier.capture()))
    parts = [stream[at : at + PART] for at in range(0, len(stream), PART)]
    last = applier.applied
    meta = SnapshotMeta(last, MembershipAt(0, MEMBERS), applier.log_time)
    return (
        Manifest(
            id=SnapshotId(0xABC0 + group),
            cluster=CLUSTER,
            group=group,
            meta=meta,
            digest=applier.digest,
            parts=tuple(Part(len(part), xxhash.xxh3_64_intdigest(part)) for part in parts),
        ),
        parts,
    )


def write(file: Path, groups: tuple[GroupId, ...] = (META_GROUP, GroupId(7))) -> None:
    """The sample; the counter of group g has the value 42 + g."""
    header = Header(cluster=CLUSTER, taken_at=TAKEN_AT, release="0.1.0", groups=groups)
    with BackupWriter(file, header) as writer:
        for group in groups:
            manifest, parts = state(group, 42 + group)
            writer.add_manifest(manifest)
            for number, part in enumerate(parts, start=1):
                writer.add_part(manifest, number, part)
        writer.commit()


def last_of(group: GroupId) -> EntryId:
    """Where the sample's groups stand."""
    return state(group, 0)[0].meta.last


if __name__ == "__main__":
    write(Path(sys.argv[1]))
