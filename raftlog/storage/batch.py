"""The records of one append, before they have a place on the disk."""

from collections.abc import Sequence

from raftlog.storage.group import GroupWrite
from raftlog.storage.records import (
    ENTRY_OVERHEAD,
    Impairment,
    encode_entry,
    encode_fence,
    encode_hard_state,
    encode_impairment,
    encode_truncation,
)


class Body:
    """Records one after the other; payloads are kept as they are, not copied."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.count = 0
        self.length = 0

    def add(self, *pieces: bytes) -> int:
        """Append one record; its offset within the body."""
        start = self.length
        self.pieces.extend(pieces)
        self.length += sum(map(len, pieces))
        self.count += 1
        return start

    def join(self, other: "Body") -> int:
        """Append the other's records; where they start."""
        start = self.length
        self.pieces += other.pieces
        self.length += other.length
        self.count += other.count
        return start


def encode_writes(writes: Sequence[GroupWrite]) -> tuple[Body, list[int]]:
    """The records of the writes, and where in the body each entry's record starts."""
    body = Body()
    pieces, offset, offsets = body.pieces, 0, list[int]()
    for write in writes:
        if write.loss is not None:
            pieces.append(encode_impairment(Impairment(write.group, write.loss.reason, write.loss.base)))
            offset += len(pieces[-1])
            body.count += 1
        if write.base is not None:
            pieces.append(encode_truncation(write.group, write.base))
            offset += len(pieces[-1])
            body.count += 1
        for entry in write.entries:
            offsets.append(offset)
            pieces += encode_entry(entry)
            offset += ENTRY_OVERHEAD + len(entry.payload)
        if write.hard_state is not None:
            pieces.append(encode_hard_state(write.group, write.hard_state))
            offset += len(pieces[-1])
            body.count += 1
        if write.healed:
            pieces.append(encode_impairment(Impairment(write.group, "")))
            offset += len(pieces[-1])
            body.count += 1
        if write.fenced is not None:
            pieces.append(encode_fence(write.group, write.fenced))
            offset += len(pieces[-1])
            body.count += 1
    body.count += len(offsets)
    body.length = offset
    return body, offsets
