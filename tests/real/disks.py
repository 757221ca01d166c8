"""A disk of a real process that can be held up."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from raftlog.storage import Disk
from raftlog.storage.local import LocalDisk


class StallingDisk:
    """A real directory that completes no write or sync between `stall` and `resume`."""

    def __init__(self, directory: Path) -> None:
        self._disk: Disk = LocalDisk(directory)
        self._free = asyncio.Event()
        self._free.set()

    def stall(self) -> None:
        """From now on writes and syncs hang."""
        self._free.clear()

    def resume(self) -> None:
        """What hung goes on."""
        self._free.set()

    async def names(self) -> list[str]:
        return await self._disk.names()

    async def size(self, name: str) -> int:
        return await self._disk.size(name)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        return await self._disk.read(name, offset, length)

    async def allocate(self, name: str, size: int) -> None:
        await self._disk.allocate(name, size)

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        await self._free.wait()
        await self._disk.write(name, offset, pieces)

    async def sync(self, name: str) -> None:
        await self._free.wait()
        await self._disk.sync(name)

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        await self._free.wait()
        await self._disk.write_and_sync(name, offset, pieces)

    async def rename(self, old: str, new: str) -> None:
        await self._disk.rename(old, new)

    async def remove(self, name: str) -> None:
        await self._disk.remove(name)

    async def sync_names(self) -> None:
        await self._disk.sync_names()

    async def close(self) -> None:
        await self._disk.close()
