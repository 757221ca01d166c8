"""The segment that lies ready before it is needed, so that beginning it never waits and a full disk shows in time."""

import asyncio
from collections.abc import Callable

from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.disk import Disk, DiskError, DiskFull
from raftlog.storage.format import MAX_SEGMENT, SegmentHeader, padded
from raftlog.storage.segment import prepare


class Ahead:
    """Makes the segment after the current one, in the background where it can.

    Invariants: what waits is on the disk under its name, headers and names synced; one is made at a time.
    """

    def __init__(
        self,
        disk: Disk,
        waiting: list[SegmentHeader],
        *,
        size: int,
        entropy: Callable[[], int],
        failpoints: Failpoints = INERT,
    ) -> None:
        """Start from the empty segments that recovery found. New ones have `size` bytes, or what one batch needs."""
        self._disk = disk
        self._waiting = waiting
        self._size = size
        self._entropy = entropy
        self._failpoints = failpoints
        self._making = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._refused: DiskError | None = None

    @property
    def ready(self) -> bool:
        """Whether a segment waits."""
        return bool(self._waiting)

    @property
    def refused(self) -> DiskError | None:
        """Why the disk would not have one, while none waits for that reason."""
        return None if self._waiting else self._refused

    def begin(self, current: SegmentHeader) -> None:
        """Let the segment after `current` be made in the background, unless one waits."""
        if not self._waiting:
            self._task = asyncio.get_running_loop().create_task(
                self.attempt(current), name="wal: the segment ahead"
            )

    async def settled(self) -> None:
        """Let what `begin` started end; not by awaiting the task, so that who waits may be cancelled alone.

        Raises:
            BaseException: what it died of, which is no DiskError: a defect must not stay with a task nobody awaits.
        """
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()

    async def attempt(self, current: SegmentHeader) -> None:
        """Make a segment if none waits. A refusal is a state, raised to the append that cannot do without it."""
        try:
            await self._ensure(current, 0)
        except DiskError:
            assert self._refused is not None, "a refusal that is no state"

    async def ensure(self, current: SegmentHeader, needed: int) -> None:
        """See to it that a segment of `needed` bytes or more waits; it may take the place of a smaller one.

        Raises:
            DiskFull: no space; a smaller one that waited goes on waiting.
            DiskError: the disk refused.
        """
        await self.settled()
        await self._ensure(current, needed)

    def take(self) -> SegmentHeader:
        """The segment that begins now."""
        return self._waiting.pop(0)

    async def _ensure(self, current: SegmentHeader, needed: int) -> None:
        assert needed < MAX_SEGMENT, f"a segment cannot have {needed} bytes: the batch is too large"
        async with self._making:
            if not self._waiting or self._waiting[0].size < needed:
                await self._make(current, max(padded(needed), self._size))

    async def _make(self, current: SegmentHeader, size: int) -> None:
        # Once the rename was tried nobody knows which of two files has the name: the smaller one is forgotten first.
        forgotten, self._waiting = self._waiting, []
        sequence = current.sequence + 1
        header = SegmentHeader(self._entropy(), sequence, current.id, size, current.cluster, current.node)
        try:
            for beyond in forgotten[1:]:
                await self._disk.remove(beyond.name)
            await prepare(self._disk, header, purpose="ahead", failpoints=self._failpoints)
            if self._failpoints.armed:
                await self._failpoints.hit("ahead.before_ready", DiskError)
        except DiskFull as error:
            self._waiting, self._refused = forgotten[:1], error  # refused before anything was renamed
            raise
        except DiskError as error:
            self._refused = error
            raise
        self._waiting, self._refused = [header], None
