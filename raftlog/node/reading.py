"""Reads a group's log for its replica: a disk that refuses is asked again before anything is concluded from it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol, TypeAlias

from raftlog.core.entry import Entry
from raftlog.core.ids import GroupId, Index
from raftlog.core.ready import Missing
from raftlog.storage import Compacted, DiskError, LogDamaged, Wal
from raftlog.transport.events import OnEvent

_PAUSES = (0.05, 0.2, 0.5, 1.0)
"""Seconds before a read that the disk refused is tried again, one after the other."""
_LATER = 5.0
"""And from then on, while the node goes on without."""
Read: TypeAlias = Callable[[], Coroutine[object, object, tuple[Entry, ...]]]


class Surroundings(Protocol):
    """What it uses of its node."""

    wal: Wal

    def kick(self) -> None:
        """Have the replica pumped soon."""
        ...

    def start_aside(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the node, which is cancelled when that is left."""
        ...


class Reading:
    """One group's. What cannot be read for a while is looked for again; what is damaged stays so until a next start."""

    def __init__(self, around: Surroundings, group: GroupId, on_event: OnEvent) -> None:
        self._around = around
        self._group = group
        self._on_event = on_event
        self._watched: Index | None = None
        self._found: Index | None = None

    async def read(self, first: Index, read: Read) -> tuple[Entry, ...] | Missing:
        """What `read` gives, which reads entries from `first` on; it is called anew where the disk refused.

        `DAMAGED` also says that the disk refused again and again; then `take_found` will tell when it does no more.
        """
        group = self._group
        for pause in (*_PAUSES, None):
            try:
                return await read()
            except Compacted:
                return Missing.COMPACTED
            except LogDamaged as damage:
                self._on_event(f"cannot read the log: {damage}", {"group": group, "index": first})
                return Missing.DAMAGED
            except DiskError as problem:
                self._on_event(
                    f"cannot read the log: {problem}",
                    {"group": group, "index": first, "retry_in_seconds": pause},
                )
            if pause is not None:
                await asyncio.sleep(pause)
        self._watch(first)
        return Missing.DAMAGED

    def take_found(self) -> Index | None:
        """The entry that can be read again since the last call."""
        found, self._found = self._found, None
        return found

    def _watch(self, index: Index) -> None:
        if self._watched is None or index < self._watched:
            self._watched = index
            self._around.start_aside(self._look_for(index))

    async def _look_for(self, index: Index) -> None:
        while self._watched == index:
            await asyncio.sleep(_LATER)
            try:
                await self._around.wal.read(self._group, index, index, max_bytes=1)
            except DiskError:
                continue
            except (Compacted, LogDamaged):
                pass  # what was compacted is no hole any more; damage stays
            else:
                self._found = index
                self._on_event("the log can be read again", {"group": self._group, "index": index})
                self._around.kick()
            self._watched = None
