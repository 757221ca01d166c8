"""The stream a snapshot's state travels in: frames that survive any re-chunking, closed by a checksum.

    frame     kind (u8), length (u32 little-endian), payload
    HEAD      MessagePack [magic, format, group, term, index, log_time, digest, [[name, version], ...]]
    PART      a chunk of the first machine, in the order of the head's list
    NEXT      empty: the parts of the next machine follow
    END       xxh3-64 (u64 little-endian) of every byte before this frame

A stream that ends without END is no snapshot. Parts come back to `restore` exactly as `write` made them.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import xxhash

from raftlog.core.ids import EntryId, GroupId, Micros

MAGIC = "raftlog state"
FORMAT = 1
MAX_PART = 1 << 30
"""Bytes of one part: a length beyond this is damage, not a chunk that somebody wrote."""

_FRAME = struct.Struct("<BI")
_END = struct.Struct("<Q")
HEAD, PART, NEXT, END = 1, 2, 3, 4


class SnapshotRefused(ValueError):
    """A stream that this state cannot be restored from; nothing was changed."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot stands for."""

    magic: str
    format: int
    group: GroupId
    at: EntryId
    """The last entry whose effect it holds."""
    log_time: Micros
    digest: int
    machines: tuple[tuple[str, int], ...]
    """Name and version of each machine, in the order of their parts."""


def write_stream(head: Head, machines: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """The whole stream, one frame at a time."""
    digest = xxhash.xxh3_64()
    for frame in _frames(head, machines):
        digest.update(frame)
        yield frame
    yield _frame(END, _END.pack(digest.intdigest()))


def _frames(head: Head, machines: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    yield _frame(HEAD, msgspec.msgpack.encode(head))
    for parts in machines:
        for part in parts:
            if len(part) > MAX_PART:
                raise ValueError(
                    f"a machine wrote a chunk of {len(part)} bytes; write smaller ones (1 MiB is good)"
                )
            yield _frame(PART, part)
        yield _frame(NEXT, b"")


def _frame(kind: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, len(payload)) + payload


class Reader:
    """Takes a stream apart again, from pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = bytearray()
        self._digest = xxhash.xxh3_64()

    def head(self) -> Head:
        """What the snapshot stands for; to be read first.

        Raises:
            SnapshotRefused: the stream is something else, or of a newer format.
        """
        kind, payload = self._read()
        start: Any = None
        try:
            start = msgspec.msgpack.decode(payload) if kind == HEAD else None
            if not (isinstance(start, list) and start[:1] == [MAGIC]):
                raise SnapshotRefused("the stream is not a snapshot of a state machine")
            if start[1:2] != [FORMAT]:
                raise SnapshotRefused(
                    f"the snapshot has format {start[1:2]}, this version reads {FORMAT}: upgrade"
                )
            return msgspec.msgpack.decode(payload, type=Head)
        except SnapshotRefused:
            raise
        except ValueError as error:
            raise SnapshotRefused(f"the snapshot's head is damaged: {error}") from None

    def parts(self) -> Iterator[bytes]:
        """The parts of the next machine; to be used up before the following one's.

        Raises:
            SnapshotRefused: the stream is cut off or damaged.
        """
        while True:
            kind, payload = self._read()
            if kind == NEXT:
                return
            if kind != PART:
                raise SnapshotRefused(
                    f"the snapshot is damaged: a frame of kind {kind} in the midst of a machine"
                )
            yield payload

    def end(self) -> None:
        """Check that everything was read and nothing was changed on the way.

        Raises:
            SnapshotRefused: it was.
        """
        expected = self._digest.intdigest()
        kind, payload = self._read()
        if kind != END or payload != _END.pack(expected):
            raise SnapshotRefused("the snapshot is damaged: its checksum does not fit")
        if self._buffer or any(self._pieces):
            raise SnapshotRefused("the snapshot is damaged: bytes follow its end")

    def _read(self) -> tuple[int, bytes]:
        head = self._take(_FRAME.size)
        kind, length = _FRAME.unpack(head)
        if not HEAD <= kind <= END or length > MAX_PART:
            raise SnapshotRefused(
                f"the stream is damaged or no snapshot: a frame of kind {kind} and {length} bytes"
            )
        payload = self._take(length)
        self._digest.update(head)
        self._digest.update(payload)
        return kind, payload

    def _take(self, count: int) -> bytes:
        buffer = self._buffer
        while len(buffer) < count:
            piece = next(self._pieces, None)
            if piece is None:
                raise SnapshotRefused("the snapshot is cut off before its end")
            buffer += piece
        taken = bytes(buffer[:count])
        del buffer[:count]
        return taken
