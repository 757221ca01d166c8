"""The Bulk port over gRPC: one short call per piece, on a connection of its own to each peer."""

import asyncio
from collections.abc import Callable, Mapping

import grpc
import grpc.aio

from raftlog.core.ids import NodeId
from raftlog.transport.bulk import MAX_PIECE, NotThere, Source, Throttle, Unreachable, Wanted
from raftlog.transport.codec import decode_fetch, decode_fetched, encode_fetch, encode_fetched
from raftlog.transport.frames import BadFrame
from raftlog.transport.grpc_errors import GRPC_FAILURES, keep_cancellation, why
from raftlog.transport.grpc_options import open_channel
from raftlog.transport.handshake import Doorkeeper, Refused
from raftlog.transport.limits import Limits
from raftlog.transport.port import Lane
from raftlog.transport.tls import TlsFiles

FETCH = "/raftlog.pb.Peer/Fetch"

Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcBulk:
    """See `Bulk`. Shares its door with the transport of the same node, so that both refuse alike.

    At most `Limits.bulk_answers` questions are answered at a time, and at most `Limits.bulk_rate` bytes a second.
    """

    def __init__(
        self,
        door: Doorkeeper,
        *,
        tls: TlsFiles | None = None,
        limits: Limits | None = None,
        routes: Mapping[str, str] | None = None,
        fail: Callable[[BaseException], None],
    ) -> None:
        """`fail` takes the error of a defect of ours; the owner goes down with it. `routes` as for the transport."""
        self._routes = dict(routes or {})
        self._door = door
        self._tls = tls
        self._limits = limits or Limits()
        self._fail = fail
        self._throttle = Throttle(self._limits.bulk_rate)
        self._turns = asyncio.Semaphore(self._limits.bulk_answers)
        self._source: Source | None = None
        self._addresses: dict[NodeId, str] = {}
        self._channels: dict[NodeId, grpc.aio.Channel] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    def handlers(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        fetch: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._answer)
        return grpc.method_handlers_generic_handler("raftlog.pb.Peer", {"Fetch": fetch})

    def serve(self, source: Source) -> None:
        """See `Bulk.serve`."""
        assert self._source is None, "pieces are given from one source"
        self._source = source

    def connect(self, peers: Mapping[NodeId, str]) -> None:
        """See `Bulk.connect`. Channels connect when they are first used."""
        for peer, address in list(self._addresses.items()):
            if peers.get(peer) != address and (channel := self._channels.pop(peer, None)) is not None:
                self._leave(channel)
        self._addresses = dict(peers)

    async def fetch(self, peer: NodeId, wanted: Wanted) -> bytes:
        """See `Bulk.fetch`."""
        address = self._addresses.get(peer)
        if self._closed or address is None:
            raise Unreachable(f"node {peer:x} is no peer of this node")
        if (channel := self._channels.get(peer)) is None:
            channel = self._channels[peer] = open_channel(
                self._routes.get(address, address), self._tls, self._limits
            )
        question = encode_fetch(self._door.hello(peer, Lane.BULK), wanted)
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(FETCH)
        call = ask(question, timeout=self._limits.stall_timeout)
        try:
            answer = await call
            keep_cancellation()
            return decode_fetched(answer)
        except BadFrame as bad:
            raise Unreachable(f"who answers at {address} is no node of this protocol: {bad}") from None
        except GRPC_FAILURES as error:
            if isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotThere(f"node {peer:x} does not have it") from None
            raise Unreachable(f"node {peer:x} at {address}: {await why(error, call)}") from None

    async def close(self) -> None:
        """See `Bulk.close`. Idempotent."""
        self._closed = True
        for channel in self._channels.values():
            self._leave(channel)
        self._channels.clear()
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _leave(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.get_running_loop().create_task(channel.close(), name="bulk: closing a connection")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _answer(self, question: bytes, context: Context) -> bytes:
        try:
            hello, wanted = decode_fetch(question)
        except BadFrame as bad:
            return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(bad))
        verdict = self._door.admit(hello)
        if isinstance(verdict, Refused):
            return await context.abort(grpc.StatusCode.FAILED_PRECONDITION, verdict.reason)
        content = await self.give(wanted)
        if content is None:
            return await context.abort(grpc.StatusCode.NOT_FOUND, "it is not here, or no longer")
        return encode_fetched(content)

    async def give(self, wanted: Wanted) -> bytes | None:
        """What is wanted of this node's own, within its limits; None when it is not here."""
        if self._source is None or self._closed:
            return None
        async with self._turns:
            try:
                content = await self._source.give(wanted)
            except Exception as error:  # noqa: BLE001 - a defect of ours, which must not end as a line in gRPC's log
                self._fail(error)
                return None
            await self._throttle.take(len(content) if content is not None else MAX_PIECE // 16)
            return content
