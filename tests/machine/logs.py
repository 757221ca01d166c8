"""A log for machines: entries sealed one after another, as a leader of term 1 would, for the tests of this folder."""

from collections.abc import Sequence

import msgspec

from raftlog.core.entry import Command, Entry, EntryKind, encode_commands, seal
from raftlog.core.ids import META_GROUP, EntryId, GroupId
from raftlog.machine.applier import MACHINE, SESSIONS, Applier
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Result
from raftlog.machine.sessions import Sessions


class Log:
    """Makes the entries; keeps them all, so that a second replica can be fed the same."""

    def __init__(self, group: GroupId = META_GROUP) -> None:
        self.group = group
        self.entries: list[Entry] = []

    def entry(
        self, *commands: Command, kind: EntryKind = EntryKind.COMMANDS, term: int = 1, step: int = 10
    ) -> Entry:
        """The next entry, `step` microseconds after the one before."""
        payload = encode_commands(commands) if kind is EntryKind.COMMANDS else b""
        last = self.entries[-1] if self.entries else None
        at = EntryId(term, last.index + 1 if last else 1)
        log_time = (last.log_time if last else 1_000_000) + step
        self.entries.append(seal(group=self.group, at=at, kind=kind, log_time=log_time, payload=payload))
        return self.entries[-1]


def loose(body: bytes, *, machine: int = MACHINE, version: int = 1) -> Command:
    """A command without a session."""
    return Command(0, 0, 0, machine, version, body)


def numbered(
    session: int, sequence: int, body: bytes, *, answered_below: int = 1, machine: int = MACHINE
) -> Command:
    """A command of a session."""
    return Command(session, sequence, answered_below, machine, 1, body)


def opening(*, ordered: bool = False) -> Command:
    """The command that opens a session."""
    return loose(encode_call(Sessions.open, ordered=ordered), machine=SESSIONS)


def open_session(log: Log, applier: Applier, *, ordered: bool = False) -> int:
    """A session's id."""
    [result] = applier.apply(log.entry(opening(ordered=ordered)))
    return value_of(result)


def value_of(result: Result) -> int:
    """The number in a result's body."""
    return msgspec.msgpack.decode(result.body, type=int)


def feed(applier: Applier, entries: Sequence[Entry]) -> list[list[Result]]:
    """Apply entries one after another: their results."""
    return [applier.apply(entry) for entry in entries]
