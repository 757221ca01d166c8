"""Reading back: every key through one node, with linearizable reads, compared with what was written."""

import asyncio
from collections.abc import Iterator, Mapping

import msgspec

from raftlog.clock import Clock
from raftlog.machine.calls import CallFailed
from raftlog.mainjob.corpus import Record
from raftlog.mainjob.scene import Scene
from raftlog.mainjob.store import Store

_PAUSE = 0.05


class Found(msgspec.Struct, frozen=True):
    """What one node answered."""

    values: Mapping[str, bytes | None]
    seconds: float

    def missing(self, expected: list[Record]) -> list[str]:
        """Keys that the node does not have."""
        return [record.key for record in expected if self.values[record.key] is None]

    def different(self, expected: list[Record]) -> list[str]:
        """Keys that it has with another value."""
        return [record.key for record in expected if self.values[record.key] not in (None, record.value)]


async def read_all(store: Store, keys: list[str], scene: Scene, clock: Clock, *, callers: int) -> Found:
    """Read every key, many at a time; a read that was refused is asked again."""
    values: dict[str, bytes | None] = {}
    began = clock.monotonic()

    async def call(rest: Iterator[str]) -> None:
        for key in rest:
            values[key] = await _read(store, key)
            elapsed = max(clock.monotonic() - began, 1)
            scene.advance(len(values), len(values) * 1e6 / elapsed)

    rest = iter(keys)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call(rest))
    return Found(values, (clock.monotonic() - began) / 1e6)


async def _read(store: Store, key: str) -> bytes | None:
    while True:
        try:
            return await store.get(key)
        except CallFailed:
            await asyncio.sleep(_PAUSE)
