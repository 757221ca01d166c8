"""The in-memory twin of the Transport port: the same handshake, lanes and bounds, over a simulated network."""

from collections.abc import Callable, Mapping
from contextvars import copy_context
from types import TracebackType
from typing import Self

from raftlog.core.ids import ClusterId, NodeId
from raftlog.testing.loop import MICROS
from raftlog.testing.network import SimNetwork, host_of
from raftlog.transport.backoff import Backoff
from raftlog.transport.events import OnEvent, Reporter, ignore
from raftlog.transport.handshake import (
    NO_CLUSTER,
    Doorkeeper,
    Hello,
    Identity,
    Refused,
    Welcome,
    accept_welcome,
)
from raftlog.transport.limits import FRAME_OVERHEAD, Limits
from raftlog.transport.port import Inbox, Lane


class SimTransport:
    """See `Transport`; listens at `address` from its making until it is closed or its host crashes.

    Differs from the real one where a network may: frames that were sent may also be repeated and overtake each other,
    as `Weather` says. What a lane's queue is charged with is what has not arrived yet.
    """

    def __init__(
        self,
        network: SimNetwork,
        identity: Identity,
        address: str,
        *,
        limits: Limits | None = None,
        on_event: OnEvent = ignore,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`on_failure` is told what the inbox raises; without it, the loop is."""
        self._on_failure = on_failure
        self.network = network
        self.address = address
        self.host = host_of(address)
        self.limits = limits or Limits()
        self.door = Doorkeeper(identity)
        self.reporter = Reporter(on_event)
        self._greeter = Reporter(on_event)
        self._inbox: Inbox | None = None
        self._senders: dict[NodeId, dict[Lane, _Sender]] = {}
        self._arrivals: dict[tuple[NodeId, Lane], _Arrival] = {}
        self._closed = False
        self._crashed = False
        self._context = copy_context()
        network.listen("peer", address, self)

    @property
    def identity(self) -> Identity:
        """Whom this transport speaks for."""
        return self.door.identity

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def join(self, cluster: ClusterId) -> None:
        """The node was initialised into `cluster`; until then nobody is admitted."""
        self.door.join(cluster)

    def bind(self, inbox: Inbox) -> None:
        """See `Transport.bind`."""
        assert self._inbox is None, "a transport delivers to one inbox"
        self._inbox = inbox

    def connect(self, peers: Mapping[NodeId, str]) -> None:
        """See `Transport.connect`. The node itself may be among `peers`; it is left out."""
        if self._crashed:
            return  # what is left of a dead process reaches nobody
        assert self._inbox is not None, "bind an inbox before the first connect"
        assert self.identity.cluster != NO_CLUSTER, "join a cluster before the first connect"
        assert not self._closed, "the transport is closed"
        wanted = {peer: peers[peer] for peer in sorted(peers) if peer != self.identity.node}
        self.door.allow(wanted)
        self._review()
        for peer, lanes in list(self._senders.items()):
            if wanted.get(peer) != lanes[Lane.URGENT].address:
                self._drop(peer)
        for peer, address in wanted.items():
            if peer not in self._senders:
                self._senders[peer] = {lane: _Sender(self, peer, address, lane) for lane in Lane}
                for sender in self._senders[peer].values():
                    sender.dial()

    def send(self, peer: NodeId, lane: Lane, frame: bytes) -> bool:
        """See `Transport.send`."""
        assert isinstance(frame, bytes), f"a frame is bytes, not {type(frame).__name__}"
        lanes = self._senders.get(peer)
        return lanes is not None and lanes[lane].send(frame)

    async def close(self) -> None:
        """See `Transport.close`. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for peer in list(self._senders):
            self._drop(peer)
        for arrival in list(self._arrivals.values()):
            arrival.end(f"node {self.identity.node:x} is closing")
        self._retire()

    def crash(self) -> None:
        """See `Resident.crash`: what was sent is still on its way, nothing else comes from here."""
        self._closed = self._crashed = True
        for lanes in self._senders.values():
            for sender in lanes.values():
                sender.die()
        for arrival in list(self._arrivals.values()):
            arrival.end(f"node {self.identity.node:x} is gone")
        self._senders.clear()
        self._retire()

    def knock(self, hello: Hello, sender: "_Sender", attempt: object) -> None:
        """A hello arrives here: answer it."""
        if self._closed:
            return sender.hear(self.host, attempt, "connection refused")
        verdict = self.door.admit(hello)
        if isinstance(verdict, Refused):
            self._greeter.tell(hello.sender, hello.lane, verdict.reason)
            return sender.hear(self.host, attempt, verdict.reason)
        before = self._arrivals.get((hello.sender, hello.lane))
        if before is not None:
            before.end(f"node {hello.sender:x} has opened a newer {hello.lane.value} stream")
        arrival = self._arrivals[hello.sender, hello.lane] = _Arrival(self, hello, sender)
        self.network.carry(self.host, sender.host, lambda: sender.welcome(attempt, hello, verdict, arrival))
        return None

    def take(self, arrival: "_Arrival", frame: bytes) -> None:
        """A frame arrives here."""
        if arrival.ended:
            return arrival.end("connection reset")
        if self.door.confirm(arrival.hello):
            self._review()
        assert self._inbox is not None, "frames arrived before `bind`"
        try:
            self._inbox.receive(arrival.hello.sender, arrival.hello.lane, frame)
        except BaseException as error:
            if self._on_failure is None:
                raise
            self._on_failure(error)
        return None

    def later(self, seconds: float, callback: Callable[..., None], *args: object) -> None:
        """Call back after some time of this host."""
        self.network.later(round(seconds * MICROS), callback, *args, context=self._context)

    def gone(self, arrival: "_Arrival") -> None:
        """An arrival has ended."""
        key = (arrival.hello.sender, arrival.hello.lane)
        if self._arrivals.get(key) is arrival:
            del self._arrivals[key]

    def _review(self) -> None:
        for arrival in list(self._arrivals.values()):
            refused = self.door.still(arrival.hello)
            if refused is not None:
                arrival.end(refused.reason)

    def _drop(self, peer: NodeId) -> None:
        for sender in self._senders.pop(peer).values():
            sender.stop()
        self.reporter.forget(peer)

    def _retire(self) -> None:
        self.network.silence("peer", self.address, self)
        self.network.leave(self.host, self)


class _Arrival:
    """The receiver's end of one stream."""

    def __init__(self, owner: SimTransport, hello: Hello, sender: "_Sender") -> None:
        self.owner = owner
        self.hello = hello
        self.ended = False
        self._sender = sender

    def end(self, reason: str) -> None:
        """Hang up; the sender hears of it."""
        self.vanish()
        network, here, sender = self.owner.network, self.owner.host, self._sender
        network.carry(here, sender.host, lambda: sender.hung_up(self, reason))
        # Should that word get lost, the sender's keepalive finds out.
        network.later(2 * network.weather.patience, sender.hung_up, self, reason)

    def vanish(self) -> None:
        """The sender has hung up."""
        self.ended = True
        self.owner.gone(self)


class _Stream:
    """The sender's end of one welcomed stream."""

    def __init__(self, sender: "_Sender", arrival: _Arrival) -> None:
        self.arrival = arrival
        self._sender = sender
        self._network = sender.owner.network
        self._target = arrival.owner.host
        self._room = sender.owner.limits.queue_bytes(sender.lane)
        self._way = self._network.direction(sender.host, self._target, lossy=True)
        self._network.watch(self)

    @property
    def ends(self) -> tuple[str, str]:
        """See `Connection.ends`."""
        return (self._sender.host, self._target)

    def snap(self, reason: str) -> None:
        """See `Connection.snap`."""
        self.arrival.vanish()
        self._sender.hung_up(self.arrival, reason)

    def send(self, frame: bytes) -> bool:
        """Send a frame off; False when there is no room."""
        charge = len(frame) + FRAME_OVERHEAD
        if self._way.bytes + charge > self._room:
            return False
        network, weather = self._network, self._network.weather
        arrive, lost = self._fates(frame)
        if network.chance(weather.breaks):
            lost()
            network.later(0, self.snap, "the stream broke")
        elif network.chance(weather.loss):
            lost()
        else:
            if network.chance(weather.reorder):
                self._astray(arrive)
            else:
                self._way.put(charge, arrive, lost=lost)
            if network.chance(weather.duplicate):
                self._astray(arrive)
        return True

    def _fates(self, frame: bytes) -> tuple[Callable[[], None], Callable[[], None]]:
        """What to call when the frame arrives, and when it is lost."""
        observer, arrival = self._network.observer, self.arrival
        if observer is None:
            return lambda: arrival.owner.take(arrival, frame), _nobody_cares
        seen = observer
        origin, target = self.ends
        lane = self._sender.lane.value
        flight = seen.sent(origin, target, lane, frame)

        def arrive() -> None:
            if not arrival.ended:
                seen.arrived(flight, origin, target, lane, frame)
            arrival.owner.take(arrival, frame)

        return arrive, lambda: seen.lost(flight, origin, target)

    def _astray(self, arrive: Callable[[], None]) -> None:
        """Send a frame, or its copy, out of order."""
        network, (origin, target) = self._network, self.ends
        late = network.random.randint(0, 10 * network.weather.delay[1])
        network.later(late, network.land, origin, target, arrive)

    def end(self) -> None:
        """The sender is done with it; frames on their way are dropped."""
        self._way.end()
        self._network.unwatch(self)

    def abandon(self) -> None:
        """The sender crashed: frames on their way still arrive."""
        self._way.abandon()
        self._network.unwatch(self)


class _Sender:
    """One lane to one peer: dials, and dials again whenever the stream breaks.

    Invariants: at most one attempt counts, and none while a stream is open; the answers to earlier ones are hung up on,
    whenever they come.
    """

    def __init__(self, owner: SimTransport, peer: NodeId, address: str, lane: Lane) -> None:
        self.owner = owner
        self.address = address
        self.lane = lane
        self.host = owner.host
        self._peer = peer
        self._backoff = Backoff()
        self._attempt: object = None
        self._stream: _Stream | None = None
        self._stopped = False

    def dial(self) -> None:
        """Open a stream to whoever listens at the address when the hello arrives."""
        if self._stopped:
            return
        network, there = self.owner.network, host_of(self.address)
        attempt = self._attempt = object()
        hello = self.owner.door.hello(self._peer, self.lane)

        def arrive() -> None:
            listener = network.listener("peer", self.address)
            if isinstance(listener, SimTransport):
                listener.knock(hello, self, attempt)
            else:
                self.hear(there, attempt, "connection refused")

        patience = self.owner.limits.handshake_timeout
        self.owner.later(patience, self._fail, attempt, f"no answer in {patience} s")
        network.carry(self.host, there, arrive)

    def hear(self, there: str, attempt: object, reason: str) -> None:
        """The other side says no; the words travel back."""
        self.owner.network.carry(there, self.host, lambda: self._fail(attempt, reason))

    def welcome(self, attempt: object, hello: Hello, welcome: Welcome, arrival: _Arrival) -> None:
        """The other side's welcome arrives here."""
        if self._stopped or attempt is not self._attempt or arrival.ended:
            return arrival.vanish()
        refused = accept_welcome(hello, welcome)
        if refused is not None:
            arrival.vanish()
            return self._fail(attempt, refused.reason)
        assert self._stream is None, f"a second stream to node {self._peer:x} while one is open"
        self._attempt = None
        self._stream = _Stream(self, arrival)
        self._backoff.reset()
        self._tell(f"connected to node {self._peer:x} at {self.address}")
        return None

    def send(self, frame: bytes) -> bool:
        """Send a frame; False when it was dropped: no stream, no room, or too large for any message."""
        return (
            self._stream is not None
            and len(frame) <= self.owner.limits.frame_bytes
            and self._stream.send(frame)
        )

    def hung_up(self, arrival: _Arrival, reason: str) -> None:
        """The other side ended the stream that `arrival` is the other end of."""
        if self._stream is not None and self._stream.arrival is arrival:
            self._stream.end()
            self._stream = None
            self._tell(f"node {self._peer:x} at {self.address} hung up: {reason}")
            self._again()

    def stop(self) -> None:
        """The peer is no longer wanted."""
        self._stopped = True
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.end()
            self.owner.network.carry(self.host, host_of(self.address), stream.arrival.vanish)

    def die(self) -> None:
        """The process is gone."""
        self._stopped = True
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abandon()

    def _fail(self, attempt: object, reason: str) -> None:
        if attempt is self._attempt and not self._stopped:
            self._attempt = None
            self._tell(f"no stream to node {self._peer:x} at {self.address}: {reason}")
            self._again()

    def _again(self) -> None:
        self.owner.later(self._backoff.next(), self.dial)

    def _tell(self, text: str) -> None:
        self.owner.reporter.tell(self._peer, self.lane, text, address=self.address)


def _nobody_cares() -> None:
    """Nobody follows the frames."""
