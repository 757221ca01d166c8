"""Writing the corpus with many concurrent callers, each write with an outcome in the ledger."""

import asyncio
from collections.abc import Callable, Iterator

from raftlog.clock import Clock
from raftlog.machine.calls import CallFailed, CallUnknown
from raftlog.mainjob.corpus import Record
from raftlog.mainjob.ledger import Ledger
from raftlog.mainjob.scene import Scene
from raftlog.mainjob.store import Store

_PAUSE = 0.05
"""Seconds a caller waits after a refusal before it tries again: nothing happened, so trying again is safe."""


class Writing:
    """Callers that share the corpus: each takes the next record until none is left."""

    def __init__(
        self,
        store: Store,
        records: tuple[Record, ...],
        ledger: Ledger,
        scene: Scene,
        clock: Clock,
        *,
        strike_at: int,
        strike: Callable[[int], None],
    ) -> None:
        """`strike` is called once, with the count, when `strike_at` writes are acknowledged."""
        self._store = store
        self._records = records
        self._ledger = ledger
        self._scene = scene
        self._clock = clock
        self._strike_at = strike_at
        self._strike: Callable[[int], None] | None = strike
        self._struck_at = 0
        self.resumed = asyncio.Event()
        """A write that began after the strike has been acknowledged."""

    async def run(self, callers: int) -> None:
        """Write every record; each has an outcome afterwards."""
        positions = iter(range(len(self._records)))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(self._call(positions))

    async def _call(self, positions: Iterator[int]) -> None:
        for position in positions:
            await self._write(position)

    async def _write(self, position: int) -> None:
        record, sent = self._records[position], self._clock.monotonic()
        while True:
            try:
                await self._store.put(record.key, record.value)
            except CallFailed:
                await asyncio.sleep(_PAUSE)
            except CallUnknown as doubt:
                self._ledger.doubt(position, str(doubt))
                return
            else:
                self._acknowledged(position, sent)
                return

    def _acknowledged(self, position: int, sent: int) -> None:
        now = self._clock.monotonic()
        self._ledger.acknowledge(position, sent, now)
        done = self._ledger.acknowledged
        self._scene.advance(done, self._ledger.recent_rate(now))
        if self._strike is not None and done >= self._strike_at:
            strike, self._strike = self._strike, None
            strike(done)
            self._struck_at = now
        elif self._struck_at and sent > self._struck_at:
            self.resumed.set()
