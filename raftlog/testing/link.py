"""The in-memory twin of the ClientLink port: streams between clients and nodes over a simulated network."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from types import TracebackType
from typing import Self, TypeAlias

from raftlog.testing.network import Direction, SimNetwork, host_of
from raftlog.transport.client_frames import BadFrame
from raftlog.transport.limits import FRAME_OVERHEAD
from raftlog.transport.link import Link, LinkBroken

OnLink: TypeAlias = Callable[[Link, str], Awaitable[None]]
"""Serves one link; the second argument says who called. When it returns, the link is closed in good order."""

WINDOW = 1 << 20
"""Bytes on their way in one direction, or there and not yet received; more waits in `send`."""


class SimLink:
    """One end of a link. Frames neither get lost nor change places: a bad way delays them, a lasting cut breaks it.

    A client's goodbye closes its own direction: answers still come. The node's goodbye ends the link, as gRPC's status
    does. A client's call that is cancelled breaks its link, as gRPC's does.

    Invariants: once broken, broken for good; after the other end's goodbye `receive` gives only None.
    """

    def __init__(self, network: SimNetwork, here: str, there: str, *, at_node: bool) -> None:
        self._network = network
        self._at_node = at_node
        self.ends = (here, there)
        self._out: Direction = network.direction(here, there, lossy=False)
        self._frames: deque[bytes] = deque()
        self._unread = 0
        self._stirred = asyncio.Event()
        self._room = asyncio.Event()
        self._other: SimLink | None = None
        self._broken: str | None = None
        self._said_goodbye = False
        self._heard_goodbye = False

    @staticmethod
    def pair(network: SimNetwork, client: str, node: str) -> tuple["SimLink", "SimLink"]:
        """The client's and the node's end of a new link."""
        near = SimLink(network, client, node, at_node=False)
        far = SimLink(network, node, client, at_node=True)
        near._other, far._other = far, near
        network.watch(near)
        return near, far

    async def send(self, frame: bytes) -> None:
        """See `Link.send`."""
        assert isinstance(frame, bytes), f"a frame is bytes, not {type(frame).__name__}"
        charge = len(frame) + FRAME_OVERHEAD
        while self._pending() and self._pending() + charge > WINDOW and not (self._broken or self.over):
            self._room.clear()
            await self._wait(self._room)
        self._check()
        if self._said_goodbye or self.over:
            raise LinkBroken("the link was closed")
        self._put(charge, frame, lambda other: other._take(frame))

    async def receive(self) -> bytes | None:
        """See `Link.receive`."""
        while not self._frames:
            if self._heard_goodbye or self.over:
                return None
            self._check()
            self._stirred.clear()
            await self._wait(self._stirred)
        frame = self._frames.popleft()
        self._unread -= len(frame)
        if self._other is not None:
            self._other._room.set()
        return frame

    async def close(self) -> None:
        """See `Link.close`."""
        self.say_goodbye()

    def say_goodbye(self) -> None:
        """Close this direction in good order. Idempotent."""
        if self._said_goodbye or self._broken is not None:
            return
        self._said_goodbye = True
        self._put(0, b"", SimLink._hear_goodbye)
        self._settle()

    def snap(self, reason: str) -> None:
        """See `Connection.snap`."""
        assert self._other is not None, "a link has two ends"
        self._fall(reason)
        self._other._fall(reason)

    def reset(self, reason: str) -> None:
        """This end's process is gone: the other end learns it when the word gets there, or from its own keepalive."""
        other, (here, there) = self._other, self.ends
        assert other is not None, "a link has two ends"
        self._fall(reason)
        self._network.carry(here, there, lambda: other._fall(reason))
        self._network.later(2 * self._network.weather.patience, other._fall, reason)

    def drain(self) -> None:
        """Have `receive` end in good order although the other end goes on; what it sends after this is not read."""
        self._heard_goodbye = True
        self._stirred.set()

    def _put(self, charge: int, frame: bytes, arrive: Callable[["SimLink"], None]) -> None:
        network, weather, other = self._network, self._network.weather, self._other
        assert other is not None, "a link has two ends"
        if network.chance(weather.breaks):
            return network.later(0, self.snap, "the connection broke")

        observer, (here, there) = network.observer, self.ends
        flight = observer.sent(here, there, "client", frame) if observer is not None else 0

        def land() -> None:
            self._room.set()
            if other._broken is None:
                if observer is not None:
                    observer.arrived(flight, here, there, "client", frame)
                arrive(other)
                other._stirred.set()

        self._out.put(charge, land, extra=weather.retransmission if network.chance(weather.loss) else 0)
        return None

    def _take(self, frame: bytes) -> None:
        if not self._heard_goodbye:
            self._frames.append(frame)
            self._unread += len(frame)

    def _pending(self) -> int:
        return self._out.bytes + (self._other._unread if self._other is not None else 0)

    def _hear_goodbye(self) -> None:
        self._heard_goodbye = True
        self._settle()

    def _settle(self) -> None:
        """Let go of the network when nothing is left to do."""
        if self.over or self._broken is not None:
            self._out.abandon()
            self._network.unwatch(self)
            self._room.set()

    @property
    def over(self) -> bool:
        """Whether the link ended in good order."""
        ended_by_node = self._said_goodbye if self._at_node else self._heard_goodbye
        return self._broken is None and ended_by_node

    async def _wait(self, event: asyncio.Event) -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            if not self._at_node:
                self.reset("a call on it was cancelled")
            raise

    def _fall(self, reason: str) -> None:
        if self._broken is None and not self.over:
            self._broken = reason
            self._settle()
            self._stirred.set()

    def _check(self) -> None:
        if self._broken is not None:
            raise LinkBroken(self._broken)


