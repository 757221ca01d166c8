"""The real disk: what the system may do to it, and whose directory it is."""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from raftlog.storage import DiskError, DiskFull, LocalDisk, StorageRefused


def go(tale: Coroutine[Any, Any, None]) -> None:
    asyncio.run(tale)


def test_w14_syscalls_that_move_one_byte_are_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwritev, pread = os.pwritev, os.pread
    calls: list[str] = []

    def write_one(descriptor: int, pieces: Sequence[memoryview], offset: int) -> int:
        calls.append("write")
        return pwritev(descriptor, [pieces[0][:1]], offset)

    def read_one(descriptor: int, length: int, offset: int) -> bytes:
        calls.append("read")
        return pread(descriptor, min(length, 1), offset)

    async def tale() -> None:
        disk = LocalDisk(tmp_path)
        await disk.allocate("f", 512)
        monkeypatch.setattr(os, "pwritev", write_one)
        monkeypatch.setattr(os, "pread", read_one)
        await disk.write_and_sync("f", 3, [b"abc", b"", b"defgh"])
        assert await disk.read("f", 0, 12) == b"\0\0\0abcdefgh\0"
        monkeypatch.undo()
        await disk.close()

    go(tale())
    assert (calls.count("write"), calls.count("read")) == (8, 12)


def test_w6_a_device_that_takes_nothing_more_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tale() -> None:
        disk = LocalDisk(tmp_path)
        await disk.allocate("f", 512)
        monkeypatch.setattr(os, "pwritev", lambda descriptor, pieces, offset: 0)
        with pytest.raises(DiskError, match="f: the device took no more"):
            await disk.write("f", 0, [b"x"])
        monkeypatch.undo()
        await disk.close()

    go(tale())


def test_w7_a_failed_sync_ends_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import raftlog.storage.local as module

    synced: list[int] = []

    def fail(descriptor: int) -> None:
        synced.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    async def tale() -> None:
        disk = LocalDisk(tmp_path)
        await disk.allocate("f", 512)
        await disk.allocate("g", 512)
        monkeypatch.setattr(module, "_sync_contents", fail)
        with pytest.raises(DiskError, match="f: the sync failed"):
            await disk.write_and_sync("f", 0, [b"x"])
        monkeypatch.undo()
        for again in (disk.sync("f"), disk.write("f", 0, [b"x"]), disk.write_and_sync("f", 0, [b"x"])):
            with pytest.raises(DiskError, match="f: refused, an earlier sync failed"):
                await again
        await disk.write_and_sync("g", 0, [b"x"])
        await disk.rename("f", "h")
        with pytest.raises(DiskError, match="h: refused"):
            await disk.sync("h")
        await disk.close()

    go(tale())
    assert len(synced) == 1, "the sync was tried again"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_to_allocate_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(descriptor: int, offset: int, size: int) -> None:
        raise OSError(code, os.strerror(code))

    async def tale() -> None:
        disk = LocalDisk(tmp_path)
        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(DiskFull, match="no space to allocate f"):
            await disk.allocate("f", 512)
        monkeypatch.undo()
        assert await disk.names() == []
        await disk.allocate("f", 512)
        await disk.close()

    go(tale())


def test_a_directory_belongs_to_one_process(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "here"
    disk = LocalDisk(directory)
    with pytest.raises(StorageRefused, match=rf"{directory} is in use by process {os.getpid()}: stop it"):
        LocalDisk(directory)
    with pytest.raises(StorageRefused, match="in use"):
        LocalDisk(directory, read_only=True)
    lines = (
        "from pathlib import Path",
        "from raftlog.storage import LocalDisk",
        f"LocalDisk(Path({str(directory)!r}))",
    )
    other = subprocess.run(
        [sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True, check=False
    )
    assert f"in use by process {os.getpid()}" in other.stderr
    go(disk.close())
    again = LocalDisk(directory)
    go(again.close())
    go(again.close())


def test_looking_changes_nothing(tmp_path: Path) -> None:
    async def tale() -> None:
        with pytest.raises(StorageRefused, match="no directory"):
            LocalDisk(tmp_path / "nowhere", read_only=True)
        disk = LocalDisk(tmp_path, read_only=True)
        assert await disk.names() == []
        with pytest.raises(AssertionError, match="reading only"):
            await disk.allocate("f", 512)
        await disk.close()

    go(tale())
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(StorageRefused, match="cannot be used"):
        LocalDisk(tmp_path / "f")


def test_more_files_than_are_kept_open(tmp_path: Path) -> None:
    async def tale() -> None:
        disk = LocalDisk(tmp_path)
        names = [f"f{n:03}" for n in range(80)]
        for name in names:
            await disk.allocate(name, 512)
            await disk.write_and_sync(name, 0, [name.encode()])
        for name in names + names[::-1]:
            assert await disk.read(name, 0, 4) == name.encode()
        assert len(os.listdir("/proc/self/fd")) < 120
        await disk.close()

    go(tale())
