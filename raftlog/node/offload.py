"""The Offload port: slow, synchronous work done off the event loop."""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Runs what would hold up the loop. One piece of work at a time is enough; more may run side by side."""

    async def run(self, work: Callable[[], T]) -> T:
        """Do it elsewhere. Cancelled, the work still goes on to its end."""
        ...

    async def feed(self, pieces: AsyncIterator[bytes], take: Callable[[Iterable[bytes]], T]) -> T:
        """Have `take` consume the pieces as they come, elsewhere; few of them are in memory at a time."""
        ...

    def close(self) -> None:
        """Take no more work."""
        ...


class Threads:
    """See `Offload`; one worker thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="raftlog offload")

    async def run(self, work: Callable[[], T]) -> T:
        """See `Offload.run`."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def feed(self, pieces: AsyncIterator[bytes], take: Callable[[Iterable[bytes]], T]) -> T:
        """See `Offload.feed`. The worker waits in `take` while the loop gets the next piece."""
        handed: queue.Queue[bytes | BaseException | None] = queue.Queue()
        wanted = asyncio.Semaphore(2)
        loop = asyncio.get_running_loop()

        def arriving() -> Iterator[bytes]:
            while (piece := handed.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                loop.call_soon_threadsafe(wanted.release)

        taken = loop.run_in_executor(self._pool, lambda: take(arriving()))
        end: BaseException | None = None
        try:
            async for piece in pieces:
                await self._turn(wanted, taken)
                if taken.done():
                    break
                handed.put(piece)
        except BaseException as error:
            end = error
            raise
        finally:
            handed.put(end)
            if end is not None:
                await asyncio.wait([taken])
                taken.exception()  # it is `end`, which is being raised
        return await taken

    @staticmethod
    async def _turn(wanted: asyncio.Semaphore, taken: asyncio.Future[T]) -> None:
        """Wait until a piece is wanted, or nobody takes any more."""
        turn = asyncio.get_running_loop().create_task(wanted.acquire())
        try:
            await asyncio.wait((turn, taken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            turn.cancel()

    def close(self) -> None:
        """See `Offload.close`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
