"""The caps on what one client may have a node hold."""

from dataclasses import dataclass

from raftlog.core.entry import MAX_COMMANDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Per stream, in bytes and calls.

    Invariants: `frame_calls <= MAX_COMMANDS`; a frame with one command of `command_bytes` fits into `frame_bytes`.

    One stream makes a node hold at most `inflight_bytes` and one more frame of requests, `inflight_calls` and one
    more frame of answers, and one frame being sent.
    """

    command_bytes: int = 1 << 20
    """One command's or query's body."""
    frame_calls: int = 8_192
    """Commands and queries in one frame."""
    frame_bytes: int = 8 << 20
    """One frame of answers, and the largest single answer."""
    inflight_calls: int = 16_384
    """Calls that are not answered yet; beyond this the stream is not read."""
    inflight_bytes: int = 8 << 20
    """Bytes of frames that are not wholly answered yet; beyond this the stream is not read."""

    def __post_init__(self) -> None:
        if not 0 < self.frame_calls <= MAX_COMMANDS:
            raise ValueError(
                f"frame_calls {self.frame_calls} must be 1 to {MAX_COMMANDS}, the commands of an entry"
            )
        if self.frame_bytes < self.command_bytes + 1024:
            raise ValueError(
                f"frame_bytes {self.frame_bytes} must hold a command of {self.command_bytes} bytes and its frame"
            )
