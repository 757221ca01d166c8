"""A backup file coming into being: written aside, synced, and only then given its name."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import xxhash

from raftlog.backup.format import CHECKSUM, Header, Kind, block_head
from raftlog.core.ids import META_GROUP, GroupId
from raftlog.storage.snapshots import Manifest
from raftlog.storage.snapshots.manifest import encode

ASIDE = ".new"


class CannotWrite(Exception):
    """The file cannot be written; the sentence says why. What was begun aside is removed."""


class Mark(msgspec.Struct, frozen=True):
    """A place to go back to."""

    size: int
    running: xxhash.xxh3_64


class BackupWriter:
    """One file; entered with `with`. Left without `commit`, it leaves nothing behind.

    A crash leaves `FILE.new`, which the next backup to that name writes over; never a part of `FILE`.

    Invariant: `_running` is the checksum of the `size` bytes written so far.
    """

    def __init__(self, file: Path, header: Header, *, replace: bool = False) -> None:
        """Nothing is touched before the `with`. `replace`: an existing file may be replaced, at `commit`."""
        self.file = file
        self._header = header
        self._replace = replace
        self._aside = file.with_name(file.name + ASIDE)
        self._running = xxhash.xxh3_64()
        self.size = 0
        """Bytes so far."""
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Raises CannotWrite: the file exists, another backup writes it, or its directory cannot be written."""
        with self._told():
            self._descriptor = self._open()
        try:
            if self.file.exists() and not self._replace:  # looked at while no other backup can take the name
                raise CannotWrite(f"{self.file} exists: give another name, or --replace")
            with self._told():
                os.ftruncate(self._descriptor, 0)
            self._put(self._header.encode())
        except CannotWrite:
            self._give_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            self._give_up()

    def _open(self) -> int:
        """The file aside, held by nobody else."""
        while True:
            descriptor = os.open(self._aside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise CannotWrite(f"another backup is being written to {self.file}") from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(self._aside)):
                    return descriptor
            os.close(descriptor)  # whoever held it has just given it its name, or removed it

    def add_manifest(self, manifest: Manifest) -> None:
        """Begin a group. Raises CannotWrite."""
        self._block(Kind.MANIFEST, encode(manifest), manifest.group)

    def add_part(self, manifest: Manifest, number: int, content: bytes) -> None:
        """The next part of the group. Raises CannotWrite."""
        part = manifest.parts[number - 1]
        assert (len(content), xxhash.xxh3_64_intdigest(content)) == (part.length, part.checksum), (
            f"part {number} of {manifest} does not fit its manifest"
        )
        self._block(Kind.PART, content, manifest.group, number)

    def mark(self) -> Mark:
        """Where it stands."""
        return Mark(self.size, self._running.copy())

    def rewind(self, mark: Mark) -> None:
        """Forget what was written since."""
        with self._told():
            os.ftruncate(self._descriptor, mark.size)
            os.lseek(self._descriptor, mark.size, os.SEEK_SET)
        self.size, self._running = mark.size, mark.running.copy()

    def commit(self) -> None:
        """Close the file with its end and give it its name; durable once this returned. Raises CannotWrite."""
        self._block(Kind.END, CHECKSUM.pack(self._running.intdigest()))
        with self._told():
            os.fsync(self._descriptor)
            os.replace(self._aside, self.file)
            _sync_directory(self.file.parent)
            os.close(self._descriptor)
            self._descriptor = -1

    def _block(self, kind: Kind, content: bytes, group: GroupId = META_GROUP, number: int = 0) -> None:
        self._put(block_head(kind, content, group=group, number=number).encode())
        self._put(content)

    def _put(self, content: bytes) -> None:
        left = memoryview(content)
        with self._told():
            while left:
                left = left[os.write(self._descriptor, left) :]
        self._running.update(content)
        self.size += len(content)

    def _give_up(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._aside)
        os.close(self._descriptor)
        self._descriptor = -1

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(f"{self.file} cannot be written: {error.strerror}") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
