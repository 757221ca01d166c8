"""A simulated network: hosts, the weather between them, cuts, hung and crashed hosts, all drawn from one generator.

What lives at an address `host:port` is on that host; clients are on hosts of their own. Between nodes frames are lost
while the way is cut, as after a connection that had to be dialed again; on a client's link they wait, as TCP's do.
Either breaks when the way was cut, in either direction, for `patience`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import Protocol

from raftlog.core.ids import Micros
from raftlog.testing.loop import SimLoop


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network treats frames; chances are between 0 and 1, per frame.

    Loss, duplication and reordering are for frames between nodes: a client's link is a stream and merely slows down.
    """

    delay: tuple[Micros, Micros] = (100, 1_000)
    """One way, drawn evenly."""
    loss: float = 0.0
    """Between nodes the frame is gone; on a link it takes `retransmission` longer."""
    duplicate: float = 0.0
    reorder: float = 0.0
    """The frame is not held to the order of its stream, and takes up to ten times the longest delay."""
    breaks: float = 0.0
    """The frame's stream or link breaks, and the frame with it."""
    retransmission: Micros = 200_000
    patience: Micros = 3_000_000
    """How long a way must be cut before what runs over it breaks."""


class Resident(Protocol):
    """What lives on a host and dies with it."""

    def crash(self) -> None:
        """The process is gone, without a word."""
        ...


class Observer(Protocol):
    """Whoever wants to know of every frame. `lane`: `urgent`, `bulk`, or `client` on a client's link."""

    def sent(self, origin: str, target: str, lane: str, frame: bytes) -> int:
        """A frame leaves; the number under which its fate is told."""
        ...

    def arrived(self, flight: int, origin: str, target: str, lane: str, frame: bytes) -> None:
        """A frame, or a copy of it, has reached the other process."""
        ...

    def lost(self, flight: int, origin: str, target: str) -> None:
        """A frame between nodes will not arrive."""
        ...


class Connection(Protocol):
    """What runs over a way and breaks when that is cut for too long."""

    @property
    def ends(self) -> tuple[str, str]:
        """The two hosts."""
        ...

    def snap(self, reason: str) -> None:
        """The way was cut for too long: both ends learn it, now."""
        ...


def host_of(address: str) -> str:
    """The host part of `host:port`."""
    return address.rpartition(":")[0] or address


