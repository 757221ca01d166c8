"""The Disk port on the operating system's files: one directory, owned by one process."""

import asyncio
import errno
import fcntl
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from raftlog.storage.damage import StorageRefused
from raftlog.storage.disk import DiskError, DiskFull

LOCK: Final = "lock"

_OPEN_FILES = 32
_MOST_PIECES = 512
_ZEROS = bytes(1 << 20)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

# macOS has no fdatasync, and its fsync does not reach the platter: only Linux is a promise.
_sync_contents: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)

T = TypeVar("T")


class LocalDisk:
    """A directory of the local file system.

    Three threads: one writes, syncs and changes names, in order; one reads; one allocates, so that zeroing the next
    file never stands before a write. Files stay open while they are in use (the 32 last ones per thread).
    """

    def __init__(self, directory: Path, *, read_only: bool = False, beside_owner: bool = False) -> None:
        """Take the directory, made if it is missing.

        Args:
            directory: where the files are.
            read_only: for looking at a stopped node's files; creates and changes nothing, not even the directory.
            beside_owner: for a process that the owner started and gave files of its own to write; takes no lock.

        Raises:
            StorageRefused: another process uses it, or it cannot be used.
        """
        self.directory = directory
        self._read_only = read_only
        self._lock = None if beside_owner else _lock(directory, read_only=read_only)
        self._writer = _Lane("disk-write")
        self._reader = _Lane("disk-read")
        self._allocator = _Lane("disk-allocate")
        self._poisoned: dict[str, str] = {}
        self._closed = False

    async def names(self) -> list[str]:
        """See `Disk.names`."""
        return await self._reader.run(self._names)

    async def size(self, name: str) -> int:
        """See `Disk.size`."""
        return await self._reader.run(lambda: _told(name, lambda: os.stat(self.directory / name).st_size))

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        return await self._reader.run(lambda: _told(name, lambda: self._read(name, offset, length)))

    async def allocate(self, name: str, size: int) -> None:
        """See `Disk.allocate`."""
        self._check_writable()
        await self._allocator.run(lambda: self._allocate(name, size))

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """See `Disk.write`."""
        self._check_writable()
        await self._writer.run(lambda: _told(name, lambda: self._write(name, offset, pieces)))

    async def sync(self, name: str) -> None:
        """See `Disk.sync`."""
        self._check_writable()
        await self._writer.run(lambda: self._sync(name))

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """See `Disk.write_and_sync`."""
        self._check_writable()
        await self._writer.run(lambda: self._write_and_sync(name, offset, pieces))

    async def rename(self, old: str, new: str) -> None:
        """See `Disk.rename`."""
        self._check_writable()
        await self._writer.run(lambda: self._rename(old, new))
        await self._reader.run(lambda: self._reader.forget(old, new))

    async def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        self._check_writable()
        await self._writer.run(lambda: self._remove(name))
        await self._reader.run(lambda: self._reader.forget(name))

    async def sync_names(self) -> None:
        """See `Disk.sync_names`."""
        self._check_writable()
        await self._writer.run(lambda: _told(str(self.directory), lambda: _sync_directory(self.directory)))

    async def close(self) -> None:
        """See `Disk.close`. The directory is free for another process afterwards."""
        if self._closed:
            return
        self._closed = True
        for lane in (self._allocator, self._writer, self._reader):
            await lane.close()
        if self._lock is not None:
            os.close(self._lock)

    # ------------------------------------------------------------------------------- on the threads

    def _names(self) -> list[str]:
        with os.scandir(self.directory) as found:
            return sorted(file.name for file in found if file.name != LOCK and file.is_file())

    def _read(self, name: str, offset: int, length: int) -> bytes:
        descriptor = self._reader.descriptor(self.directory / name, os.O_RDONLY)
        parts = []
        while length > 0 and (part := os.pread(descriptor, length, offset)):
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _allocate(self, name: str, size: int) -> None:
        path = self.directory / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _refusal(error, "create", name) from error
        try:
            _zero(descriptor, size)
        except OSError as error:
            os.unlink(path)
            raise _refusal(error, "allocate", name) from error
        finally:
            os.close(descriptor)

    def _write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        self._check_sound(name)
        descriptor = self._writer.descriptor(self.directory / name, os.O_RDWR)
        for start in range(0, len(pieces), _MOST_PIECES):
            offset = _write_all(descriptor, pieces[start : start + _MOST_PIECES], offset)

    def _write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        _told(name, lambda: self._write(name, offset, pieces))
        self._sync(name)

    def _sync(self, name: str) -> None:
        self._check_sound(name)
        try:
            _sync_contents(self._writer.descriptor(self.directory / name, os.O_RDWR))
        except OSError as error:
            self._poisoned[name] = str(error)
            raise DiskError(
                f"{name}: the sync failed ({error}); nothing written to it counts any more"
            ) from error

    def _rename(self, old: str, new: str) -> None:
        _told(old, lambda: os.rename(self.directory / old, self.directory / new))
        self._writer.forget(old, new)
        self._poisoned.pop(new, None)
        if (reason := self._poisoned.pop(old, None)) is not None:
            self._poisoned[new] = reason

    def _remove(self, name: str) -> None:
        _told(name, lambda: os.unlink(self.directory / name))
        self._writer.forget(name)
        self._poisoned.pop(name, None)

    def _check_sound(self, name: str) -> None:
        if (reason := self._poisoned.get(name)) is not None:
            raise DiskError(f"{name}: refused, an earlier sync failed ({reason})")

    def _check_writable(self) -> None:
        assert not self._read_only, f"{self.directory} was opened for reading only"


