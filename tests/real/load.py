"""Load from many callers, and an exact account of what was promised to them."""

import asyncio
from collections.abc import Callable, Iterator

from raftlog.machine.calls import CallFailed, CallUnknown
from raftlog.mainjob.store import Store


class Load:
    """Callers that write keys nobody wrote before, or a few keys again and again, until they are told to stop.

    Invariants: `calls == kept + doubted + refused`; where no key is written twice, a key stands in exactly one of
    `acknowledged` and `doubtful`, unless it certainly was not written.
    """

    def __init__(self, store: Store, value: Callable[[int], bytes], key: Callable[[int], str]) -> None:
        """`key` and `value` of the n-th write."""
        self._store = store
        self._key = key
        self._value = value
        self._numbers = self._count()
        self._stopping = False
        self._news = asyncio.Event()
        self.calls = 0
        """Calls that have an outcome."""
        self.acknowledged: dict[str, bytes] = {}
        self.doubtful: dict[str, bytes] = {}
        self.kept = self.doubted = self.refused = 0
        """How many calls had which outcome."""

    async def run(self, callers: int) -> None:
        """Load until `stop`; returns when every call has its outcome."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(self._call())

    async def reached(self, calls: int) -> None:
        """Wait until so many calls have had an outcome since the start."""
        while self.calls < calls:
            self._news.clear()
            await self._news.wait()

    def stop(self) -> None:
        """Begin no further call."""
        self._stopping = True

    def _count(self) -> Iterator[int]:
        number = 0
        while not self._stopping:
            yield number
            number += 1

    async def _call(self) -> None:
        for number in self._numbers:
            key, value = self._key(number), self._value(number)
            try:
                await self._store.put(key, value)
            except CallFailed:
                self.refused += 1
                await asyncio.sleep(0.01)
            except CallUnknown:
                self.doubted += 1
                self.doubtful[key] = value
            else:
                self.kept += 1
                self.acknowledged[key] = value
            self.calls += 1
            self._news.set()


async def missing(store: Store, written: dict[str, bytes], callers: int = 64) -> list[str]:
    """Keys that a linearizable read does not find, or finds with another value."""
    wrong: list[str] = []
    rest = iter(sorted(written.items()))

    async def call() -> None:
        for key, value in rest:
            if await _found(store, key) != value:
                wrong.append(key)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call())
    return sorted(wrong)


async def _found(store: Store, key: str) -> bytes | None:
    while True:
        try:
            return await store.get(key)
        except CallFailed:
            await asyncio.sleep(0.01)
