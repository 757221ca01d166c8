"""What can happen to an explored world: the kinds of actions, and how each is written."""

from enum import IntEnum

import msgspec

from jepsen_like.sim.notation import message_text, node_text
from raftlog.core.ids import NodeId
from raftlog.core.message import Message


class Kind(IntEnum):
    """Kinds of actions, in the order in which they are tried."""

    DELIVER = 0
    AGAIN = 1
    """A message arrives, and a copy of it stays under way."""
    DROP = 2
    TIMEOUT = 3
    """An election timeout goes by at a node: a leader resigns, everyone else campaigns."""
    HEARTBEAT = 4
    PROPOSE = 5
    READ = 6
    SYNC = 7
    """The oldest write under way at a node completes."""
    CRASH = 8
    """A node stops and starts again; some of its writes under way may have reached the disk."""
    CHANGE = 9
    """A leader is told to change the membership."""


class Action(msgspec.Struct, frozen=True):
    """One thing that happens. `str` is its text, by which it can be replayed."""

    kind: Kind
    node: NodeId
    """To whom."""
    message: Message | None = None
    keeping: int = 0
    """Writes that reach the disk in a crash."""
    change: tuple[str, ...] = ()
    """What of the membership is to change."""

    def __str__(self) -> str:
        if self.message is not None:
            return f"{self.kind.name.lower()} {message_text(self.message)}"
        keeping = f" keeping {self.keeping}" if self.keeping else ""
        change = "".join(f" {word}" for word in self.change)
        return f"{self.kind.name.lower()} {node_text(self.node)}{keeping}{change}"
