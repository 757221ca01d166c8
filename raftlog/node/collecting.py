"""The cyclic garbage collector of a process that a node runs in: what is old is not walked again and again.

A collection of the oldest generation walks every container there is: 0.15 to 0.5 s per million, during which nothing
else runs, and Python starts one by itself whenever the state has grown by a quarter. So it never does here. What
survives the two young generations is collected once, in portions that take some 20 ms, and then frozen: the collector
does not look at it any more. Where so much survives at once that it would take longer, as while a large state is being
built, it is frozen as it is.

The price: a cycle of objects that dies after it was frozen stays in memory until the process ends. What dies without
being part of a cycle is freed at once, as ever. A machine that keeps changing cyclic structures breaks their cycles
when it lets them go (`parent = None`), or its memory grows.
"""

import asyncio
import gc
from types import TracebackType
from typing import Final, Self

YOUNG: Final = (5_000, 10)
"""New containers before the youngest generation is walked, and such rounds before the one after it: 50,000 survivors at
most, 7 to 20 ms."""
_NEVER: Final = 1 << 30
_TURN: Final = 1.0
"""Seconds between two looks at what has survived."""


class Collector:
    """Keeps the process's collector to short turns while entered. One per process.

    Invariant: no collection walks more than what came since the last freeze and one portion of survivors.
    """

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._running: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*YOUNG, _NEVER)
        self._running = asyncio.get_running_loop().create_task(self._run(), name="collector")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.cancel()
        gc.set_threshold(*self._before)
        gc.unfreeze()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_TURN)
            self.turn()

    @staticmethod
    def turn() -> None:
        """Deal with what has grown old: collect one portion and freeze the rest; only freeze where there is more."""
        portions = gc.get_count()[2]
        if portions == 1:
            gc.collect()
        if portions:
            gc.freeze()
