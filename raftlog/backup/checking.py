"""Reads a whole backup and says what is in it; the first damage ends that."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from raftlog.backup.format import BackupDamaged, BackupRefused, Header
from raftlog.backup.reading import BackupReader
from raftlog.core.ids import EntryId, GroupId, Micros
from raftlog.machine.snapshot import Head, Reader, SnapshotRefused
from raftlog.storage.snapshots import Manifest


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    """One group in a backup."""

    group: GroupId
    last: EntryId
    """The last entry whose effect is in it."""
    log_time: Micros
    size: int
    """Bytes of its stream."""
    machines: tuple[tuple[str, int], ...]
    """Name and version of each machine; the session table is the first."""

    @property
    def machine(self) -> str:
        """Name of the user's machine."""
        return self.machines[-1][0]


class Contents(msgspec.Struct, frozen=True):
    """What is in a backup that is whole."""

    header: Header
    groups: tuple[GroupState, ...]
    size: int
    """Bytes of the file."""


def check(file: Path, on_read: Callable[[int], None] = lambda offset: None) -> Contents:
    """Read it all, down to the frames of the states; `on_read` is told how far it is.

    Raises:
        BackupRefused: it is no backup, of a later format, or cannot be opened.
        BackupDamaged: it is not what was written; names the first damaged place.
    """
    try:
        with file.open("rb") as source:
            reader = BackupReader(source, str(file))
            groups = tuple(
                _state(file, reader, manifest, parts, on_read) for manifest, parts in reader.groups()
            )
            return Contents(reader.header, groups, reader.offset)
    except OSError as error:
        raise BackupRefused(f"{file} cannot be read: {error.strerror}") from None


def _state(
    file: Path,
    reader: BackupReader,
    manifest: Manifest,
    parts: Iterator[bytes],
    on_read: Callable[[int], None],
) -> GroupState:
    def watched() -> Iterator[bytes]:
        for part in parts:
            on_read(reader.offset)
            yield part

    try:
        head = _read_stream(Reader(watched()))
    except SnapshotRefused as error:
        place = f"the state of group {manifest.group}"
        raise BackupDamaged(str(file), place, reader.offset, f"cannot be read: {error}") from None
    if (head.group, head.at, head.digest) != (manifest.group, manifest.meta.last, manifest.digest):
        reason = f"stands for {head.at} of group {head.group}, its manifest for {manifest.meta.last}"
        raise BackupDamaged(str(file), f"the state of group {manifest.group}", reader.offset, reason)
    return GroupState(
        group=manifest.group,
        last=head.at,
        log_time=head.log_time,
        size=manifest.size,
        machines=head.machines,
    )


def _read_stream(stream: Reader) -> Head:
    head = stream.head()
    for _ in head.machines:
        for _ in stream.parts():
            pass
    stream.end()
    return head
