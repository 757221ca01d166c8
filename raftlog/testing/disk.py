"""The Disk port's in-memory twin: a disk that can be slow, full, faulty or without power, the same way each time."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, TypeAlias

from raftlog.storage.disk import DiskError, DiskFull
from raftlog.testing.platter import (
    Allocated,
    Event,
    NamesSynced,
    Platter,
    Removed,
    Renamed,
    Synced,
    SyncFailed,
    Wrote,
)

Operation: TypeAlias = Literal["allocate", "write", "sync", "read", "names"]
"""What a fault can be set on. `names`: renames, removals, their sync."""

Latency: TypeAlias = Callable[[Operation, int], float]
"""Seconds (of the running loop) that an operation on so many bytes takes."""


class SimDisk:
    """One directory in memory. Uses nothing but the running loop, so it also runs in virtual time.

    `trace` is everything that happened to the disk, in order: played to a fresh `Platter` it gives the same disk. A
    write reaches the cache when its turn comes and takes its time afterwards, so a crash in between may tear it.
    """

    def __init__(
        self,
        random: Random,
        *,
        platter: Platter | None = None,
        latency: Latency = lambda operation, size: 0.0,
        capacity: int | None = None,
        observer: Callable[[Event], None] | None = None,
    ) -> None:
        """An empty disk, or one that holds what a crash left.

        Args:
            random: decides what a crash keeps.
            platter: the contents.
            latency: how long operations take.
            capacity: bytes of all files together beyond which `allocate` refuses.
            observer: told of everything that happens to the disk, in place of `trace`, which then stays empty.
        """
        self.platter = platter or Platter()
        self.trace: list[Event] = []
        self.capacity = capacity
        self.piece: int | None = None
        """Bytes the device takes at a time: each write happens in pieces of this size."""
        self.lies_about: Callable[[str], bool] = lambda name: False
        """Files whose syncs return and do nothing. For tests that must fail."""
        self._random = random
        self._latency = latency
        self._observer = observer
        self._order = asyncio.Lock()
        self._held: dict[Operation, asyncio.Event] = {}
        self._waiting: dict[Operation, int] = {}
        self.failures = 0
        """How often a failure that was set has happened."""
        self._failing: dict[Operation, list[str]] = {}
        self._write_limit: int | None = None
        self._poisoned: set[str] = set()
        self._off = False

    # ------------------------------------------------------------------------------------------- faults

    def fail_once(self, operation: Operation, reason: str = "Input/output error") -> None:
        """Let the next operation of this kind fail; the ones after it find the device in order again."""
        self._failing.setdefault(operation, []).append(reason)

    def fail_no_more(self) -> None:
        """Forget the failures that were set and have not happened."""
        self._failing.clear()
        self._write_limit = None

    def fail_write_after(self, size: int) -> None:
        """Let the write that would be the first to exceed `size` more bytes stop there: no space left."""
        self._write_limit = size

    def hold(self, operation: Operation) -> None:
        """Let operations of this kind hang until `release`."""
        self._held.setdefault(operation, asyncio.Event())

    def waiting(self, operation: Operation) -> int:
        """How many operations of this kind hang now."""
        return self._waiting.get(operation, 0)

    def release(self, operation: Operation) -> None:
        """Let what hangs go on."""
        if (held := self._held.pop(operation, None)) is not None:
            held.set()

    def power_off(self) -> None:
        """From now on every call fails, also those under way. What is on the platter stays there."""
        self._off = True
        for operation in sorted(self._held):
            self.release(operation)

    def after_crash(self) -> "SimDisk":
        """Cut the power; the disk as the next start finds it, unsynced things kept or lost by chance."""
        self.power_off()
        return self._again(self.platter.after_crash(self._random))

    def after_kill(self) -> "SimDisk":
        """Kill the process only: the page cache survives, and so do failures that left it wrong."""
        self.power_off()
        return self._again(self.platter)

    def _again(self, platter: Platter) -> "SimDisk":
        return SimDisk(
            self._random,
            platter=platter,
            latency=self._latency,
            capacity=self.capacity,
            observer=self._observer,
        )

    # --------------------------------------------------------------------------------------------- port

    async def names(self) -> list[str]:
        """See `Disk.names`."""
        await self._take("read", 0)
        return sorted(self.platter.names)

    async def size(self, name: str) -> int:
        """See `Disk.size`."""
        await self._take("read", 0)
        self._check_exists(name)
        return len(self.platter.names[name].cache)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        await self._take("read", length)
        self._check_exists(name)
        return bytes(self.platter.names[name].cache[offset : offset + length])

    async def allocate(self, name: str, size: int) -> None:
        """See `Disk.allocate`."""
        await self._take("allocate", size)
        if name in self.platter.names:
            raise DiskError(f"{name}: File exists")
        used = sum(len(inode.cache) for inode in self.platter.names.values())
        if self.capacity is not None and used + size > self.capacity:
            raise DiskFull(f"there is no space to allocate {name}: free some; nothing is lost")
        self._happen(Allocated(name, size))

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
            await self._take("names", 0)
            self._check_exists(old)
            self._happen(Renamed(old, new))
            self._poisoned.discard(new)
            if old in self._poisoned:
                self._poisoned.remove(old)
                self._poisoned.add(new)

    async def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        async with self._order:
            await self._take("names", 0)
            self._check_exists(name)
            self._happen(Removed(name))
            self._poisoned.discard(name)

    async def sync_names(self) -> None:
        """See `Disk.sync_names`."""
        async with self._order:
            await self._take("names", 0)
            self._happen(NamesSynced())

    async def close(self) -> None:
        """See `Disk.close`."""
        async with self._order:
            self._off = True

    # -------------------------------------------------------------------------------------------- inside

    async def _write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        self._check_sound(name)
        content = b"".join(pieces)
        allowed = self._allowed(len(content))
        for start, end in _cuts(min(allowed, len(content)), self.piece):
            self._happen(Wrote(name, offset + start, content[start:end]))
        await self._take("write", len(content))
        if allowed < len(content):
            raise DiskError(f"{name}: No space left on device")

    async def _sync(self, name: str) -> None:
        self._check_sound(name)
        try:
            await self._take("sync", 0)
        except DiskError as error:
            self._poisoned.add(name)
            if not self._off:
                self._happen(SyncFailed(name))
            raise DiskError(
                f"{name}: the sync failed ({error}); nothing written to it counts any more"
            ) from error
        if not self.lies_about(name):
            self._happen(Synced(name))

    async def _take(self, operation: Operation, size: int) -> None:
        """Let time pass and faults strike."""
        self._check_power()
        await asyncio.sleep(self._latency(operation, size))
        if (held := self._held.get(operation)) is not None:
            self._waiting[operation] = self._waiting.get(operation, 0) + 1
            try:
                await held.wait()
            finally:
                self._waiting[operation] -= 1
        self._check_power()
        if reasons := self._failing.get(operation):
            self.failures += 1
            raise DiskError(reasons.pop(0))

    def _allowed(self, size: int) -> int:
        if self._write_limit is None:
            return size
        if self._write_limit >= size:
            self._write_limit -= size
            return size
        allowed, self._write_limit = self._write_limit, None
        return allowed

    def _happen(self, event: Event) -> None:
        self.platter.perform(event)
        if self._observer is None:
            self.trace.append(event)
        else:
            self._observer(event)

    def _check_power(self) -> None:
        if self._off:
            raise DiskError("the disk has no power")

    def _check_exists(self, name: str) -> None:
        if name not in self.platter.names:
            raise DiskError(f"{name}: No such file or directory")

    def _check_sound(self, name: str) -> None:
        self._check_power()
        self._check_exists(name)
        if name in self._poisoned:
            raise DiskError(f"{name}: refused, an earlier sync failed")


def _cuts(size: int, piece: int | None) -> list[tuple[int, int]]:
    step = piece or max(size, 1)
    return [(start, min(start + step, size)) for start in range(0, size, step)]
