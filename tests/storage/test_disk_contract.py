"""What every Disk does: the real one, the one that forgets when killed, and the simulated twin."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest

from raftlog.storage import Disk, DiskError, LocalDisk
from raftlog.testing.disk import SimDisk
from raftlog.testing.volatile import VolatileDisk

Check: TypeAlias = Callable[[Disk], Awaitable[None]]


@pytest.fixture(params=["local", "volatile", "simulated"])
def disk_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Disk]:
    def make() -> Disk:
        match request.param:
            case "local":
                return LocalDisk(tmp_path / "d")
            case "volatile":
                return VolatileDisk(tmp_path / "d")
            case _:
                return SimDisk(Random(1))

    return make


def on(disk_of: Callable[[], Disk], check: Check) -> None:
    async def main() -> None:
        disk = disk_of()
        try:
            await check(disk)
        finally:
            await disk.close()

    asyncio.run(main())


def test_an_allocated_file_is_zeros_of_its_size(disk_of: Callable[[], Disk]) -> None:
    async def check(disk: Disk) -> None:
        assert await disk.names() == []
        await disk.allocate("b", 3000)
        await disk.allocate("a", 512)
        assert await disk.names() == ["a", "b"]
        assert (await disk.size("a"), await disk.size("b")) == (512, 3000)
        assert await disk.read("b", 0, 5000) == bytes(3000)
        with pytest.raises(DiskError, match="a"):
            await disk.allocate("a", 512)

    on(disk_of, check)


def test_pieces_are_written_one_after_the_other(disk_of: Callable[[], Disk]) -> None:
    async def check(disk: Disk) -> None:
        await disk.allocate("f", 4096)
        await disk.write("f", 510, [b"abc", b"", b"d" * 1000, b"e"])
        await disk.write_and_sync("f", 0, [b"x"])
        await disk.sync("f")
        assert await disk.read("f", 0, 2) == b"x\0"
        assert await disk.read("f", 509, 6) == b"\0abcdd"
        assert await disk.read("f", 1511, 4) == b"dde\0"
        assert await disk.read("f", 4090, 100) == bytes(6)
        assert await disk.read("f", 5000, 1) == b""

    on(disk_of, check)


def test_thousands_of_pieces_are_one_write(disk_of: Callable[[], Disk]) -> None:
    async def check(disk: Disk) -> None:
        pieces = [bytes([n % 251]) * (n % 7) for n in range(5000)]
        whole = b"".join(pieces)
        await disk.allocate("f", len(whole))
        await disk.write_and_sync("f", 0, pieces)
        assert await disk.read("f", 0, len(whole)) == whole

    on(disk_of, check)


def test_names_change(disk_of: Callable[[], Disk]) -> None:
    async def check(disk: Disk) -> None:
        for name in ("old", "new", "gone"):
            await disk.allocate(name, 512)
            await disk.write_and_sync(name, 0, [name.encode()])
        await disk.read("new", 0, 1)
        await disk.sync_names()
        await disk.rename("old", "new")
        await disk.remove("gone")
        assert await disk.names() == ["new"]
        assert await disk.read("new", 0, 3) == b"old"
        await disk.write_and_sync("new", 0, [b"OLD"])
        await disk.sync_names()
        assert await disk.names() == ["new"]
        assert await disk.read("new", 0, 4) == b"OLD\0"
        await disk.allocate("gone", 512)
        assert await disk.read("gone", 0, 4) == bytes(4)

    on(disk_of, check)


def test_what_is_not_there_is_an_error_that_names_it(disk_of: Callable[[], Disk]) -> None:
    async def check(disk: Disk) -> None:
        calls = [
            disk.read("nowhere", 0, 1),
            disk.size("nowhere"),
            disk.write("nowhere", 0, [b"x"]),
            disk.sync("nowhere"),
            disk.write_and_sync("nowhere", 0, [b"x"]),
            disk.rename("nowhere", "else"),
            disk.remove("nowhere"),
        ]
        for call in calls:
            with pytest.raises(DiskError, match="nowhere"):
                await call

    on(disk_of, check)


def test_writes_to_one_file_keep_their_order(disk_of: Callable[[], Disk]) -> None:
    async def check(disk: Disk) -> None:
        await disk.allocate("f", 512)
        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(disk.write_and_sync("f", 0, [bytes([n])]))
        assert await disk.read("f", 0, 1) == bytes([49])

    on(disk_of, check)


def test_closing_finishes_what_was_submitted(disk_of: Callable[[], Disk], tmp_path: Path) -> None:
    async def main() -> None:
        disk = disk_of()
        await disk.allocate("f", 512)
        await disk.sync_names()
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(disk.write_and_sync("f", 0, [b"x"]))
            await asyncio.sleep(0)
            await disk.close()
        assert writing.done()

    asyncio.run(main())
