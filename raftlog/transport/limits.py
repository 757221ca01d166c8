"""The caps, in bytes, and the patience, in seconds, of every queue and stream between nodes and to clients."""

from dataclasses import dataclass

from raftlog.transport.port import Lane

FRAME_OVERHEAD = 64
"""Bytes a queued frame is charged with besides its own: a flood of tiny frames is bounded too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a transport may hold and how long it waits; the defaults suit nodes in one region.

    Invariants: a packet of one frame of `frame_bytes` fits into `message_bytes`, and such a frame into the queue that
    may have to carry it.
    """

    urgent_bytes: int = 1 << 20
    """Queued for one peer's urgent lane."""
    bulk_bytes: int = 12 << 20
    """Queued for one peer's bulk lane; more than `frame_bytes`, so that the largest entry can pass."""
    packet_bytes: int = 512 << 10
    """A packet takes no further frame beyond this."""
    message_bytes: int = 12 << 20
    """One gRPC message, received or sent, of nodes and clients alike; less than a segment of the log."""
    handshake_timeout: float = 3.0
    """For connecting and being welcomed."""
    stall_timeout: float = 10.0
    """A peer that takes no byte for this long is hung up on, and dialed again."""
    bulk_rate: int = 64 << 20
    """Bytes of snapshots given to peers per second: what is left of disk and network belongs to the log."""
    bulk_answers: int = 4
    """Questions for pieces of snapshots answered at a time; each holds one piece in memory."""

    def __post_init__(self) -> None:
        if self.message_bytes < 2 * self.packet_bytes:
            raise ValueError(
                f"message_bytes {self.message_bytes} must be twice packet_bytes {self.packet_bytes}"
            )
        if self.bulk_bytes < self.message_bytes:
            raise ValueError(f"bulk_bytes {self.bulk_bytes} must hold a message of {self.message_bytes}")

    @property
    def frame_bytes(self) -> int:
        """The largest frame that can be sent at all."""
        return self.message_bytes - self.packet_bytes - 1024

    def queue_bytes(self, lane: Lane) -> int:
        """The cap of one lane's queue."""
        return self.urgent_bytes if lane is Lane.URGENT else self.bulk_bytes
