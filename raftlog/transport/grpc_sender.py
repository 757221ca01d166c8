"""One lane to one peer: a stream that is dialed again whenever it breaks, fed from a bounded outbox."""

import asyncio

import grpc.aio

from raftlog.core.ids import NodeId
from raftlog.transport.backoff import Backoff
from raftlog.transport.codec import decode_welcome, encode_hello, encode_packet
from raftlog.transport.events import Reporter
from raftlog.transport.frames import BadFrame
from raftlog.transport.grpc_errors import GRPC_FAILURES, keep_cancellation, plain, why
from raftlog.transport.grpc_options import open_channel
from raftlog.transport.handshake import Doorkeeper, accept_welcome
from raftlog.transport.limits import Limits
from raftlog.transport.outbox import Outbox, OutboxClosed
from raftlog.transport.port import Lane
from raftlog.transport.tls import TlsFiles

DELIVER = "/raftlog.pb.Peer/Deliver"


class StreamLost(Exception):
    """A stream could not be opened or did not last; the text says why."""


class Sender:
    """Keeps one stream open and writes to it whatever is in the outbox, in order, many frames to a packet.

    A channel of its own, thus a connection of its own: a bulk lane that waits for the peer to read cannot hold up the
    urgent one. Invariant: frames are taken only between a welcome and the end of the stream it was given for.
    """

    def __init__(
        self,
        *,
        peer: NodeId,
        address: str,
        lane: Lane,
        door: Doorkeeper,
        tls: TlsFiles | None,
        limits: Limits,
        reporter: Reporter,
    ) -> None:
        self._peer = peer
        self._address = address
        self._lane = lane
        self._door = door
        self._tls = tls
        self._limits = limits
        self._reporter = reporter
        self._backoff = Backoff()
        self.outbox = Outbox(limits.queue_bytes(lane))

    def send(self, frame: bytes) -> bool:
        """Queue a frame; False when it was dropped: no stream, no room, or too large for any message."""
        if len(frame) > self._limits.frame_bytes:
            self._tell(
                f"a frame of {len(frame)} bytes for node {self._peer:x} is larger than a message may be"
            )
            return False
        return self.outbox.put(frame)

    async def run(self) -> None:
        """Dial, feed, dial again; ends only by cancellation."""
        channel = open_channel(self._address, self._tls, self._limits)
        try:
            while True:
                await self._attempt(channel)
                keep_cancellation()
                await asyncio.sleep(self._backoff.next())
        finally:
            await channel.close()

    async def _attempt(self, channel: grpc.aio.Channel) -> None:
        """One stream, from dialing to its end."""
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(DELIVER)()
        try:
            await self._shake_hands(call)
            await self._feed(call)
        except StreamLost as lost:
            self._tell(str(lost))
        except GRPC_FAILURES as error:
            reason = await why(error, call)
            # While nobody answers, the reason changes with every attempt: refused, timed out, no route.
            absent = isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.UNAVAILABLE
            thing = "nobody answers" if absent else reason
            self._tell(f"no stream to node {self._peer:x} at {self._address}: {reason}", thing)
        finally:
            self.outbox.close()
            call.cancel()

    async def _shake_hands(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        hello = self._door.hello(self._peer, self._lane)
        try:
            async with asyncio.timeout(self._limits.handshake_timeout):
                await call.write(encode_hello(hello))
                answer = await call.read()
            if not isinstance(answer, bytes):
                raise StreamLost(f"node {self._peer:x} at {self._address} hung up without a welcome")
            refused = accept_welcome(hello, decode_welcome(answer))
        except TimeoutError:
            patience = self._limits.handshake_timeout
            raise StreamLost(
                f"node {self._peer:x} at {self._address} gave no answer in {patience} s"
            ) from None
        except BadFrame as bad:
            raise StreamLost(f"who answers at {self._address} is no node of this protocol: {bad}") from None
        if refused is not None:
            raise StreamLost(refused.reason)
        keep_cancellation()
        self._backoff.reset()
        self.outbox.open()
        # Runs also when the stream ends while nothing is being written: the next `send` must learn of it.
        call.add_done_callback(lambda _: self.outbox.close())
        self._tell(f"connected to node {self._peer:x} at {self._address}")

    async def _feed(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        try:
            while True:
                keep_cancellation()
                frames = await self.outbox.take(self._limits.packet_bytes)
                # Not a time to wait for an answer: a write waits only while the peer's buffers are full.
                async with asyncio.timeout(self._limits.stall_timeout):
                    await call.write(encode_packet(frames))
        except TimeoutError:
            patience = self._limits.stall_timeout
            raise StreamLost(
                f"node {self._peer:x} at {self._address} took nothing for {patience} s"
            ) from None
        except OutboxClosed:
            raise StreamLost(
                f"node {self._peer:x} at {self._address} hung up: {plain(await call.details())}"
            ) from None

    def _tell(self, text: str, thing: str = "") -> None:
        self._reporter.tell(self._peer, self._lane, text, thing=thing, address=self._address)
