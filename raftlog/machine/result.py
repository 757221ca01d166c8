"""What became of one command or query: a kind and its encoded body."""

from enum import IntEnum

import msgspec

from raftlog.core.ids import Micros


class Kind(IntEnum):
    """Kinds below 16 are decided by applying the command, equal on every replica; the rest are a node's own answer."""

    OK = 0
    """Happened; the body is the encoded return value."""
    ERROR = 1
    """Happened, without changing anything: the machine raised a declared error, encoded in the body."""
    FAULT = 2
    """Happened: the machine raised something undeclared. What it changed before stands, equal on all replicas."""
    BAD_COMMAND = 3
    """Nothing changed: no such method, or arguments that do not decode. The body is an encoded `Refusal`."""
    SESSION_EXPIRED = 4
    """Nothing changed: the session is not in the table. Whether an earlier try of this command happened is unknown."""
    ANSWER_GONE = 5
    """Nothing changed now: the sequence lies below what the client confirmed or the table keeps; an earlier try may
    have happened."""
    OUT_OF_ORDER = 6
    """Nothing changed: an ordered session got a sequence with a gap before it. The body is the encoded expected one."""
    SKIPPED = 7
    """Nothing changed: operators voted this command out."""

    FAILED = 16
    """Certainly did not happen. The body is an encoded `Refusal`."""
    UNKNOWN = 17
    """May or may not have happened. The body is an encoded `Refusal`."""


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why, in one sentence, and what the client may do about it."""

    reason: str
    leader: str | None = None
    """Client address of the node to ask instead, when one is known."""
    retry_after: Micros = 0
    """Worth another try after this long; 0: no advice."""


class Result(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The answer to one command or query. Unknown to the collector, as it can be part of no cycle: tables keep many."""

    kind: Kind
    body: bytes = b""


def refusal(kind: Kind, reason: str, *, leader: str | None = None, retry_after: Micros = 0) -> Result:
    """A result that says why in words."""
    return Result(kind, msgspec.msgpack.encode(Refusal(reason, leader, retry_after)))
