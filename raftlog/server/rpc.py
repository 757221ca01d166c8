"""The gRPC ends of the services for clients and operators: bytes in and out, refusals as status codes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Never

import grpc
import grpc.aio

from raftlog.service import AdminService, CallRefused, Code, Service, SnapshotService
from raftlog.storage import DiskError, DiskFull
from raftlog.transport.client_frames import BadFrame
from raftlog.transport.grpc_errors import GRPC_ERRORS, keep_cancellation
from raftlog.transport.link import LinkBroken

LOG = "raftlog.pb.Log"
ADMIN = "raftlog.pb.Admin"

_GOODBYE_SECONDS = 1.0
_MOST_STREAMS = 4_096
"""Clients at one node; what each may have it hold is bounded by `service.Limits`."""

_Context = grpc.aio.ServicerContext[bytes, bytes]
_Unary = Callable[[bytes], Awaitable[bytes]]

_CODES = {
    Code.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Code.FAILED_PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
}


class LogRpc:
    """pb.Log of a node that may still wait to be initialised.

    Invariant: every stream being served is in `_streams`, at most `_MOST_STREAMS`, so that `close` can end it: the
    server's own stop would wait its whole grace for streams that clients keep open.
    """

    def __init__(self, why_waiting: str, fail: Callable[[BaseException], None]) -> None:
        """`why_waiting` is what clients hear until `open`; `fail` takes the error of a defect of ours."""
        self._service: Service | None = None
        self._refusal = (grpc.StatusCode.FAILED_PRECONDITION, why_waiting)
        self._fail = fail
        self._streams: dict[asyncio.Task[object], ServedLink] = {}

    def open(self, service: Service) -> None:
        """The node has started: serve."""
        self._service = service

    async def close(self) -> None:
        """Refuse new calls, let the open streams give the answers they have, and end them; a second at most."""
        self._service = None
        self._refusal = (grpc.StatusCode.UNAVAILABLE, "this node is shutting down; ask another")
        for link in self._streams.values():
            link.drain()
        if self._streams:
            _, late = await asyncio.wait(self._streams, timeout=_GOODBYE_SECONDS)
            for stream in late:
                stream.cancel()

    def handlers(self) -> grpc.GenericRpcHandler:
        """What the gRPC server registers."""
        stream: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._stream)
        call: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._call)
        return grpc.method_handlers_generic_handler(LOG, {"Stream": stream, "Call": call})

    async def _call(self, request: bytes, context: _Context) -> bytes:
        service = self._service or await context.abort(*self._refusal)
        return await answer(service.call, request, context, self._fail)

    async def _stream(self, _: object, context: _Context) -> None:
        service = self._service or await context.abort(*self._refusal)
        if len(self._streams) >= _MOST_STREAMS:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_MOST_STREAMS} streams are open here; ask another node"
            )
        serving = asyncio.current_task()
        assert serving is not None, "a stream is served by a task"
        link = self._streams[serving] = ServedLink(context)
        try:
            # Says "you are connected" to a dialer before anybody has sent a frame.
            await context.send_initial_metadata(())
            keep_cancellation()
            await service.serve_link(link)
        except BadFrame as bad:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(bad))
        except GRPC_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - a defect must stop the node, not end as a line in gRPC's log
            self._fail(error)
            await context.abort(grpc.StatusCode.INTERNAL, "the node failed; its log says why")
        finally:
            del self._streams[serving]
        if link.draining:
            await context.abort(*self._refusal)


class AdminRpc:
    """pb.Admin: there from the first moment, so that a waiting node can be asked who it is."""

    def __init__(
        self, service: AdminService, why_waiting: str, fail: Callable[[BaseException], None]
    ) -> None:
        """`why_waiting` is what who asks for snapshots hears until `open`; `fail` as in `LogRpc`."""
        self._service = service
        self._snapshots: SnapshotService | None = None
        self._refusal = (grpc.StatusCode.FAILED_PRECONDITION, why_waiting)
        self._fail = fail

    def open(self, snapshots: SnapshotService) -> None:
        """The node has started: it can be asked for snapshots."""
        self._snapshots = snapshots

    def handlers(self) -> grpc.GenericRpcHandler:
        """What the gRPC server registers."""
        methods = {
            "Status": self._status,
            "Initialise": self._initialise,
            "Snapshot": self._snapshot,
            "ReadSnapshot": self._read_snapshot,
        }
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
        }
        return grpc.method_handlers_generic_handler(ADMIN, handlers)

    async def _status(self, request: bytes, context: _Context) -> bytes:
        return await answer(self._service.status, request, context, self._fail)

    async def _initialise(self, request: bytes, context: _Context) -> bytes:
        return await answer(self._service.initialise, request, context, self._fail)

    async def _snapshot(self, request: bytes, context: _Context) -> bytes:
        snapshots = self._snapshots or await context.abort(*self._refusal)
        return await answer(snapshots.snapshot, request, context, self._fail)

    async def _read_snapshot(self, request: bytes, context: _Context) -> bytes:
        snapshots = self._snapshots or await context.abort(*self._refusal)
        return await answer(snapshots.read_snapshot, request, context, self._fail)


class ServedLink:
    """A client's stream, seen from the server. See `Link`.

    Invariant: of the cancellations of the task that receives, `drain`'s own is taken back here and every other one is
    raised, also where gRPC has swallowed it (see `keep_cancellation`).
    """

    def __init__(self, context: _Context) -> None:
        self._context = context
        self._receiving: asyncio.Task[object] | None = None
        self._interrupted = False
        """Whether `drain` has cancelled what receives and that was not taken back yet."""
        self._drained = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether nothing more is received."""
        return self._drained.is_set()

    def drain(self) -> None:
        """Have `receive` say that the client has closed, so that what was asked is answered and nothing more."""
        self._drained.set()
        if self._receiving is not None and not self._interrupted:
            self._interrupted = True
            self._receiving.cancel()

    async def send(self, frame: bytes) -> None:
        """See `Link.send`."""
        try:
            await self._context.write(frame)
        except GRPC_ERRORS as error:
            keep_cancellation()
            raise LinkBroken(f"the client is gone: {error}") from None
        keep_cancellation()

    async def receive(self) -> bytes | None:
        """See `Link.receive`. A killed client looks like one that closed in good order: nothing may hang on it."""
        if self._drained.is_set():
            return None
        self._receiving = asyncio.current_task()
        try:
            frame: object = await self._context.read()
        except GRPC_ERRORS as error:
            self._take_back()
            raise LinkBroken(f"the client is gone: {error}") from None
        except asyncio.CancelledError:
            if not self._take_back():
                raise
            return None
        finally:
            self._receiving = None
        self._take_back()
        return frame if isinstance(frame, bytes) else None

    def _take_back(self) -> bool:
        """Undo the cancellation by `drain`; whether there was one.

        Raises:
            asyncio.CancelledError: somebody else has cancelled the task.
        """
        interrupted, self._interrupted = self._interrupted, False
        task = asyncio.current_task()
        if interrupted and task is not None:
            task.uncancel()
        keep_cancellation()
        return interrupted

    async def close(self) -> None:
        """See `Link.close`: the stream ends when its handler returns."""


async def answer(
    method: _Unary, request: bytes, context: _Context, fail: Callable[[BaseException], None]
) -> bytes:
    """Answer one unary call, or end it with the status that its refusal asks for."""
    try:
        return await method(request)
    except CallRefused as refused:
        await _abort(context, _CODES[refused.code], refused)
    except DiskError as refused:
        full = isinstance(refused, DiskFull)
        await _abort(
            context, grpc.StatusCode.RESOURCE_EXHAUSTED if full else grpc.StatusCode.INTERNAL, refused
        )
    except Exception as error:  # noqa: BLE001 - a defect must stop the node, not end as a line in gRPC's log
        fail(error)
        await context.abort(grpc.StatusCode.INTERNAL, "the node failed; its log says why")
    raise AssertionError("abort raises")


async def _abort(context: _Context, code: grpc.StatusCode, why: Exception) -> Never:
    await context.abort(code, str(why))
    raise AssertionError("abort raises")
