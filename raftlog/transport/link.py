"""The ClientLink port: one bidirectional stream of encoded frames between a client and a node."""

from typing import Protocol


class LinkBroken(Exception):
    """The stream ended without a goodbye: what was in flight may or may not have reached the other side."""


class Link(Protocol):
    """One end of a stream; both ends look the same. One task sends and one receives, at most."""

    async def send(self, frame: bytes) -> None:
        """Hand over one frame; waits while the other side is slow.

        Raises:
            LinkBroken: the stream is gone.
        """
        ...

    async def receive(self) -> bytes | None:
        """The next frame, or None when the other side closed in good order.

        Raises:
            LinkBroken: the stream is gone.
        """
        ...

    async def close(self) -> None:
        """End the stream in good order; idempotent."""
        ...


class Dialer(Protocol):
    """Opens links, and makes single calls, to nodes by address."""

    async def dial(self, address: str) -> Link:
        """Open a stream to the node's client service at `host:port`.

        Raises:
            LinkBroken: nobody answers there.
        """
        ...

    async def close(self) -> None:
        """Release every connection."""
        ...
