"""The state machine of core runs: named registers with sessions, and a running digest of what it has done."""

import struct
from dataclasses import dataclass, field

import msgspec
import xxhash

from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import Index

_DIGEST = struct.Struct("<QQQ")


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One call of a client: set `key` to `value`, or only if it holds `expected` where it `compares`.

    A client has one call open at a time, so its last sequence and answer are its whole session.
    """

    client: int
    sequence: int
    key: str
    value: str
    compares: bool
    expected: str | None
    padding: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Command)


def encode(command: Command) -> bytes:
    """The payload of the command's entry."""
    return _encoder.encode(command)


def decode(payload: bytes) -> Command:
    """The command in an entry."""
    return _decoder.decode(payload)


@dataclass(frozen=True, slots=True)
class Effect:
    """What applying one entry did."""

    command: Command
    executed: bool
    """False for a repetition, which is answered from the session."""
    answer: bool
    """Whether the register was set; a repetition has the first one's answer."""

    @property
    def sets(self) -> bool:
        """Whether the register changed just now."""
        return self.executed and self.answer


@dataclass(slots=True)
class Registers:
    """Invariants: equal logs give equal machines and digests; `sessions` has each client's last sequence and answer."""

    applied: Index = 0
    digest: int = 0
    values: dict[str, str] = field(default_factory=dict)
    sessions: dict[int, tuple[int, bool]] = field(default_factory=dict)

    def copy(self) -> "Registers":
        """A machine that changes by itself."""
        return Registers(self.applied, self.digest, dict(self.values), dict(self.sessions))

    def apply(self, entry: Entry) -> Effect | None:
        """Take the next entry; None for one that carries no command."""
        assert entry.index == self.applied + 1, f"applies {entry.id} after {self.applied}"
        self.applied = entry.index
        effect = self._run(decode(entry.payload)) if entry.kind is EntryKind.COMMANDS else None
        result = 0 if effect is None else 1 + 2 * effect.executed + effect.answer
        self.digest = xxhash.xxh3_64_intdigest(_DIGEST.pack(self.digest, entry.checksum, result))
        return effect

    def _run(self, command: Command) -> Effect:
        sequence, answer = self.sessions.get(command.client, (0, False))
        if command.sequence <= sequence:
            return Effect(command, False, answer)
        sets = not command.compares or self.values.get(command.key) == command.expected
        if sets:
            self.values[command.key] = command.value
        self.sessions[command.client] = command.sequence, sets
        return Effect(command, True, sets)
