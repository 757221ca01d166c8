"""The in-memory twin of the Bulk port: pieces of snapshots over a simulated network."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import copy_context

from raftlog.core.ids import NodeId
from raftlog.testing.network import SimNetwork, host_of
from raftlog.transport.bulk import NotThere, Source, Throttle, Unreachable, Wanted
from raftlog.transport.handshake import Doorkeeper, Hello, Refused
from raftlog.transport.limits import Limits
from raftlog.transport.port import Lane

_BYTES_PER_MICRO = 100
"""What a simulated connection carries: 100 MB a second."""


class SimBulk:
    """See `Bulk`; answers at `address` until it is closed or its host crashes.

    What is lost on a way that is cut shows as no answer in time, as over a connection that is dead and does not know.
    Questions and answers run over a stream: in bad weather they come later, or their connection breaks.
    """

    def __init__(
        self, network: SimNetwork, door: Doorkeeper, address: str, *, limits: Limits | None = None
    ) -> None:
        """`door` is that of the node's transport."""
        self.network = network
        self.address = address
        self.host = host_of(address)
        self._door = door
        self._limits = limits or Limits()
        self._throttle = Throttle(self._limits.bulk_rate)
        self._source: Source | None = None
        self._addresses: dict[NodeId, str] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False
        self._context = copy_context()
        network.listen("bulk", address, self)

    def serve(self, source: Source) -> None:
        """See `Bulk.serve`."""
        assert self._source is None, "pieces are given from one source"
        self._source = source

    def connect(self, peers: Mapping[NodeId, str]) -> None:
        """See `Bulk.connect`."""
        self._addresses = {peer: peers[peer] for peer in sorted(peers)}

    async def fetch(self, peer: NodeId, wanted: Wanted) -> bytes:
        """See `Bulk.fetch`."""
        address = self._addresses.get(peer)
        if self._closed or address is None:
            raise Unreachable(f"node {peer:x} is no peer of this node")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        hello = self._door.hello(peer, Lane.BULK)
        if self.network.chance(self.network.weather.breaks):
            raise Unreachable(f"the connection to node {peer:x} broke")
        self._carry(self.host, host_of(address), lambda: self._knock(address, hello, wanted, answer))
        try:
            async with asyncio.timeout(self._limits.stall_timeout):
                return await answer
        except TimeoutError:
            raise Unreachable(f"node {peer:x} at {address} gave no answer") from None

    def _knock(self, address: str, hello: Hello, wanted: Wanted, answer: asyncio.Future[bytes]) -> None:
        there = self.network.listener("bulk", address)
        if isinstance(there, SimBulk):
            there.asked(self.host, hello, wanted, answer)
        else:
            self._refuse(host_of(address), answer, Unreachable(f"{address}: connection refused"))

    def asked(self, asker: str, hello: Hello, wanted: Wanted, answer: asyncio.Future[bytes]) -> None:
        """A question arrives here."""
        verdict = self._door.admit(hello)
        if isinstance(verdict, Refused):
            self._reply(asker, answer, Unreachable(verdict.reason))
            return
        task = self._context.run(
            asyncio.get_running_loop().create_task,
            self._answer(asker, wanted, answer),
            name="bulk: an answer",
        )
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, asker: str, wanted: Wanted, answer: asyncio.Future[bytes]) -> None:
        content = None if self._source is None else await self._source.give(wanted)
        await self._throttle.take(len(content or b""))
        self._reply(
            asker, answer, NotThere(f"{self.address} does not have it") if content is None else content
        )

    def _reply(self, asker: str, answer: asyncio.Future[bytes], word: bytes | Exception) -> None:
        size = len(word) if isinstance(word, bytes) else 0
        self.network.later(
            size // _BYTES_PER_MICRO, self._carry, self.host, asker, lambda: _settle(answer, word)
        )

    def _carry(self, origin: str, target: str, arrive: Callable[[], None]) -> None:
        """What is lost on the way is sent again by the stream, and comes later."""
        network = self.network
        late = network.weather.retransmission if network.chance(network.weather.loss) else 0
        network.later(late, network.carry, origin, target, arrive)

    def _refuse(self, there: str, answer: asyncio.Future[bytes], word: Exception) -> None:
        self.network.carry(there, self.host, lambda: _settle(answer, word))

    async def close(self) -> None:
        """See `Bulk.close`. Idempotent."""
        if not self._closed:
            self._retire()
            self.network.leave(self.host, self)
            answering = list(self._answering)
            for task in answering:
                task.cancel()
            if answering:
                await asyncio.wait(answering)

    def crash(self) -> None:
        """See `Resident.crash`."""
        self._retire()
        for task in self._answering:
            task.cancel()

    def _retire(self) -> None:
        self._closed = True
        self.network.silence("bulk", self.address, self)


def _settle(answer: asyncio.Future[bytes], word: bytes | Exception) -> None:
    if answer.done():
        return
    if isinstance(word, bytes):
        answer.set_result(word)
    else:
        answer.set_exception(word)
