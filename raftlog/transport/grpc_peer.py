"""The Transport port over gRPC: two streams to each peer, two from each, and the handshake before any frame."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Never, Self

import grpc

from raftlog.core.ids import ClusterId, NodeId
from raftlog.transport.events import OnEvent, Reporter, ignore
from raftlog.transport.grpc_receiver import Receiver
from raftlog.transport.grpc_sender import Sender
from raftlog.transport.handshake import NO_CLUSTER, Doorkeeper, Identity
from raftlog.transport.limits import Limits
from raftlog.transport.port import Inbox, Lane
from raftlog.transport.tls import TlsFiles


class _Peer:
    """The two senders to one peer, and their tasks."""

    def __init__(self, address: str, senders: dict[Lane, Sender], group: asyncio.TaskGroup) -> None:
        self.address = address
        self.senders = senders
        self.tasks = [
            group.create_task(sender.run(), name=f"{lane.value} lane to {address}")
            for lane, sender in senders.items()
        ]

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel; what is to be waited for."""
        for sender in self.senders.values():
            sender.outbox.close()
        for task in self.tasks:
            task.cancel()
        return self.tasks


class GrpcTransport:
    """See `Transport`. Entered with `async with` by whoever starts the server; in this order:

    1. `GrpcTransport(identity, ...)`, `server.add_generic_rpc_handlers((transport.handlers(),))`;
    2. `async with transport:` and `bind(inbox)`, then `server.start()`;
    3. `join(cluster)` if the identity had none, then `connect(peers)`, again whenever the membership changes;
    4. `close()` before `server.stop(grace)`, which would otherwise wait its whole grace for our streams.

    A defect (a task of ours that dies, an inbox that raises) cancels the task that entered it and comes out of the
    `async with` as an ExceptionGroup. What peers do never does.

    Per peer and lane at most `Limits.queue_bytes` wait here, one packet is being written, and gRPC buffers about 4 MB.
    Not promised: that the `sender` inside a frame is the `peer` it is delivered under; the node compares them.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        tls: TlsFiles | None = None,
        limits: Limits | None = None,
        routes: Mapping[str, str] | None = None,
        on_event: OnEvent = ignore,
    ) -> None:
        """`routes`: what to dial in place of a peer's address, where the two differ."""
        self._limits = limits or Limits()
        self._routes = dict(routes or {})
        self._tls = tls
        self._door = Doorkeeper(identity)
        self._reporter = Reporter(on_event)
        self._receiver = Receiver(self._door, self._limits, Reporter(on_event), self._fail)
        self._group = asyncio.TaskGroup()
        self._peers: dict[NodeId, _Peer] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def identity(self) -> Identity:
        """Whom this transport speaks for."""
        return self._door.identity

    @property
    def door(self) -> Doorkeeper:
        """Who decides which streams it takes; what else this node serves to peers asks it too."""
        return self._door

    def fail(self, error: BaseException) -> None:
        """Take the owner down with a defect of what shares the door."""
        self._fail(error)

    def handlers(self) -> grpc.GenericRpcHandler:
        """The service that peers dial; register it before the server starts."""
        return self._receiver.handlers()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        finally:
            await self._group.__aexit__(kind, error, trace)

    def join(self, cluster: ClusterId) -> None:
        """The node was initialised into `cluster`; until then nobody is admitted."""
        self._door.join(cluster)

    def bind(self, inbox: Inbox) -> None:
        """See `Transport.bind`."""
        assert self._receiver.inbox is None, "a transport delivers to one inbox"
        self._receiver.inbox = inbox

    def connect(self, peers: Mapping[NodeId, str]) -> None:
        """See `Transport.connect`. The node itself may be among `peers`; it is left out."""
        assert self._receiver.inbox is not None, "bind an inbox before the first connect"
        assert self.identity.cluster != NO_CLUSTER, "join a cluster before the first connect"
        assert not self._closed, "the transport is closed"
        wanted = {peer: peers[peer] for peer in sorted(peers) if peer != self.identity.node}
        self._door.allow(wanted)
        self._receiver.review()
        for peer, known in list(self._peers.items()):
            if wanted.get(peer) != known.address:
                self._drop(peer)
        for peer, address in wanted.items():
            if peer not in self._peers:
                self._peers[peer] = self._dial(peer, address)

    def send(self, peer: NodeId, lane: Lane, frame: bytes) -> bool:
        """See `Transport.send`."""
        known = self._peers.get(peer)
        return known is not None and known.senders[lane].send(frame)

    def queued_bytes(self) -> int:
        """What all queues together hold."""
        return sum(
            sender.outbox.queued_bytes for peer in self._peers.values() for sender in peer.senders.values()
        )

    def dropped(self, peer: NodeId, lane: Lane) -> int:
        """How many frames for a connected peer were dropped since it was connected."""
        return self._peers[peer].senders[lane].outbox.dropped

    async def close(self) -> None:
        """See `Transport.close`. Idempotent; also ends the streams of peers, so that the server can stop."""
        self._closed = True
        for peer in list(self._peers):
            self._drop(peer)
        await self._receiver.close()
        if self._stopping:
            await asyncio.wait(self._stopping)

    def _drop(self, peer: NodeId) -> None:
        for task in self._peers.pop(peer).stop():
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
        self._reporter.forget(peer)

    def _dial(self, peer: NodeId, address: str) -> _Peer:
        senders = {
            lane: Sender(
                peer=peer,
                address=self._routes.get(address, address),
                lane=lane,
                door=self._door,
                tls=self._tls,
                limits=self._limits,
                reporter=self._reporter,
            )
            for lane in Lane
        }
        return _Peer(address, senders, self._group)

    def _fail(self, error: BaseException) -> None:
        """Take the owner down with `error`: a task of the group dies of it."""

        async def die() -> Never:
            raise error

        self._group.create_task(die(), name="transport defect")
