"""Backups written by earlier programs are read unchanged: samples of each format, kept as they were written."""

from pathlib import Path

import msgspec

from raftlog.backup.checking import check
from raftlog.backup.format import Kind
from raftlog.backup.reading import BackupReader
from raftlog.backup.writing import BackupWriter
from raftlog.core.ids import EntryId
from raftlog.machine.applier import Applier
from raftlog.machine.calls import encode_call
from statemachines.counter import Counter
from tests.backup.samples import CLUSTER, TAKEN_AT
from tests.backup.test_format import blocks

FORMAT_1 = Path(__file__).parent / "fixtures" / "format-1.backup"
"""Groups 0 and 7 at 2@1, counters of 42 and 49, in four parts each, the last shorter; made by `tests.backup.samples`.

New formats get samples of their own; this one stays as it is.
"""


def test_a_backup_of_format_1_is_read() -> None:
    found = check(FORMAT_1)
    assert (found.header.cluster, found.header.taken_at, found.header.release) == (CLUSTER, TAKEN_AT, "0.1.0")
    assert [(each.group, each.last, each.machines) for each in found.groups] == [
        (group, EntryId(1, 2), (("raftlog.sessions", 1), ("Counter", 1))) for group in (0, 7)
    ]
    with FORMAT_1.open("rb") as source:
        for manifest, parts in BackupReader(source, "the sample").groups():
            applier = Applier(Counter, group=manifest.group)
            applier.restore(parts)
            assert (
                msgspec.msgpack.decode(applier.query(encode_call(Counter.read)).body) == 42 + manifest.group
            )


def test_what_is_in_it_is_framed_alike_today(tmp_path: Path) -> None:
    """A change here is another format version. Fields that manifests gain, with defaults, are none."""
    with FORMAT_1.open("rb") as source:
        reader = BackupReader(source, "the sample")
        with BackupWriter(tmp_path / "b", reader.header) as writer:
            for manifest, parts in reader.groups():
                writer.add_manifest(manifest)
                for number, part in enumerate(parts, start=1):
                    writer.add_part(manifest, number, part)
            writer.commit()
    then, now = FORMAT_1.read_bytes(), (tmp_path / "b").read_bytes()
    assert now.startswith(reader.header.encode())
    assert then.startswith(reader.header.encode())
    for (*old, _, old_body), (*new, _, new_body) in zip(blocks(then), blocks(now), strict=True):
        assert old == new
        assert old_body == new_body or old[0] != Kind.PART
    assert [(each.group, each.last) for each in check(tmp_path / "b").groups] == [
        (each.group, each.last) for each in check(FORMAT_1).groups
    ]
