"""The gRPC ends of the services for clients and operators: bytes in and out, refusals as status codes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Never

import grpc
import grpc.aio

from raftlog.service import AdminService, CallRefused, Code, Service
from raftlog.storage import DiskError
from raftlog.transport.client_frames import BadFrame
from raftlog.transport.grpc_errors import GRPC_ERRORS
from raftlog.transport.link import LinkBroken

LOG = "raftlog.pb.Log"
ADMIN = "raftlog.pb.Admin"

_Context = grpc.aio.ServicerContext[bytes, bytes]
_Unary = Callable[[bytes], Awaitable[bytes]]

_CODES = {
    Code.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Code.FAILED_PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
}


class LogRpc:
    """pb.Log of a node that may still wait to be initialised.

    Invariant: every stream being served is in `_streams`, so that `close` can end it: the server's own stop would wait
    its whole grace for streams that clients keep open.
    """

    def __init__(self, why_waiting: str, fail: Callable[[BaseException], None]) -> None:
        """`why_waiting` is what clients hear until `open`; `fail` takes the error of a defect of ours."""
        self._service: Service | None = None
        self._refusal = (grpc.StatusCode.FAILED_PRECONDITION, why_waiting)
        self._fail = fail
        self._streams: set[asyncio.Task[object]] = set()

    def open(self, service: Service) -> None:
        """The node has started: serve."""
        self._service = service

    async def close(self) -> None:
        """Refuse new calls and end every open stream. Answers already handed to gRPC still go out."""
        self._service = None
        self._refusal = (grpc.StatusCode.UNAVAILABLE, "this node is shutting down; ask another")
        for stream in self._streams:
            stream.cancel()
        if self._streams:
            await asyncio.wait(self._streams, timeout=1.0)

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
        serving = asyncio.current_task()
        assert serving is not None, "a stream is served by a task"
        self._streams.add(serving)
        try:
            # Says "you are connected" to a dialer before anybody has sent a frame.
            await context.send_initial_metadata(())
            await service.serve_link(ServedLink(context))
        except BadFrame as bad:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(bad))
        except asyncio.CancelledError:
            if self._service is not None:
                raise  # the client is gone
            serving.uncancel()
            await context.abort(*self._refusal)
        except GRPC_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - a defect must stop the node, not end as a line in gRPC's log
            self._fail(error)
            await context.abort(grpc.StatusCode.INTERNAL, "the node failed; its log says why")
        finally:
            self._streams.discard(serving)


class AdminRpc:
    """pb.Admin: there from the first moment, so that a waiting node can be asked who it is."""

    def __init__(self, service: AdminService, fail: Callable[[BaseException], None]) -> None:
        self._service = service
        self._fail = fail

    def handlers(self) -> grpc.GenericRpcHandler:
        """What the gRPC server registers."""
        status: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._status)
        initialise: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            self._initialise
        )
        return grpc.method_handlers_generic_handler(ADMIN, {"Status": status, "Initialise": initialise})

    async def _status(self, request: bytes, context: _Context) -> bytes:
        return await answer(self._service.status, request, context, self._fail)

    async def _initialise(self, request: bytes, context: _Context) -> bytes:
        return await answer(self._service.initialise, request, context, self._fail)


class ServedLink:
    """A client's stream, seen from the server. See `Link`."""

    def __init__(self, context: _Context) -> None:
        self._context = context

    async def send(self, frame: bytes) -> None:
        """See `Link.send`."""
        try:
            await self._context.write(frame)
        except GRPC_ERRORS as error:
            raise LinkBroken(f"the client is gone: {error}") from None

    async def receive(self) -> bytes | None:
        """See `Link.receive`. A killed client looks like one that closed in good order: nothing may hang on it."""
        try:
            frame: object = await self._context.read()
        except GRPC_ERRORS as error:
            raise LinkBroken(f"the client is gone: {error}") from None
        return frame if isinstance(frame, bytes) else None

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
        await _abort(context, grpc.StatusCode.UNAVAILABLE, refused)
    except Exception as error:  # noqa: BLE001 - a defect must stop the node, not end as a line in gRPC's log
        fail(error)
        await context.abort(grpc.StatusCode.INTERNAL, "the node failed; its log says why")
    raise AssertionError("abort raises")


async def _abort(context: _Context, code: grpc.StatusCode, why: Exception) -> Never:
    await context.abort(code, str(why))
    raise AssertionError("abort raises")
