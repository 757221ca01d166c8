"""What a transport tells people: one line per thing that happened to a peer, repeats held back."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from raftlog.core.ids import NodeId
from raftlog.transport.port import Lane

_REMEMBERED = 1_024

OnEvent: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Takes a sentence and its fields. Must not block and must not raise."""


def ignore(text: str, fields: Mapping[str, object]) -> None:
    """An `OnEvent` for those who do not care."""


class Reporter:
    """Tells one thing about one lane of a peer once, until another thing happens to that lane.

    A peer that is down for an hour is dialed 3,600 times and reported once.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._last: dict[tuple[NodeId, Lane], str] = {}

    def tell(self, peer: NodeId, lane: Lane, text: str, *, thing: str = "", **fields: object) -> None:
        """Report `text`, unless the last report about that lane was of the same `thing`, by default the text itself."""
        thing = thing or text
        if self._last.get((peer, lane)) == thing:
            return
        if len(self._last) >= _REMEMBERED:
            self._last.clear()  # strangers knock with ever new ids
        self._last[peer, lane] = thing
        self._on_event(text, {"peer": f"{peer:x}", "lane": lane.value, **fields})

    def forget(self, peer: NodeId) -> None:
        """The peer is gone from the membership."""
        for lane in Lane:
            self._last.pop((peer, lane), None)
