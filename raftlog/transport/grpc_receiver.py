"""The server's half of the streams between nodes: admits them, unpacks them, and ends them when they are outdated."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
import grpc.aio

from raftlog.core.ids import NodeId
from raftlog.transport.codec import decode_packet, encode_welcome
from raftlog.transport.events import Reporter
from raftlog.transport.frames import BadFrame
from raftlog.transport.grpc_errors import GRPC_ERRORS
from raftlog.transport.handshake import Doorkeeper, Hello, Refused
from raftlog.transport.limits import Limits
from raftlog.transport.port import Inbox, Lane

_CLOSE_PATIENCE = 1.0

Context = grpc.aio.ServicerContext[bytes, bytes]


class HangUp(Exception):
    """A stream must end with this status."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(slots=True, eq=False)
class Arrival:
    """One admitted stream."""

    hello: Hello
    task: asyncio.Task[object]
    ended: HangUp | None = None
    used: bool = False

    def end(self, code: grpc.StatusCode, reason: str) -> None:
        """Have the stream's own task end it; no frame is delivered from it after this."""
        if self.ended is None:
            self.ended = HangUp(code, reason)
            self.task.cancel()


@dataclass(slots=True, eq=False)
class Receiver:
    """Serves `Peer/Deliver`.

    Invariants: at most one arrival per peer and lane; none of a peer that the doorkeeper would not admit now.
    """

    door: Doorkeeper
    limits: Limits
    reporter: Reporter
    fail: Callable[[BaseException], None]
    """Takes the error of a defect of ours; the owner goes down with it."""
    inbox: Inbox | None = None
    _arrivals: dict[tuple[NodeId, Lane], Arrival] = field(default_factory=dict)
    _closing: bool = False
    _serving: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def handlers(self) -> grpc.GenericRpcHandler:
        """What the server registers. Bytes in and out: a bad packet is our business, not a traceback of gRPC's."""
        deliver: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._deliver)
        return grpc.method_handlers_generic_handler("raftlog.pb.Peer", {"Deliver": deliver})

    def review(self) -> None:
        """End the streams that would not be admitted any more: the set of peers, or of stale boots, has changed."""
        for arrival in list(self._arrivals.values()):
            refused = self.door.still(arrival.hello)
            if refused is not None:
                arrival.end(grpc.StatusCode.FAILED_PRECONDITION, refused.reason)

    async def close(self) -> None:
        """Refuse new streams, end the open ones, and wait until they are gone (a second at most)."""
        self._closing = True
        for arrival in list(self._arrivals.values()):
            arrival.end(*self._goodbye())
        if not self._serving:
            return
        self._idle.clear()
        try:
            async with asyncio.timeout(_CLOSE_PATIENCE):
                await self._idle.wait()
        except TimeoutError:
            pass  # the server's own stop cuts what is left

    async def _deliver(self, _: object, context: Context) -> None:
        self._serving += 1
        try:
            await self._end(context, await self._serve(context))
        finally:
            self._serving -= 1
            if not self._serving:
                self._idle.set()

    async def _end(self, context: Context, hang_up: HangUp | None) -> None:
        if hang_up is not None:
            await context.abort(hang_up.code, str(hang_up))

    async def _serve(self, context: Context) -> HangUp | None:
        """Read one stream to its end; what to tell the sender, or None when it is gone."""
        try:
            hello = await self._greet(context)
            return await self._arrive(hello, context) if hello is not None else None
        except HangUp as hang_up:
            return hang_up
        except BadFrame as bad:
            return HangUp(grpc.StatusCode.INVALID_ARGUMENT, str(bad))
        except GRPC_ERRORS:
            return None
        except Exception as error:  # noqa: BLE001 - a defect of ours, which must not end as a line in gRPC's log
            self.fail(error)
            return HangUp(grpc.StatusCode.INTERNAL, "the node failed; its log says why")

    async def _greet(self, context: Context) -> Hello | None:
        try:
            async with asyncio.timeout(self.limits.handshake_timeout):
                packet = await _read(context)
        except TimeoutError:
            raise HangUp(grpc.StatusCode.DEADLINE_EXCEEDED, "no hello came") from None
        if packet is None:
            return None
        hello = decode_packet(packet)
        if not isinstance(hello, Hello):
            raise BadFrame("frames before the hello: a stream opens with a packet that carries only a hello")
        return hello

    async def _arrive(self, hello: Hello, context: Context) -> HangUp | None:
        if self._closing:
            return HangUp(*self._goodbye())
        verdict = self.door.admit(hello)
        if isinstance(verdict, Refused):
            self.reporter.tell(hello.sender, hello.lane, verdict.reason, address=context.peer())
            return HangUp(grpc.StatusCode.FAILED_PRECONDITION, verdict.reason)
        arrival = self._register(hello)
        try:
            await context.write(encode_welcome(verdict))
            await self._unpack(arrival, context)
            return arrival.ended
        except asyncio.CancelledError:
            if arrival.ended is None:
                raise  # the sender is gone
            arrival.task.uncancel()
            return arrival.ended
        finally:
            if self._arrivals.get((hello.sender, hello.lane)) is arrival:
                del self._arrivals[hello.sender, hello.lane]

    def _register(self, hello: Hello) -> Arrival:
        task = asyncio.current_task()
        assert task is not None, "a stream is served by a task"
        before = self._arrivals.get((hello.sender, hello.lane))
        if before is not None:
            reason = f"node {hello.sender:x} has opened a newer {hello.lane.value} stream"
            before.end(grpc.StatusCode.ABORTED, reason)
        arrival = self._arrivals[hello.sender, hello.lane] = Arrival(hello, task)
        return arrival

    async def _unpack(self, arrival: Arrival, context: Context) -> None:
        hello, inbox = arrival.hello, self.inbox
        assert inbox is not None, "frames arrived before `bind`"
        # `ended` is looked at because gRPC now and then swallows the cancellation that came with it.
        while (packet := await _read(context)) is not None and arrival.ended is None:
            frames = decode_packet(packet)
            if isinstance(frames, Hello):
                raise BadFrame(f"node {hello.sender:x} said hello twice on one stream")
            if not arrival.used:
                arrival.used = True
                if self.door.confirm(hello):
                    self.review()
            for frame in frames:
                if arrival.ended is None:  # what the inbox does with one frame may end the stream
                    inbox.receive(hello.sender, hello.lane, frame)

    def _goodbye(self) -> tuple[grpc.StatusCode, str]:
        return grpc.StatusCode.UNAVAILABLE, f"node {self.door.identity.node:x} is closing"


async def _read(context: Context) -> bytes | None:
    packet: object = await context.read()
    return packet if isinstance(packet, bytes) else None