class SimDialer:
    """See `Dialer`; lives on `host` and dies with it."""

    def __init__(self, network: SimNetwork, host: str, *, timeout: float = 2.0) -> None:
        self._network = network
        self._host = host
        self._timeout = timeout
        self._links: list[SimLink] = []
        network.settle(host, self)

    async def dial(self, address: str) -> Link:
        """See `Dialer.dial`."""
        network, there = self._network, host_of(address)
        answer: asyncio.Future[SimLink | str] = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            listener = network.listener("client", address)
            if isinstance(listener, SimLinkServer):
                near, far = SimLink.pair(network, self._host, there)
                listener.accept(far, self._host)
                network.carry(there, self._host, lambda: _answer(answer, near))
            else:
                network.carry(there, self._host, lambda: _answer(answer, "connection refused"))

        network.carry(self._host, there, arrive)
        try:
            async with asyncio.timeout(self._timeout):
                found = await answer
        except TimeoutError:
            raise LinkBroken(f"{address} did not answer in {self._timeout} s") from None
        if isinstance(found, str):
            raise LinkBroken(f"no link to {address}: {found}")
        self._links = [link for link in self._links if not link.over]
        self._links.append(found)
        return found

    async def close(self) -> None:
        """See `Dialer.close`."""
        for link in self._links:
            link.say_goodbye()
        self._network.leave(self._host, self)

    def crash(self) -> None:
        """See `Resident.crash`."""
        for link in self._links:
            link.reset(f"{self._host} is gone")


def _answer(future: asyncio.Future["SimLink | str"], found: SimLink | str) -> None:
    if not future.done():
        future.set_result(found)
    elif isinstance(found, SimLink):
        found.reset("the caller had stopped waiting")


class SimLinkServer:
    """Accepts links at `address` and serves each with `on_link`, in tasks of its own; enter it with `async with`.

    An `on_link` that raises LinkBroken or BadFrame ends its link; anything else takes the owner down, as a defect
    should.
    """

    def __init__(self, network: SimNetwork, address: str, on_link: OnLink) -> None:
        self._network = network
        self._address = address
        self._on_link = on_link
        self._group = asyncio.TaskGroup()
        self._context = copy_context()
        self._links: dict[SimLink, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._network.listen("client", self._address, self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_listening()
        for link in list(self._links):
            link.drain()
        await self._group.__aexit__(kind, error, trace)

    async def close(self, grace: float) -> None:
        """Take no new links, let the open ones finish what they received, and after `grace` seconds break them."""
        self._stop_listening()
        for link in list(self._links):
            link.drain()
        tasks = list(self._links.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for link in list(self._links):
            link.reset(f"{host_of(self._address)} has closed")

    def accept(self, link: SimLink, peer: str) -> None:
        """A caller arrives here."""
        # A task of this host, not of whoever's frame arrives here.
        self._links[link] = self._group.create_task(
            self._serve(link, peer), name=f"link of {peer}", context=self._context.copy()
        )

    def crash(self) -> None:
        """See `Resident.crash`."""
        self._stop_listening()
        for link in list(self._links):
            link.reset(f"{host_of(self._address)} is gone")

    def _stop_listening(self) -> None:
        self._network.silence("client", self._address, self)
        self._network.leave(host_of(self._address), self)

    async def _serve(self, link: SimLink, peer: str) -> None:
        try:
            await self._on_link(link, peer)
            link.say_goodbye()
        except (LinkBroken, BadFrame) as ended:
            link.reset(str(ended))
        except asyncio.CancelledError:
            link.reset("the node stopped serving")
            raise
        finally:
            del self._links[link]
