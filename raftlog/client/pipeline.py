"""A pipeline: commands that are under way together and still applied in the order they were called."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from raftlog.client.calls import Calls, Submitted
from raftlog.client.engine import Engine
from raftlog.client.pending import COMMAND
from raftlog.transport.client_frames import Level


class Pipeline(Calls):
    """Commands in order, without waiting for each other; has a session and a link of its own.

        async with client.pipeline() as pipeline:
            first = asyncio.create_task(pipeline.call(Journal.write, "a"))
            second = asyncio.create_task(pipeline.call(Journal.write, "b"))

    The order is that in which the calls begin. A command is applied only after all before it: when one fails, times out
    or its outcome is unknown, every later one that was not applied fails or is unknown too, and the pipeline takes no
    more. A declared error breaks nothing. A cancelled caller's command keeps its place once it was sent.

    Queries have no place in it: ask them of the client.
    """

    def __init__(
        self,
        make: Callable[[], Engine],
        tasks: asyncio.TaskGroup,
        *,
        deadline: float,
        machine: int,
        version: int,
    ) -> None:
        super().__init__(
            self._running, deadline=deadline, level=Level.LINEARIZABLE, machine=machine, version=version
        )
        self._make = make
        self._tasks = tasks
        self._engine: Engine | None = None
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            raise RuntimeError("a pipeline is entered once: make another")
        self._engine = self._make()
        self._runner = self._tasks.create_task(self._engine.run(), name="raftlog pipeline")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._engine is not None, "left without being entered"
        assert self._runner is not None, "left without being entered"
        try:
            await self._engine.close()
        finally:
            self._runner.cancel()
            await asyncio.wait([self._runner])

    def _submit(self, body: bytes, level: int, version: int) -> Submitted:
        if level != COMMAND:
            raise TypeError("a query has no place in a pipeline: ask it of the client")
        return super()._submit(body, level, version)

    def _running(self) -> Engine:
        if self._engine is None:
            raise RuntimeError(
                "the pipeline has not been entered: write `async with client.pipeline() as pipeline:`"
            )
        return self._engine
