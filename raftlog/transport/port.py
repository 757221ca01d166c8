"""The Transport port: encoded frames to and from the other nodes, best effort, never blocking."""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from raftlog.core.ids import NodeId


class Lane(Enum):
    """Two queues and two streams per peer and direction, so that bulk never delays what keeps leaders in office."""

    URGENT = "urgent"
    """Votes, heartbeats, acknowledgements, read-index messages: small and always first."""
    BULK = "bulk"
    """Appended entries, forwarded commands and their answers."""

    __hash__ = object.__hash__
    """An enum's own hash is a Python call, and a lane is looked up for every frame."""


class Inbox(Protocol):
    """Where a transport delivers."""

    def receive(self, peer: NodeId, lane: Lane, frame: bytes) -> None:
        """Take one frame from an authenticated peer of this cluster. Must not block and must not raise."""
        ...


class Transport(Protocol):
    """Carries frames between the nodes of one cluster. Frames may be lost, delayed, repeated and reordered.

    A frame is delivered to the node it was sent to or to nobody: the handshake (protocol version, cluster id, node ids,
    boot) sees to it. Frames are `bytes`: nothing mutable is ever shared.
    """

    def bind(self, inbox: Inbox) -> None:
        """Say where received frames go; called once, before the first `connect`."""
        ...

    def connect(self, peers: Mapping[NodeId, str]) -> None:
        """Replace the set of peers and their addresses; streams to nodes no longer named are closed."""
        ...

    def send(self, peer: NodeId, lane: Lane, frame: bytes) -> bool:
        """Queue a frame; False when it was dropped because the lane's queue is full or the peer is not connected."""
        ...

    async def close(self) -> None:
        """Close every stream. Frames still queued are dropped."""
        ...
