"""A client's one link at a time: whom it goes to, when it is given up, and the move to a better node."""

import asyncio
from typing import Protocol

from raftlog.client.addresses import Addresses
from raftlog.client.limits import Limits
from raftlog.transport.client_frames import BadFrame
from raftlog.transport.link import Dialer, Link, LinkBroken


class Talker(Protocol):
    """Who has something to say on the link."""

    def needed(self) -> bool:
        """Whether a link is worth having now."""
        ...

    def frame(self, *, ping: bool) -> bytes | None:
        """The next frame; with `ping` there is always one, else None means: wait for `Connection.wake`."""
        ...

    def answers(self, frame: bytes) -> None:
        """Take one frame from the node.

        Raises:
            BadFrame: it is none.
        """
        ...

    @property
    def unanswered(self) -> bool:
        """Whether answers are still due on this link."""
        ...

    def may_leave(self) -> bool:
        """Whether giving the link up now would harm none of the calls on it."""
        ...

    def lost(self) -> None:
        """The link is gone, and every answer that was due on it."""
        ...


class Connection:
    """Dials, sends and receives for its talker.

    Invariants: one link at a time; `lost` is said once after each link, before the next; a link is given up when it
    breaks, when the node stays silent for `patience` although asked for a sign of life, when it only refuses,
    or when it names the leader and what is on the link has been answered or can be asked again.
    """

    def __init__(self, talker: Talker, addresses: Addresses, dialer: Dialer, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._talker = talker
        self._addresses = addresses
        self._dialer = dialer
        self._limits = limits
        self._work = asyncio.Event()
        self.wake = self._work.set
        """There may be something to send: called once per call, so it is the event's own method."""
        self._avoided: dict[str, float] = {}
        """Addresses that could not be reached, and until when no answering node is left for them."""
        self.address = ""
        """Of the present link, or the last."""
        self.up = False
        self.leaving = False
        """A better node is known: only answers are waited for."""
        self.trouble = "no node has been reached yet"
        """Why there is no link, for people."""
        self._over: str | None = None
        """Why the present link is to be given up."""
        self._refused_since: float | None = None
        """When the present node began to answer with nothing but refusals."""
        self._heard = 0.0
        self._ping = False
        self._deadman: asyncio.Timeout | None = None

    # What the talker says.

    def asked(self) -> None:
        """The first call is on the link; until now nobody had reason to answer."""
        self._heard = self._loop.time()

    def worked(self) -> None:
        """The node did what it was asked for."""
        self._refused_since = None
        self._addresses.worked()

    def refused(self) -> None:
        """The node answered, but could not do it."""
        if self._refused_since is None:
            self._refused_since = self._loop.time()

    def reachable(self, address: str) -> bool:
        """Whether to leave a node that answers for this one: not while the last dial to it has failed."""
        return self._avoided.get(address, 0.0) <= self._loop.time()

    def leave_for(self, leader: str) -> None:
        """Move to this node as soon as what is on the link has been answered."""
        if not self.leaving:
            self.leaving = True
            self._addresses.name(leader)
            self._work.set()
            self._loop.call_later(self._limits.drain, self._cut_drain, self._deadman)

    def _cut_drain(self, link: asyncio.Timeout | None) -> None:
        if not self.leaving or link is not self._deadman:
            return
        if self._talker.may_leave():
            self._hang_up(f"{self.address} named another leader and left calls unanswered")
        else:  # moving is not worth making a call unknown that is under way
            self.leaving = False
            self._work.set()

    # The link.

    async def run(self) -> None:
        """Dial, talk, dial again; for ever, as long as there is something to do."""
        while True:
            while not self._talker.needed():
                self._work.clear()
                await self._work.wait()
            address, pause = self._addresses.next()
            if pause:
                await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(self._limits.dial_patience):
                    link = await self._dialer.dial(address)
            except (LinkBroken, TimeoutError) as error:
                self._addresses.failed()
                self._avoided[address] = self._loop.time() + self._limits.avoid
                said = str(error) or f"no answer within {self._limits.dial_patience:g} s"
                self.trouble = f"{address} cannot be reached ({said})"
            else:
                await self._converse(address, link)

    async def _converse(self, address: str, link: Link) -> None:
        self.address = address
        self.up = True
        self._over = self._refused_since = None
        self.leaving = self._ping = False
        self._heard = self._loop.time()
        try:
            async with asyncio.timeout(None) as self._deadman, asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._receive(link), name=f"read {address}")
                watch = tasks.create_task(self._watch(), name=f"watch {address}")
                await self._send(link)
                reader.cancel()
                watch.cancel()
        except TimeoutError:
            pass  # `_hang_up` has said why
        finally:
            self.up = False
            self._deadman = None
            left = f"the link to {address} was given up: {self._over}"
            self.trouble = f"{address} named another node to ask" if self.leaving else left
            self._talker.lost()
            await link.close()
        if not self.leaving:
            self._addresses.failed()

    def _hang_up(self, why: str) -> None:
        """Give the link up even if it is stuck in the middle of sending."""
        self._end(why)
        if self._deadman is not None and not self._deadman.expired():
            self._deadman.reschedule(self._loop.time())

    def _end(self, why: str) -> None:
        if self._over is None:
            self._over = why
        self._work.set()

    async def _watch(self) -> None:
        """Tells a slow node, which answers a ping, from one that is gone without a word."""
        limits = self._limits
        while True:
            await asyncio.sleep(limits.ping_after / 2)
            silent = self._loop.time() - self._heard if self._talker.unanswered else 0.0
            if silent >= limits.patience:
                self._hang_up(f"nothing was heard from it for {silent:.1f} s")
                return
            if silent >= limits.ping_after:
                self._ping = True
                self._work.set()

    async def _send(self, link: Link) -> None:
        while self._over is None:
            if not self._talker.unanswered:
                if self.leaving:
                    return
                if self._fruitless():
                    self._end("it did nothing but refuse")
                    return
            frame = None if self.leaving else self._talker.frame(ping=self._ping)
            if frame is None:
                self._work.clear()
                await self._work.wait()
                continue
            self._ping = False
            try:
                await link.send(frame)
            except LinkBroken as error:
                self._end(str(error))

    def _fruitless(self) -> bool:
        """This node has nothing to say but that it cannot: another one may be on the right side of a partition."""
        since = self._refused_since
        return since is not None and self._loop.time() - since > self._limits.fruitless

    async def _receive(self, link: Link) -> None:
        try:
            while (frame := await link.receive()) is not None:
                self._heard = self._loop.time()
                self._talker.answers(frame)
                self._work.set()
            self._end(f"{self.address} ended the stream")
        except LinkBroken as error:
            self._end(str(error))
        except BadFrame as error:
            self._end(f"{self.address} sent what is no frame: {error}")
        finally:
            self._end("reading was cancelled")  # gRPC cancels readers of a channel that closes
