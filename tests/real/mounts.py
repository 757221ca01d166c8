"""Small file systems of the tests' own, to be filled up."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

BALLAST = "ballast"


@contextmanager
def small_disks(directory: Path, names: Sequence[str], megabytes: int) -> Iterator[None]:
    """A file system in memory for each of these directories; the test is skipped where none may be mounted."""
    mounted: list[Path] = []
    try:
        for name in names:
            at = directory / name
            at.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(at)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                pytest.skip(
                    f"no file system may be mounted here, so no disk filled up: {done.stderr.strip()}"
                )
            mounted.append(at)
        yield
    finally:
        for at in mounted:
            subprocess.run(["umount", "-l", str(at)], check=True)


def fill(directory: Path) -> None:
    """Leave no space for anything."""
    free = os.statvfs(directory)
    with (directory / BALLAST).open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, free.f_bavail * free.f_frsize)


def clear(directory: Path) -> None:
    """Give the space back."""
    (directory / BALLAST).unlink()
