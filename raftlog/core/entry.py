"""The log record: an entry, the commands it carries, and the checksum that travels with it."""

import struct
from collections.abc import Sequence
from enum import IntEnum

import msgspec
import xxhash

from raftlog.core.ids import EntryId, GroupId, Index, Micros, Term

MAX_COMMANDS = 1 << 16
"""Commands of one entry: an ordinal fits into 16 bits, which makes (index, ordinal) a u64."""

_HEAD = struct.Struct("<QQQBQ")


class EntryKind(IntEnum):
    """What an entry is for."""

    NO_OP = 1
    """Opens a leader's term, so that something of its own term can commit (paper 5.4.2)."""
    COMMANDS = 2
    MEMBERSHIP = 3
    TRUNCATION_MARK = 4


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One call of a state machine, as the client made it. Its identity is (index of its entry, ordinal in it).

    `body` is encoded once, by the client: the same bytes go into the log, over the wire and into `apply`.
    """

    client_id: int
    """The session's id (u64); 0: no session, so nothing filters a duplicate."""
    sequence: int
    """Number within the session, from 1."""
    answered_below: int
    """The client has the answers of all its sequences below this one; they may be forgotten."""
    machine: int
    """Which machine of the group runs it: 0 is the session table itself, 1 the user's machine (u32)."""
    machine_version: int
    """The version of the machine's vocabulary that the client speaks (u32)."""
    body: bytes


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record of the log.

    Invariants: `index >= 1`; `log_time` never decreases along a log; `checksum` covers every other field, is made
    once by the leader that created the entry and verified before each acknowledgement.
    """

    group: GroupId
    index: Index
    term: Term
    kind: EntryKind
    log_time: Micros
    """The time `apply` knows: wall-clock microseconds, never before the previous entry's."""
    checksum: int
    """xxh3-64 of the other fields."""
    payload: bytes
    """For `COMMANDS` the encoded commands, for `MEMBERSHIP` an encoded membership, else empty."""

    @property
    def id(self) -> EntryId:
        """Its position."""
        return EntryId(self.term, self.index)

    @property
    def size(self) -> int:
        """Bytes it is charged with in every limit: the payload and 64 for the rest."""
        return len(self.payload) + 64

    def intact(self) -> bool:
        """Whether the checksum fits the fields."""
        return self.checksum == _checksum(
            self.group, self.index, self.term, self.kind, self.log_time, self.payload
        )


def seal(*, group: GroupId, at: EntryId, kind: EntryKind, log_time: Micros, payload: bytes = b"") -> Entry:
    """Make an entry with its checksum. Only a leader creates entries, and only of its own term."""
    checksum = _checksum(group, at.index, at.term, kind, log_time, payload)
    return Entry(group, at.index, at.term, kind, log_time, checksum, payload)


def _checksum(group: int, index: int, term: int, kind: int, log_time: int, payload: bytes) -> int:
    head = xxhash.xxh3_64_intdigest(_HEAD.pack(group, index, term, kind, log_time))
    return xxhash.xxh3_64_intdigest(payload, head)


_commands_encoder = msgspec.msgpack.Encoder()
_commands_decoder = msgspec.msgpack.Decoder(tuple[Command, ...])


def encode_commands(commands: Sequence[Command]) -> bytes:
    """The payload of a `COMMANDS` entry: a MessagePack array of command arrays."""
    return _commands_encoder.encode(commands)


def decode_commands(payload: bytes) -> tuple[Command, ...]:
    """Read the payload of a `COMMANDS` entry.

    Raises:
        ValueError: the bytes are not a sequence of commands.
    """
    return _commands_decoder.decode(payload)
