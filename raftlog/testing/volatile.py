"""Disks for real processes that lose what was not synced when they are killed: SIGKILL alone spares the page cache."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from raftlog.storage.disk import DiskError
from raftlog.storage.local import LocalDisk

_UNFINISHED = ".volatile.new"


class _File:
    """A file as this process sees it."""

    def __init__(self, real: str | None, cache: bytearray | None) -> None:
        self.real = real
        """Its name in the directory; None: so far it is in memory only."""
        self.cache = cache
        """Its whole content; None: as it is on the disk."""
        self.synced = bytes(cache) if cache is not None else b""
        """Of a file in memory: what its name will stand for once the names are synced."""
        self.unsynced: list[tuple[int, bytes]] = []


class VolatileDisk:
    """A `LocalDisk` whose unsynced writes, creations, renames and removals exist in this process's memory only.

    For tests: it keeps whole files in memory and does one thing at a time.
    """

    def __init__(self, directory: Path) -> None:
        """Take the directory. See `LocalDisk` for errors."""
        self._local = LocalDisk(directory)
        self._order = asyncio.Lock()
        self._files: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._listed = False

    async def names(self) -> list[str]:
        """See `Disk.names`."""
        async with self._order:
            await self._list()
            return sorted(self._files)

    async def size(self, name: str) -> int:
        """See `Disk.size`."""
        async with self._order:
            file = await self._file(name)
            return len(file.cache) if file.cache is not None else await self._local.size(self._real(file))

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        async with self._order:
            file = await self._file(name)
            if file.cache is not None:
                return bytes(file.cache[offset : offset + length])
            return await self._local.read(self._real(file), offset, length)

    async def allocate(self, name: str, size: int) -> None:
        """See `Disk.allocate`."""
        async with self._order:
            await self._list()
            if name in self._files:
                raise DiskError(f"{name}: File exists")
            self._files[name] = _File(None, bytearray(size))

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """See `Disk.write`."""
        async with self._order:
            await self._write(name, offset, pieces)

    async def sync(self, name: str) -> None:
        """See `Disk.sync`."""
        async with self._order:
            await self._sync(name)

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """See `Disk.write_and_sync`."""
        async with self._order:
            await self._write(name, offset, pieces)
            await self._sync(name)

    async def rename(self, old: str, new: str) -> None:
        """See `Disk.rename`."""
        async with self._order:
            await self._file(old)
            self._files[new] = self._files.pop(old)

    async def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        async with self._order:
            await self._file(name)
            del self._files[name]

    async def sync_names(self) -> None:
        """See `Disk.sync_names`."""
        async with self._order:
            await self._list()
            for name, file in sorted(self._files.items()):
                if file.real is None:
                    await self._make_real(name, file)
                elif file.real != name:
                    await self._local.rename(file.real, name)
                    file.real = name
            taken = {file.real for file in self._files.values()}
            for name in sorted(set(self._durable) - taken):
                if self._durable[name].real == name:
                    await self._local.remove(name)
            await self._local.sync_names()
            self._durable = dict(self._files)

    async def close(self) -> None:
        """See `Disk.close`. What was not synced is gone."""
        async with self._order:
            await self._local.close()

    async def _list(self) -> None:
        if not self._listed:
            self._files = {name: _File(name, None) for name in await self._local.names()}
            self._durable = dict(self._files)
            self._listed = True

    async def _file(self, name: str) -> _File:
        await self._list()
        if name not in self._files:
            raise DiskError(f"{name}: No such file or directory")
        return self._files[name]

    def _real(self, file: _File) -> str:
        assert file.real is not None, "a file in memory has its content in memory"
        return file.real

    async def _write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        file = await self._file(name)
        if file.cache is None:
            self._drop_clean_caches()
            file.cache = bytearray(
                await self._local.read(self._real(file), 0, await self._local.size(self._real(file)))
            )
        content = b"".join(pieces)
        file.cache[offset : offset + len(content)] = content
        file.unsynced.append((offset, content))

    async def _sync(self, name: str) -> None:
        file = await self._file(name)
        if file.real is None:
            assert file.cache is not None, "a file in memory has its content in memory"
            file.synced = bytes(file.cache)
        else:
            for offset, content in file.unsynced:
                await self._local.write(file.real, offset, [content])
            await self._local.sync(file.real)
        file.unsynced.clear()

    async def _make_real(self, name: str, file: _File) -> None:
        aside = name + _UNFINISHED
        if aside in await self._local.names():
            await self._local.remove(aside)
        await self._local.allocate(aside, len(file.synced))
        await self._local.write_and_sync(aside, 0, [file.synced])
        await self._local.rename(aside, name)
        file.real, file.synced = name, b""

    def _drop_clean_caches(self) -> None:
        for file in self._files.values():
            if file.real is not None and not file.unsynced:
                file.cache = None


class UnsyncedDisk(VolatileDisk):
    """A `VolatileDisk` with the syncs of segments taken out: a kill loses what was acknowledged.

    For the tests that must fail.
    """

    async def sync(self, name: str) -> None:
        """Do nothing for a segment."""
        if not name.endswith(".seg"):
            await super().sync(name)

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """Write only, to a segment."""
        await self.write(name, offset, pieces)
        await self.sync(name)
