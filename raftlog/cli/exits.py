"""What the exit codes of `raftlog` mean, and which error gives which."""

from enum import IntEnum

import click

from raftlog.admin import Unreachable
from raftlog.backup.format import BackupDamaged
from raftlog.bootstrap import HalfInitialised
from raftlog.machine.calls import CallUnknown
from raftlog.storage import LogDamaged


class Exit(IntEnum):
    """Scripts may rely on these."""

    OK = 0
    """Done."""
    FAILED = 1
    """Certainly not done: refused, not found, not equal, could not start. Trying again is safe."""
    USAGE = 2
    """The command line or a TOML file makes no sense; nothing was tried."""
    UNKNOWN = 3
    """May or may not have been done: the answer was lost."""
    UNREACHABLE = 4
    """Nobody answered, and nothing was done."""
    DAMAGED = 5
    """A log or a backup lost or changed something that had been written for good."""
    DISK_FAILED = 6
    """A disk failed under a node, which has stopped and promises nothing more."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CommandFailed(Exception):
    """A command ends without its result; the text is one sentence for standard error."""

    def __init__(self, sentence: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def exit_of(error: Exception) -> int:
    """The exit code for an error that ended a command."""
    match error:
        case CommandFailed():
            return error.code
        case click.ClickException():
            return error.exit_code
        case Unreachable():
            return Exit.UNREACHABLE
        case CallUnknown() | HalfInitialised():
            return Exit.UNKNOWN
        case LogDamaged() | BackupDamaged():
            return Exit.DAMAGED
        case _:
            return Exit.FAILED
