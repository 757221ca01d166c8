"""The trace of a run: a hash of everything that happens in it, and the same told to whoever watches."""

from typing import Any

import msgspec
import xxhash

from jepsen_like.sim.core.timeline import Timeline
from jepsen_like.sim.happening import Happening, Kind, Watch


class Trace:
    """Equal hashes mean equal runs. Watching adds nothing to the hash and takes nothing from it.

    The hash covers values, never texts, so that wording may change; ids of Python objects and the order of sets
    have no way in, because MessagePack has neither.
    """

    __slots__ = ("_encode", "_hash", "_timeline", "_update", "watch")

    def __init__(self, timeline: Timeline, watch: Watch | None) -> None:
        self._timeline = timeline
        self._hash = xxhash.xxh3_64()
        self._update = self._hash.update
        self._encode = msgspec.msgpack.Encoder().encode
        self.watch = watch
        """Ask for it before making a text: texts cost more than what they tell of."""

    def note(self, *values: Any) -> None:
        """Fold in that this happens now."""
        self._update(self._encode((self._timeline.now, values)))

    def tell(self, lane: str, kind: Kind, text: str, *, peer: str = "", flight: int = 0) -> None:
        """Tell whoever watches."""
        if self.watch is not None:
            self.watch(
                Happening(at=self._timeline.now, lane=lane, kind=kind, text=text, peer=peer, flight=flight)
            )

    @property
    def digest(self) -> str:
        """The hash so far, 16 hexadecimal digits."""
        return f"{self._hash.intdigest():016x}"
