"""The Dialer port over gRPC: a client's streams to nodes, and single calls."""

import asyncio

import grpc
import grpc.aio

from raftlog.transport.grpc_errors import GRPC_FAILURES, keep_cancellation, plain, why
from raftlog.transport.grpc_options import open_channel
from raftlog.transport.limits import Limits
from raftlog.transport.link import Link, LinkBroken
from raftlog.transport.tls import TlsFiles

STREAM = "/raftlog.pb.Log/Stream"

_GOODBYE_PATIENCE = 1.0


class CallFailed(Exception):
    """A single call did not succeed. After a deadline or a lost connection it may have had its effect all the same."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


class DialedLink:
    """The client's end of a link; has a connection of its own.

    The end of the stream alone says nothing: `receive` gives None only if the node ended it with status OK. A `send` or
    `receive` that is cancelled breaks the link, because gRPC cannot take back half an operation.
    """

    def __init__(self, channel: grpc.aio.Channel, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        self._channel = channel
        self._call = call
        self._writing = asyncio.Lock()
        self._closed = False

    async def send(self, frame: bytes) -> None:
        """See `Link.send`."""
        if self._closed:
            raise LinkBroken("the link was closed")
        try:
            async with self._writing:
                await self._call.write(frame)
        except GRPC_FAILURES as error:
            raise LinkBroken(await why(error, self._call)) from None

    async def receive(self) -> bytes | None:
        """See `Link.receive`."""
        try:
            frame: object = await self._call.read()
        except GRPC_FAILURES as error:
            raise LinkBroken(await why(error, self._call)) from None
        return frame if isinstance(frame, bytes) else None

    async def close(self) -> None:
        """See `Link.close`: half-close, then wait for the node's status, a second at most."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(_GOODBYE_PATIENCE):
                async with self._writing:
                    await self._call.done_writing()
                await self._call.code()
        except (TimeoutError, *GRPC_FAILURES):
            keep_cancellation()
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Drop the connection without a goodbye."""
        self._closed = True
        self._call.cancel()
        await self._channel.close()

    @property
    def over(self) -> bool:
        """Whether the stream has ended, in whatever way."""
        return self._call.done()


class GrpcDialer:
    """See `Dialer`. `timeout` in seconds bounds connecting, `Limits.message_bytes` every frame and call."""

    def __init__(
        self, *, tls: TlsFiles | None = None, limits: Limits | None = None, timeout: float = 3.0
    ) -> None:
        self._tls = tls
        self._limits = limits or Limits()
        self._timeout = timeout
        self._links: list[DialedLink] = []

    async def dial(self, address: str) -> Link:
        """See `Dialer.dial`.

        Raises:
            LinkBroken: nobody answers there, or no node.
            BadTlsFiles: a TLS file does not serve.
        """
        channel = open_channel(address, self._tls, self._limits)
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(STREAM)()
        link = DialedLink(channel, call)
        try:
            async with asyncio.timeout(self._timeout):
                # The node sends these at once; without them the first frame would be the first sign of life.
                await call.initial_metadata()
            keep_cancellation()
            if call.done():
                raise LinkBroken(f"no link to {address}: {plain(await call.details())}")
        except TimeoutError:
            await link.abandon()
            raise LinkBroken(f"no link to {address}: no answer in {self._timeout} s") from None
        except GRPC_FAILURES as error:
            await link.abandon()
            raise LinkBroken(f"no link to {address}: {await why(error, call)}") from None
        except LinkBroken:
            await link.abandon()
            raise
        self._links = [known for known in self._links if not known.over]
        self._links.append(link)
        return link

    async def call(self, address: str, method: str, request: bytes, *, timeout: float) -> bytes:
        """One unary call of `method` ("/raftlog.pb.Admin/Status") with an encoded request; the encoded reply.

        Raises:
            CallFailed: no reply came within `timeout` seconds, or an error did.
            BadTlsFiles: a TLS file does not serve.
        """
        channel = open_channel(address, self._tls, self._limits)
        try:
            ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            return await ask(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise CallFailed(error.code(), plain(error.details()) or "no details were given") from None
        except GRPC_FAILURES:
            keep_cancellation()
            raise CallFailed(grpc.StatusCode.CANCELLED, "the connection was closed") from None
        finally:
            await channel.close()

    async def close(self) -> None:
        """See `Dialer.close`. Links that are still open break."""
        for link in self._links:
            await link.abandon()
        self._links.clear()
