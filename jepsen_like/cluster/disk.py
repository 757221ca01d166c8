"""A real process's disk that can be held up, filled and made to fail."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from raftlog.storage import Disk, DiskError
from raftlog.storage.disk import DiskFull


class FaultyDisk:
    """Passes everything on to another disk, or refuses it, as it is told. Invariant: what it refuses never happened."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._free = asyncio.Event()
        self._free.set()
        self.latency = 0.0
        """Seconds that every sync takes longer."""
        self.full = False
        self._to_fail: Counter[str] = Counter()

    def stall(self, on: bool) -> None:
        """Let no sync return, or let them all."""
        if on:
            self._free.clear()
        else:
            self._free.set()

    def fail_next(self, operation: str) -> None:
        """The next operation of this kind fails, once."""
        self._to_fail[operation] += 1

    async def names(self) -> list[str]:
        """See `Disk.names`."""
        return await self._disk.names()

    async def size(self, name: str) -> int:
        """See `Disk.size`."""
        return await self._disk.size(name)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        self._check("read", name)
        return await self._disk.read(name, offset, length)

    async def allocate(self, name: str, size: int) -> None:
        """See `Disk.allocate`."""
        if self.full:
            raise DiskFull(f"{name}: No space left on device")
        self._check("allocate", name)
        await self._disk.allocate(name, size)

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """See `Disk.write`."""
        self._check("write", name)
        await self._disk.write(name, offset, pieces)

    async def sync(self, name: str) -> None:
        """See `Disk.sync`."""
        await self._hold("sync", name)
        await self._disk.sync(name)

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """See `Disk.write_and_sync`."""
        self._check("write", name)
        await self._hold("sync", name)
        await self._disk.write_and_sync(name, offset, pieces)

    async def rename(self, old: str, new: str) -> None:
        """See `Disk.rename`."""
        await self._disk.rename(old, new)

    async def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        await self._disk.remove(name)

    async def sync_names(self) -> None:
        """See `Disk.sync_names`."""
        await self._hold("sync", "the directory")
        await self._disk.sync_names()

    async def close(self) -> None:
        """See `Disk.close`."""
        await self._disk.close()

    async def _hold(self, operation: str, name: str) -> None:
        await self._free.wait()
        if self.latency:
            await asyncio.sleep(self.latency)
        self._check(operation, name)

    def _check(self, operation: str, name: str) -> None:
        if self._to_fail[operation]:
            self._to_fail[operation] -= 1
            raise DiskError(f"{name}: {operation}: Input/output error (on purpose)")
