"""A client's stream at the server, on a gRPC call that swallows cancellations, as the real one does now and then."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import grpc.aio
import pytest

from raftlog.server.rpc import ServedLink
from raftlog.testing.loop import run
from raftlog.transport.link import LinkBroken

FRAME = b"frame"


class Call:
    """A gRPC call whose every operation waits for a cancellation and then ends as it is told to."""

    def __init__(self, ends: Callable[[], bytes]) -> None:
        self._ends = ends

    async def read(self) -> bytes:
        """Swallows the cancellation, unless `ends` raises it."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return self._ends()

    async def write(self, frame: bytes) -> None:
        """The same."""
        await self.read()


def broken() -> bytes:
    raise grpc.aio.UsageError("the call is over")


def cancelled() -> bytes:
    raise asyncio.CancelledError


def arrived() -> bytes:
    return FRAME


def link(ends: Callable[[], bytes]) -> ServedLink:
    call: Any = Call(ends)
    return ServedLink(call)


async def begun(work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
    """The task, waiting in the call."""
    task = asyncio.get_running_loop().create_task(work)
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("ends", [broken, cancelled, arrived])
def test_a_cancellation_that_grpc_swallows_still_ends_the_task(ends: Callable[[], bytes]) -> None:
    async def story() -> None:
        for operation in (link(ends).receive(), link(ends).send(FRAME)):
            task = await begun(operation)
            task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled(), f"it went on as if nobody had asked it to end: {task}"

    run(story())


@pytest.mark.parametrize(
    "ends, said", [(broken, "the client is gone"), (cancelled, "None"), (arrived, str(FRAME))]
)
def test_draining_interrupts_a_receive_and_leaves_no_cancellation_behind(
    ends: Callable[[], bytes], said: str
) -> None:
    async def reading(served: ServedLink) -> str:
        try:
            found = str(await served.receive())
        except LinkBroken as gone:
            found = str(gone)
        task = asyncio.current_task()
        assert task is not None, "a test runs in a task"
        assert task.cancelling() == 0, "what runs next in this task would be ended"
        assert await served.receive() is None, "more is received while draining"
        return found

    async def story() -> None:
        served = link(ends)
        task = await begun(reading(served))
        served.drain()
        served.drain()
        assert said in str(await task)

    run(story())


@pytest.mark.parametrize("ends", [broken, cancelled, arrived])
def test_who_is_cancelled_while_draining_ends(ends: Callable[[], bytes]) -> None:
    async def story() -> None:
        served = link(ends)
        task = await begun(served.receive())
        served.drain()
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled(), str(task)

    run(story())


def test_without_a_drain_grpcs_own_cancellation_passes() -> None:
    """The client has gone: gRPC raises it in a handler that nobody of ours has cancelled."""

    class Gone:
        async def read(self) -> bytes:
            raise asyncio.CancelledError

    async def story() -> None:
        call: Any = Gone()
        task = await begun(ServedLink(call).receive())
        await asyncio.wait((task,))
        assert task.cancelled()

    run(story())
