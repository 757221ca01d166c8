"""What one frame between nodes may be besides a message of the cores: forwarded commands and their answers."""

from typing import TypeAlias

import msgspec

from raftlog.core.ids import GroupId, RequestId
from raftlog.core.message import Message


class BadFrame(ValueError):
    """Bytes that no correct node of this protocol sends; the text says what is wrong with them."""


class Forward(msgspec.Struct, frozen=True):
    """Commands a follower took from its clients, passed to the leader at most once.

    When it is lost, nobody repeats it: its commands' outcome is unknown to the forwarder.
    """

    group: GroupId
    id: RequestId
    commands: bytes
    """As `encode_commands` makes them: the bytes the clients sent."""


class ForwardReply(msgspec.Struct, frozen=True):
    """The answers to a `Forward`, one per command, in order."""

    group: GroupId
    id: RequestId
    replies: bytes
    """MessagePack: array of replies; opaque here."""


Frame: TypeAlias = Message | Forward | ForwardReply
