"""What a transport tells people: one line per thing that happened to a peer, repeats held back."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from raftlog.core.ids import NodeId

OnEvent: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Takes a sentence and its fields. Must not block and must not raise."""


def ignore(text: str, fields: Mapping[str, object]) -> None:
    """An `OnEvent` for those who do not care."""


class Reporter:
    """Tells the same sentence about the same peer once, until something else happens to that peer.

    A peer that is down for an hour is dialed 3,600 times and reported once.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._last: dict[NodeId, str] = {}

    def tell(self, peer: NodeId, text: str, **fields: object) -> None:
        """Report `text` about `peer` unless it was the last thing said about it."""
        if self._last.get(peer) == text:
            return
        self._last[peer] = text
        self._on_event(text, {"peer": f"{peer:x}", **fields})

    def forget(self, peer: NodeId) -> None:
        """The peer is gone from the membership."""
        self._last.pop(peer, None)
