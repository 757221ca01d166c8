"""What happens in a run, folded into one running hash, counted for the gates, and told to whoever watches."""

from collections import Counter

import xxhash

from jepsen_like.sim.happening import Happening, Kind, Watch
from jepsen_like.sim.notation import message_text
from raftlog.core.message import Message
from raftlog.testing.loop import SimLoop
from raftlog.testing.platter import (
    Allocated,
    Event,
    NamesSynced,
    Removed,
    Renamed,
    Synced,
    SyncFailed,
    Wrote,
)
from raftlog.testing.sealed import outside
from raftlog.transport.frames import Forward, ForwardReply

Sent = Message | Forward | ForwardReply

_REMEMBERED = 80
"""Lines kept for the report of a failure."""


class Chronicle:
    """One run's record. See `raftlog.testing.network.Observer` for the frames.

    Invariants: the hash depends on what happens alone, watched or not; a happening is built only for a watcher; after
    `close` nothing is recorded, so that how a run is torn down shows nowhere.
    """

    def __init__(self, loop: SimLoop, watch: Watch | None = None) -> None:
        self._loop = loop
        self._watch = watch
        self._hash = xxhash.xxh3_64()
        self._fold = self._hash.update
        self._flights: list[tuple[str, str]] = [("", "")]
        self._sending: tuple[str, Sent] | None = None
        self._serial = 0
        self._lines: list[str] = []
        self.counts: Counter[str] = Counter()
        self.frames = 0
        """Frames that arrived at nodes from nodes."""
        self.closed = False

    @property
    def watched(self) -> bool:
        """Whether texts are worth making."""
        return self._watch is not None

    @property
    def digest(self) -> str:
        """The hash so far, 16 hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The end of the story, for the report of a failure."""
        return tuple(self._lines)

    def serial(self) -> int:
        """A number that joins two happenings."""
        self._serial += 1
        return self._serial

    def close(self) -> None:
        """The verdict is known."""
        self.closed = True

    def count(self, name: str) -> None:
        """Something that a gate waits for has happened."""
        if not self.closed:
            self.counts[name] += 1

    def note(
        self, lane: str, kind: Kind, text: str, *, peer: str = "", flight: int = 0, detail: str = ""
    ) -> None:
        """Something that matters: part of the hash, and a line of the story. `detail` is for the hash alone."""
        if self.closed:
            return
        at = self._loop.micros
        self._fold(f"{at} {lane} {kind} {text} {peer} {detail}\n".encode())
        self._lines.append(f"{at / 1e6:.6f} {lane} {kind} {text}")
        if len(self._lines) > 2 * _REMEMBERED:
            del self._lines[:_REMEMBERED]
        self._tell(lane, kind, text, peer, flight)

    def _tell(self, lane: str, kind: Kind, text: str, peer: str = "", flight: int = 0) -> None:
        if self._watch is not None and not self.closed:
            with outside():
                self._watch(
                    Happening(at=self._loop.micros, lane=lane, kind=kind, text=text, peer=peer, flight=flight)
                )

    # -- frames

    def sending(self, kind: str, frame: Sent) -> None:
        """A node is about to hand this frame to its transport."""
        self._sending = kind, frame

    def sent(self, origin: str, target: str, lane: str, frame: bytes) -> int:
        """See `Observer.sent`."""
        kind, text = lane, ""
        if self._sending is not None and lane != "client":
            kind = self._sending[0]
            if self._watch is not None:
                text = _text(kind, self._sending[1])
        elif self._watch is not None:
            text = f"{len(frame)} bytes"
        self._sending = None
        flight = len(self._flights)
        self._flights.append((kind, text))
        self._tell(origin, "send", text, target, flight)
        return flight

    def arrived(self, flight: int, origin: str, target: str, lane: str, frame: bytes) -> None:
        """See `Observer.arrived`."""
        if self.closed:
            return
        self._fold(f"{self._loop.micros} {origin}>{target} {lane} ".encode())
        self._fold(frame)
        self._tell(target, "arrive", self._flights[flight][1], origin, flight)

    def lost(self, flight: int, origin: str, target: str) -> None:
        """See `Observer.lost`."""
        if not self.closed:
            self._fold(f"{self._loop.micros} {origin}|{target} {flight}\n".encode())
            self._tell(target, "lost", self._flights[flight][1], origin, flight)

    def kind(self, flight: int) -> str:
        """What kind of frame it was: a message's in the words of stories, `forward`, `forward-answer` or `client`."""
        return self._flights[flight][0]

    # -- disks

    def disk(self, host: str, event: Event) -> None:
        """Something happened to a disk."""
        if self.closed:
            return
        text = ""
        match event:
            case Wrote(name=name, offset=offset, content=content):
                text = f"writes {len(content)} bytes at {offset} of {name}"
                self._fold(content)
            case Synced(name=name):
                text = f"has synced {name}"
            case SyncFailed(name=name):
                text = f"could not sync {name}"
            case Allocated(name=name, size=size):
                text = f"makes {name} of {size} bytes"
            case Renamed(old=old, new=new):
                text = f"renames {old} to {new}"
            case Removed(name=name):
                text = f"removes {name}"
            case NamesSynced():
                text = "has synced its names"
        self._fold(f"{self._loop.micros} {host} {text}\n".encode())
        self._tell(host, "disk", text)


def _text(kind: str, frame: Sent) -> str:
    match frame:
        case Forward() | ForwardReply():
            return f"{kind} {frame.id.counter}"
        case _:
            return message_text(frame)
