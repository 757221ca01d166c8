"""What the main job asks of the replicated store."""

from typing import Protocol


class Store(Protocol):
    """A key-value store whose outcomes are exactly one of ok, failed and unknown; see `raftlog.machine.calls`."""

    async def put(self, key: str, value: bytes) -> None:
        """Write.

        Raises:
            CallFailed: it certainly did not happen.
            CallUnknown: it may have happened.
        """
        ...

    async def get(self, key: str) -> bytes | None:
        """Read linearizably; None when there is no such key.

        Raises:
            CallFailed: no answer.
        """
        ...
