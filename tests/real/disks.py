"""Disks of real processes that lose, or hold up, what a real disk would not."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from raftlog.storage import Disk
from raftlog.storage.local import LocalDisk


class _Around:
    """Passes everything on to a real directory."""

    def __init__(self, directory: Path) -> None:
        self._disk: Disk = LocalDisk(directory)

    async def names(self) -> list[str]:
        return await self._disk.names()

    async def size(self, name: str) -> int:
        return await self._disk.size(name)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        return await self._disk.read(name, offset, length)

    async def allocate(self, name: str, size: int) -> None:
        await self._disk.allocate(name, size)

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        await self._disk.write(name, offset, pieces)

    async def sync(self, name: str) -> None:
        await self._disk.sync(name)

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        await self._disk.write_and_sync(name, offset, pieces)

    async def rename(self, old: str, new: str) -> None:
        await self._disk.rename(old, new)

    async def remove(self, name: str) -> None:
        await self._disk.remove(name)

    async def sync_names(self) -> None:
        await self._disk.sync_names()

    async def close(self) -> None:
        await self._disk.close()


class VolatileDisk(_Around):
    """Keeps what is written and not synced in this process alone, so that SIGKILL loses it as a power failure would.

    A sync hands it to the kernel, which survives the process; whether the device has it does not matter here.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._unsynced: dict[str, list[tuple[int, bytes]]] = {}

    async def read(self, name: str, offset: int, length: int) -> bytes:
        found = bytearray(await self._disk.read(name, offset, length))
        for start, content in self._unsynced.get(name, ()):
            low, high = max(start, offset), min(start + len(content), offset + len(found))
            if low < high:
                found[low - offset : high - offset] = content[low - start : high - start]
        return bytes(found)

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        self._unsynced.setdefault(name, []).append((offset, b"".join(pieces)))

    async def sync(self, name: str) -> None:
        for offset, content in self._unsynced.pop(name, []):
            await self._disk.write(name, offset, [content])

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        await self.write(name, offset, pieces)
        await self.sync(name)

    async def rename(self, old: str, new: str) -> None:
        await self._disk.rename(old, new)
        if (unsynced := self._unsynced.pop(old, None)) is not None:
            self._unsynced[new] = unsynced

    async def remove(self, name: str) -> None:
        self._unsynced.pop(name, None)
        await self._disk.remove(name)


class UnsyncedDisk(VolatileDisk):
    """The same with syncing taken out of the hot path: what the log appends is never more than written."""

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        # A sector is the identity file, and the header of a file that has no name yet: without those the
        # directory is not even a member's.
        if offset == 0:
            await super().write_and_sync(name, offset, pieces)
        else:
            await self.write(name, offset, pieces)


class StallingDisk(_Around):
    """Completes no write between `stall` and `resume`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._free = asyncio.Event()
        self._free.set()

    def stall(self) -> None:
        """From now on writes and syncs hang."""
        self._free.clear()

    def resume(self) -> None:
        """What hung goes on."""
        self._free.set()

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        await self._free.wait()
        await super().write(name, offset, pieces)

    async def sync(self, name: str) -> None:
        await self._free.wait()
        await super().sync(name)

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        await self._free.wait()
        await super().write_and_sync(name, offset, pieces)
