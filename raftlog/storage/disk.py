"""The Disk port: one directory of preallocated files, with every durability boundary visible."""

from collections.abc import Sequence
from typing import Protocol

SECTOR = 512
"""The unit a crash keeps or loses as a whole; batches start on its multiples."""


class DiskError(Exception):
    """A file could not be read, written or synced. After a failed sync the file's promises are void for good."""


class DiskFull(DiskError):
    """No space left for a new allocation. A state, not an end: what was allocated before can still be written."""


class Disk(Protocol):
    """Files of one directory, by plain name (no separators).

    Nothing is durable before the `sync` that covers it returns: file contents by `sync(name)`, names (created, renamed,
    removed) by `sync_names()`. Calls are performed in the order they were submitted, off the event loop; reads may
    overtake writes of *other* ranges. A cancelled call may or may not have happened.
    """

    async def names(self) -> list[str]:
        """Every file's name, sorted."""
        ...

    async def size(self, name: str) -> int:
        """Length in bytes."""
        ...

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes from `offset`; fewer than `length` only at the end of the file. Loops over short reads.

        Raises:
            DiskError: the device refused (EIO), or there is no such file.
        """
        ...

    async def allocate(self, name: str, size: int) -> None:
        """Create `name`, which must not exist, with `size` zero bytes whose blocks are reserved and synced.

        The name is not yet durable.

        Raises:
            DiskFull: no space; nothing remains of the file.
        """
        ...

    async def write(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """Write the pieces one after the other from `offset`, within the file's length. Not durable yet.

        Loops over short writes.

        Raises:
            DiskError: the device refused (EIO, or ENOSPC where a file system allocates on each write).
        """
        ...

    async def sync(self, name: str) -> None:
        """Make everything written to `name` before this call durable (fdatasync).

        Raises:
            DiskError: the sync failed. Never retried: the kernel may have dropped the pages and marked them clean.
                Every later write or sync of this file is refused.
        """
        ...

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """`write`, then `sync`, in one hop to the worker: the one call of the hot path."""
        ...

    async def rename(self, old: str, new: str) -> None:
        """Rename, replacing `new`. Not durable before `sync_names`."""
        ...

    async def remove(self, name: str) -> None:
        """Unlink. Not durable before `sync_names`."""
        ...

    async def sync_names(self) -> None:
        """Make every creation, rename and removal before this call durable (fsync of the directory)."""
        ...

    async def close(self) -> None:
        """Finish what was submitted and release files and threads. Writes nothing of its own."""
        ...
