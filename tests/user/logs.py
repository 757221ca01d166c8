"""Logs made by hand: what a run would leave, without one."""

from collections.abc import Sequence

from raftlog.core.entry import Command, Entry, EntryKind, encode_commands, seal
from raftlog.core.ids import META_GROUP, EntryId
from raftlog.machine.applier import MACHINE


def log_of(*entries: Sequence[bytes]) -> list[Entry]:
    """A log with these commands, so many in each entry; it opens with a leader's no-op."""
    first = seal(group=META_GROUP, at=EntryId(1, 1), kind=EntryKind.NO_OP, log_time=1)
    return [first, *(_entry(at, bodies) for at, bodies in enumerate(entries, 2))]


def _entry(index: int, bodies: Sequence[bytes]) -> Entry:
    return seal(
        group=META_GROUP,
        at=EntryId(1, index),
        kind=EntryKind.COMMANDS,
        log_time=1_700_000_000_000_000 + index,
        payload=encode_commands([Command(0, 0, 0, MACHINE, 1, body) for body in bodies]),
    )
