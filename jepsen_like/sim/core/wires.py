"""The network of core runs: messages take their time, get lost, come twice, overtake each other and find links cut."""

from collections.abc import Iterable
from random import Random

from jepsen_like.sim.core.timeline import Act, Timeline
from jepsen_like.sim.links import Link
from raftlog.core.ids import Micros
from raftlog.core.message import AppendRequest, Message
from raftlog.testing.network import Weather

LATE: Micros = 2_000_000
"""How long after the first a second copy may come, however quick the network is else."""


class Wire:
    """One direction between two ends.

    Invariants: `cuts` counts the faults that cut it now; what was sent in an earlier `epoch` is lost.
    """

    __slots__ = ("cuts", "due_bulk", "due_urgent", "ends", "epoch", "extra")

    def __init__(self, ends: Link) -> None:
        self.ends = ends
        self.cuts = 0
        self.epoch = 0
        self.extra: Micros = 0
        """How much longer everything takes, by all slow-link faults together."""
        self.due_urgent: Micros = 0
        """When the last message of each of its two streams arrives: streams keep their order."""
        self.due_bulk: Micros = 0

    @property
    def name(self) -> str:
        """`n1 -> n2`."""
        return " -> ".join(self.ends)


class Wires:
    """Every wire there is, and the weather over all of them.

    As in real nodes there are two streams from node to node: appends, and what must not wait behind them.
    """

    def __init__(self, timeline: Timeline, random: Random, weather: Weather, names: Iterable[str]) -> None:
        self._timeline = timeline
        self._chance = random.random
        ends = list(names)
        self._wires = {(a, b): Wire((a, b)) for a in ends for b in ends if a != b}
        self.fair = weather
        """The weather when no squall is."""
        self.change(weather)

    def wire(self, origin: str, target: str) -> Wire:
        """The way from `origin` to `target`."""
        return self._wires[origin, target]

    def change(self, weather: Weather) -> None:
        """From now on the weather is this."""
        self.weather = weather
        low, high = weather.delay
        self._low, self._width = low, high + 1 - low
        self._rough = bool(weather.loss or weather.duplicate or weather.reorder or weather.breaks)

    def send(self, message: Message, wire: Wire, arrive: Act) -> list[tuple[Micros, int]]:
        """Put a message on its way: when each copy arrives, and its flight's number. No copy: it is lost at once."""
        if wire.cuts:
            return []
        timeline, random = self._timeline, self._chance
        due = timeline.now + self._low + int(random() * self._width) + wire.extra
        if self._rough:
            return self._send_rough(message, wire, arrive, due)
        if isinstance(message, AppendRequest):
            due = wire.due_bulk = max(due, wire.due_bulk)
        else:
            due = wire.due_urgent = max(due, wire.due_urgent)
        return [(due, timeline.at(due, arrive, message, wire, wire.epoch))]

    def _send_rough(self, message: Message, wire: Wire, arrive: Act, due: Micros) -> list[tuple[Micros, int]]:
        weather, random, timeline = self.weather, self._chance, self._timeline
        if random() < weather.breaks:
            wire.epoch += 1
            wire.due_bulk = wire.due_urgent = 0
            return []
        if random() < weather.loss:
            return []
        if random() < weather.reorder:
            due += int(random() * weather.delay[1] * 10)
        elif isinstance(message, AppendRequest):
            due = wire.due_bulk = max(due, wire.due_bulk)
        else:
            due = wire.due_urgent = max(due, wire.due_urgent)
        copies = [(due, timeline.at(due, arrive, message, wire, wire.epoch))]
        if random() < weather.duplicate:
            # Soon after the first, or long after: an early copy meets the state that the first one made, a late one
            # a state that has gone on to later terms, or a log that begins after what the message speaks of.
            longest = (weather.delay[1], weather.delay[1] * 10, LATE)[int(random() * 3)]
            due += int(random() * longest)
            copies.append((due, timeline.at(due, arrive, message, wire, wire.epoch)))
        return copies

    def delay(self, wire: Wire) -> Micros:
        """How long a client's word takes: its stream loses nothing, it only slows down."""
        lost = self._rough and self._chance() < self.weather.loss
        return (
            self._low
            + int(self._chance() * self._width)
            + wire.extra
            + (self.weather.retransmission if lost else 0)
        )

    def cut(self, links: Iterable[Link]) -> None:
        """One more cause to cut these. What would arrive over a link while it is cut is lost."""
        for link in links:
            self._wires[link].cuts += 1

    def mend(self, links: Iterable[Link]) -> None:
        """One cause less to cut these."""
        for link in links:
            self._wires[link].cuts -= 1

    def heal(self) -> None:
        """Every wire carries at its usual pace. Faults that still think they cut something must not mend it later."""
        for wire in self._wires.values():
            wire.cuts = 0
            wire.extra = 0
