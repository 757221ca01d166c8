"""What a node and the process that replays for it say to each other: frames of a length (u32) and MessagePack.

The node sends one `Job` and so many `Stretch`es; then it keeps the pipe open, for its end says that the node is gone.
The other process answers with one `Outcome`. Both are of one version: the node starts it from its own files.
"""

import struct
from typing import BinaryIO, TypeVar

import msgspec

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import ClusterId, GroupId
from raftlog.replay.machine import MachineSpec
from raftlog.storage.snapshots import Manifest, SnapshotId

T = TypeVar("T")

_LENGTH = struct.Struct("<I")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Which snapshot to make, from what."""

    directory: str
    """Where the node keeps its files."""
    cluster: ClusterId
    group: GroupId
    machine: MachineSpec
    begins_with: Manifest | None
    """The snapshot to start from; None: from the machine's first state."""
    meta: SnapshotMeta
    """What the new one stands for."""
    id: SnapshotId
    part_size: int
    urgent: bool
    """The log has grown by twice what it should: take as much of the processors as anybody."""
    stretches: int
    """How many follow: where the entries after the old snapshot lie, up to `meta.last`."""


class Outcome(msgspec.Struct, frozen=True):
    """Exactly one of the two is there."""

    made: Manifest | None = None
    """Its parts are written and synced; their names are not yet."""
    failed: str = ""
    """Why not, in a sentence."""


def encode(value: object) -> bytes:
    """One frame."""
    body = msgspec.msgpack.encode(value)
    return _LENGTH.pack(len(body)) + body


def read(stream: BinaryIO, type: type[T]) -> T | None:
    """The next frame; None at the end of the stream, be it in the midst of a frame."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return msgspec.msgpack.decode(body, type=type) if len(body) == length else None