class SimNetwork:
    """Carries bytes between hosts in virtual time.

    Invariants: equal generators and equal use give equal runs; what arrives at a hung host waits, in order, until it
    goes on; nothing arrives over a way that is cut at that moment.
    """

    def __init__(self, random: Random, loop: SimLoop, weather: Weather | None = None) -> None:
        self.random = random
        self.loop = loop
        self.weather = weather or Weather()
        self.observer: Observer | None = None
        self._slow: dict[tuple[str, str], Micros] = {}
        self._cuts: dict[tuple[str, str], int] = {}
        self._cut_serial = 0
        self._hung: dict[str, deque[tuple[str, Callable[[], None]]]] = {}
        self._ports: dict[tuple[str, str], object] = {}
        self._residents: dict[str, list[Resident]] = {}
        self._connections: list[Connection] = []
        self._directions: list[Direction] = []

    # What a test does to the network.

    def cut(self, origin: str, target: str) -> None:
        """Nothing gets from `origin` to `target` any more; the other way stays as it is."""
        if (origin, target) in self._cuts:
            return
        self._cut_serial += 1
        self._cuts[origin, target] = self._cut_serial
        self.later(self.weather.patience, self._cut_for_long, origin, target, self._cut_serial)

    def mend(self, origin: str, target: str) -> None:
        """The way from `origin` to `target` is open again."""
        self._cuts.pop((origin, target), None)
        self._pump()

    def isolate(self, host: str, others: Iterable[str]) -> None:
        """Cut both ways between `host` and each of `others`."""
        self.partition([host], list(others))

    def partition(self, *sides: Iterable[str]) -> None:
        """Cut every way between hosts of different sides; hosts that are not named are not touched."""
        groups = [list(side) for side in sides]
        for here, origins in enumerate(groups):
            for there, targets in enumerate(groups):
                if here != there:
                    for origin in origins:
                        for target in targets:
                            self.cut(origin, target)

    def heal(self) -> None:
        """Mend every cut."""
        self._cuts.clear()
        self._pump()

    def slow(self, origin: str, target: str, extra: Micros) -> None:
        """Everything from `origin` to `target` takes so much longer from now on; 0: no longer."""
        if extra:
            self._slow[origin, target] = extra
        else:
            self._slow.pop((origin, target), None)

    def hang(self, host: str) -> None:
        """The host's processes read nothing any more; their connections stay open."""
        self._hung.setdefault(host, deque())

    def resume(self, host: str) -> None:
        """The host reads on, first what has piled up."""
        for origin, arrive in self._hung.pop(host, ()):
            self.land(origin, host, arrive)
        self._pump()

    def crash(self, host: str) -> None:
        """Everything on the host dies at once. Who was connected learns it, unless the way back is cut.

        The caller ends the tasks of what ran there; closing a crashed twin does nothing.
        """
        self._hung.pop(host, None)
        for resident in self._residents.pop(host, []):
            resident.crash()

    # What the twins use.

    def listen(self, service: str, address: str, listener: Resident) -> None:
        """Have `listener` found at `address`, where each service is found once."""
        assert (service, address) not in self._ports, (
            f"{address} serves {service} already; crash or close what listens there first"
        )
        self._ports[service, address] = listener
        self.settle(host_of(address), listener)

    def silence(self, service: str, address: str, listener: object) -> None:
        """`listener` is not found any more."""
        if self._ports.get((service, address)) is listener:
            del self._ports[service, address]

    def listener(self, service: str, address: str) -> object | None:
        """Who offers `service` at `address`."""
        return self._ports.get((service, address))

    def settle(self, host: str, resident: Resident) -> None:
        """`resident` lives on `host`."""
        self._residents.setdefault(host, []).append(resident)

    def leave(self, host: str, resident: Resident) -> None:
        """`resident` ended in good order."""
        living = self._residents.get(host, [])
        if resident in living:
            living.remove(resident)

    def watch(self, connection: Connection) -> None:
        """Have `connection` snap when its way is cut for too long."""
        self._connections.append(connection)

    def unwatch(self, connection: Connection) -> None:
        """`connection` has ended."""
        if connection in self._connections:
            self._connections.remove(connection)

    def is_cut(self, origin: str, target: str) -> bool:
        """Whether nothing gets from `origin` to `target` now."""
        return (origin, target) in self._cuts

    def is_hung(self, host: str) -> bool:
        """Whether the host reads nothing now."""
        return host in self._hung

    def delay(self, origin: str, target: str) -> Micros:
        """How long the next frame is on its way."""
        low, high = self.weather.delay
        drawn = low + int(self.random.random() * (high - low + 1))
        return drawn + self._slow.get((origin, target), 0) if self._slow else drawn

    def chance(self, of: float) -> bool:
        """Whether something of that probability happens now. Draws only where it may go either way."""
        return of > 0 and (of >= 1 or self.random.random() < of)

    def later(
        self, micros: Micros, callback: Callable[..., None], *args: object, context: Context | None = None
    ) -> None:
        """Call back after `micros`; in the context of a host it waits for that host when it stands still."""
        self.loop.call_exactly(micros, callback, *args, context=context)

    def carry(self, origin: str, target: str, arrive: Callable[[], None]) -> None:
        """Carry one word of a handshake, or one frame out of order: lost when cut, waiting when the target hangs."""
        if not self.is_cut(origin, target):
            self.later(self.delay(origin, target), self.land, origin, target, arrive)

    def land(self, origin: str, target: str, arrive: Callable[[], None]) -> None:
        """Something sent earlier gets there now, if it does."""
        if self.is_cut(origin, target):
            return
        held = self._hung.get(target)
        if held is not None:
            held.append((origin, arrive))
        else:
            arrive()

    def direction(self, origin: str, target: str, *, lossy: bool) -> "Direction":
        """One direction of a new stream; `end` it when the stream is over."""
        direction = Direction(self, origin, target, lossy=lossy)
        self._directions.append(direction)
        return direction

    def forget(self, direction: "Direction") -> None:
        """The direction's stream is over."""
        if direction in self._directions:
            self._directions.remove(direction)

    def _pump(self) -> None:
        for direction in list(self._directions):
            direction.pump()

    def _cut_for_long(self, origin: str, target: str, serial: int) -> None:
        if self._cuts.get((origin, target)) != serial:
            return
        for connection in [*self._across(origin, target)]:
            connection.snap(f"nothing got from {origin} to {target} for too long")

    def _across(self, origin: str, target: str) -> Iterator[Connection]:
        return (connection for connection in self._connections if set(connection.ends) == {origin, target})


class Direction:
    """Frames on their way from one end of a stream to the other, in order.

    Invariants: frames arrive in the order they were put; `bytes` is what is on its way, waiting frames included.
    """

    def __init__(self, network: SimNetwork, origin: str, target: str, *, lossy: bool) -> None:
        self._network = network
        self._origin = origin
        self._target = target
        self._lossy = lossy
        self._frames: deque[tuple[Micros, int, Callable[[], None], Callable[[], None] | None]] = deque()
        self._ended = False
        self._abandoned = False
        self.bytes = 0

    def put(
        self,
        charge: int,
        arrive: Callable[[], None],
        *,
        extra: Micros = 0,
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Send something off; `arrive` is called when it gets there, `lost` when it finds the way cut."""
        network = self._network
        due = network.loop.micros + network.delay(self._origin, self._target) + extra
        if self._frames:
            due = max(due, self._frames[-1][0])
        self._frames.append((due, charge, arrive, lost))
        self.bytes += charge
        network.later(due - network.loop.micros, self.pump)

    def pump(self) -> None:
        """Let everything arrive that is due, unless the way is closed."""
        network = self._network
        while self._frames and self._frames[0][0] <= network.loop.micros and not self._ended:
            cut = network.is_cut(self._origin, self._target)
            if network.is_hung(self._target) or (cut and not self._lossy):
                return
            _, charge, arrive, lost = self._frames.popleft()
            self.bytes -= charge
            if not cut:
                arrive()
            elif lost is not None:
                lost()
        if self._abandoned and not self._frames:
            self.end()

    def abandon(self) -> None:
        """The origin is gone: what is on its way still arrives, and then it is over."""
        self._abandoned = True
        self.pump()

    def end(self) -> None:
        """Nothing arrives any more."""
        self._ended = True
        self._frames.clear()
        self.bytes = 0
        self._network.forget(self)
