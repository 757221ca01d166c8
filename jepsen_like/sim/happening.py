"""Something that happened in a run, for people: the lines of a trace and the marks of a timeline."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from raftlog.core.ids import Micros

Kind: TypeAlias = Literal[
    "send", "arrive", "lost", "tick", "role", "disk", "commit", "apply", "read", "event",
    "fault", "heal", "crash", "start", "invoke", "ok", "fail", "unknown", "violation", "note",
]  # fmt: skip


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `lane` is who it happened to: `n1`, `c1`, or `net` for the whole network."""

    at: Micros
    lane: str
    kind: Kind
    text: str
    """In the words of the golden stories."""
    peer: str = ""
    """The other end of a message."""
    flight: int = 0
    """Joins a message's `send` to its `arrive` or `lost`; an operation's `invoke` to its end; a fault to its `heal`."""


Watch: TypeAlias = Callable[[Happening], None]
"""Whoever wants to see a run as it goes. Watching changes nothing: not even the trace hash."""