class _Lane:
    """One thread, and the files it holds open. Everything but `run` and `close` belongs on the thread."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._open: OrderedDict[str, int] = OrderedDict()

    async def run(self, call: Callable[[], T]) -> T:
        """Perform a call after all that were submitted before it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def descriptor(self, path: Path, flags: int) -> int:
        """The open file of that name."""
        name = path.name
        if (descriptor := self._open.get(name)) is not None:
            self._open.move_to_end(name)
            return descriptor
        if len(self._open) >= _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        descriptor = self._open[name] = os.open(path, flags | os.O_CLOEXEC)
        return descriptor

    def forget(self, *names: str) -> None:
        """Close files whose names changed."""
        for name in names:
            if (descriptor := self._open.pop(name, None)) is not None:
                os.close(descriptor)

    async def close(self) -> None:
        """Finish what was submitted, close the files, end the thread."""
        await self.run(lambda: self.forget(*self._open))
        self._thread.shutdown(wait=False)


def _lock(directory: Path, *, read_only: bool) -> int | None:
    """Hold the directory for this process; the lock goes with the process, however it ends."""
    path = directory / LOCK
    try:
        if not read_only:
            directory.mkdir(parents=True, exist_ok=True)
        elif not directory.is_dir():
            raise StorageRefused(f"there is no directory {directory}")
        elif not path.exists():
            return None
        descriptor = os.open(
            path, (os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT) | os.O_CLOEXEC, 0o644
        )
    except OSError as error:
        raise StorageRefused(f"the directory {directory} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        message = (
            f"the directory {directory} is in use by process {owner}: stop it, or name another directory"
        )
        raise StorageRefused(message) from error
    if not read_only:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _zero(descriptor: int, size: int) -> None:
    """Reserve and write the blocks: a file of written zeros is the cheapest to sync later (no extents to convert)."""
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    offset = 0
    while offset < size:
        offset += os.pwrite(descriptor, memoryview(_ZEROS)[: size - offset], offset)
        _sync_contents(descriptor)  # in small steps: one large flush would hold up the syncs of the log
    os.fsync(descriptor)


def _write_all(descriptor: int, pieces: Sequence[bytes], offset: int) -> int:
    """Write the pieces at `offset`, however little the system takes at a time; where the next one would go."""
    rest = [memoryview(piece) for piece in pieces if piece]
    while rest:
        written = os.pwritev(descriptor, rest, offset)
        if written == 0:
            raise OSError(errno.ENOSPC, "the device took no more bytes")
        offset += written
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if written:
            rest[0] = rest[0][written:]
    return offset


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _told(name: str, call: Callable[[], T]) -> T:
    """Perform a call; what the system refuses becomes a DiskError that names the file."""
    try:
        return call()
    except OSError as error:
        raise DiskError(f"{name}: {error.strerror or error}") from error


def _refusal(error: OSError, what: str, name: str) -> DiskError:
    if error.errno in _NO_SPACE:
        return DiskFull(f"there is no space to {what} {name}: free some; nothing is lost")
    return DiskError(f"{name}: {error.strerror or error}")
