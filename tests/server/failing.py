"""A data directory whose syncs fail once a file called `break` lies in it."""

from collections.abc import Sequence

from raftlog.storage import DiskError, LocalDisk


class FailingDisk(LocalDisk):
    """See the module; for `raftlog serve --disk-factory tests.server.failing:FailingDisk`."""

    async def write_and_sync(self, name: str, offset: int, pieces: Sequence[bytes]) -> None:
        """See `Disk.write_and_sync`."""
        if (self.directory / "break").exists():
            raise DiskError(f"{name}: the sync failed (EIO); nothing written to it counts any more")
        await super().write_and_sync(name, offset, pieces)
