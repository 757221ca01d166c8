"""What the frames of clients show: reads, commands sent again, sessions taken elsewhere, redirections."""

from collections.abc import Callable

import msgspec

from raftlog.core.entry import Command
from raftlog.transport.client_frames import decode_client_frame, decode_node_frame

_commands = msgspec.msgpack.Decoder(list[Command])
_SESSIONS = 0
"""The machine that keeps the sessions."""


class Hearing:
    """Counts by what arrives, without asking either end."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._asked: set[tuple[int, int]] = set()
        """Commands that have arrived somewhere, by session and sequence."""
        self._at: dict[int, str] = {}
        """Which node each session was last heard at."""

    def asked(self, target: str, frame: bytes) -> None:
        """A client's frame has reached a node."""
        asked = decode_client_frame(frame)
        if asked.queries:
            self._count("event/read")
        if asked.commands:
            for command in _commands.decode(asked.commands):
                self._command(target, command)

    def answered(self, frame: bytes) -> None:
        """A node's frame has reached a client."""
        if decode_node_frame(frame).leader:
            self._count("event/redirect")

    def _command(self, target: str, command: Command) -> None:
        if command.machine == _SESSIONS and not command.client_id:
            self._count("event/session-opened")
        if not command.client_id:
            return
        name = command.client_id, command.sequence
        if name in self._asked:
            self._count("event/retry")
        self._asked.add(name)
        if self._at.setdefault(command.client_id, target) != target:
            self._count("event/session-resumed")
            self._at[command.client_id] = target
