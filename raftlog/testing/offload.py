"""The in-memory twin of the Offload port: everything at once, for there are no threads in a simulation."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


class Inline:
    """See `Offload`: the work is done when it is asked for, between two turns of the loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """See `Offload.run`."""
        return work()

    async def feed(self, pieces: AsyncIterator[bytes], take: Callable[[Iterable[bytes]], T]) -> T:
        """See `Offload.feed`. Holds all pieces in memory."""
        return take([piece async for piece in pieces])

    def close(self) -> None:
        """See `Offload.close`."""
