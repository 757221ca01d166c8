"""Messages take the time, get lost, come again and keep their order as the weather says."""

from random import Random
from typing import Any

from jepsen_like.sim.core.timeline import Timeline
from jepsen_like.sim.core.wires import LATE, Wires
from raftlog.core.ids import NOTHING, GroupId, NodeId
from raftlog.core.message import AppendRequest, HeartbeatAck, Message
from raftlog.testing.network import Weather

HEAD: dict[str, Any] = {"group": GroupId(7), "sender": NodeId(1), "to": NodeId(2), "term": 1}


def ack(number: int) -> Message:
    return HeartbeatAck(**HEAD, round=number, applied=0, digest=0)


def append(number: int) -> Message:
    return AppendRequest(**HEAD, prev=NOTHING, entries=(), commit=number)


class Way:
    """From n1 to n2, and what has come out at its end."""

    def __init__(self, **weather: Any) -> None:
        self.timeline = Timeline()
        self.wires = Wires(self.timeline, Random("way"), Weather(**weather), ("n1", "n2"))
        self.wire = self.wires.wire("n1", "n2")
        self.landed: list[Message] = []

    def send(self, message: Message) -> int:
        return len(self.wires.send(message, self.wire, self._arrive))

    def _arrive(self, message: Message, wire: Any, epoch: int) -> None:
        if not wire.cuts and wire.epoch == epoch:
            self.landed.append(message)


def test_a_stream_keeps_its_order_and_its_delay() -> None:
    way = Way(delay=(100, 1_000))
    acks = [ack(number) for number in range(200)]
    for message in acks:
        assert way.send(message) == 1
    way.timeline.run_until(99)
    assert way.landed == []
    way.timeline.run_until(1_000)
    assert way.landed == acks


def test_what_keeps_leaders_in_office_does_not_wait_behind_appends() -> None:
    way = Way(delay=(100, 1_000))
    overtaken = 0
    for number in range(100):
        way.landed.clear()
        way.send(append(number))
        way.send(ack(number))
        way.timeline.run_until(way.timeline.now + 1_000)
        overtaken += isinstance(way.landed[0], HeartbeatAck)
    assert 20 < overtaken < 80


def test_rough_weather_loses_doubles_and_reorders() -> None:
    way = Way(delay=(100, 1_000), loss=0.2, duplicate=0.2, reorder=0.2)
    copies = [way.send(ack(number)) for number in range(2_000)]
    way.timeline.run_until(LATE + 100_000)
    assert 300 < copies.count(0) < 500
    assert 220 < copies.count(2) < 420
    assert len(way.landed) == sum(copies)
    rounds = [message.round for message in way.landed if isinstance(message, HeartbeatAck)]
    assert rounds != sorted(rounds)


def test_a_break_takes_what_is_under_way_with_it() -> None:
    way = Way(delay=(100, 100))
    way.send(ack(1))
    way.wires.change(Weather(delay=(100, 100), breaks=1.0))
    assert way.send(ack(2)) == 0
    way.wires.change(Weather(delay=(100, 100)))
    way.send(ack(3))
    way.timeline.run_until(1_000)
    assert way.landed == [ack(3)]


def test_cuts_add_up() -> None:
    way = Way(delay=(100, 100))
    for _ in range(2):
        way.wires.cut([("n1", "n2")])
    way.wires.mend([("n1", "n2")])
    assert way.send(ack(1)) == 0
    way.wires.mend([("n1", "n2")])
    assert way.send(ack(2)) == 1
    way.wires.cut([("n1", "n2")])
    way.timeline.run_until(1_000)
    assert way.landed == []


def test_a_slow_link_takes_longer() -> None:
    way = Way(delay=(100, 100))
    way.wire.extra = 5_000
    way.send(ack(1))
    way.timeline.run_until(5_099)
    assert way.landed == []
    way.timeline.run_until(5_100)
    assert way.landed == [ack(1)]
