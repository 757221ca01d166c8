"""The standard gRPC health service: whether each service of this process would do its work now.

Our own forty lines, because the packaged servicer holds a lock while it writes to a watcher: one watcher that stops
reading would keep every later change of health from being told to anyone.
"""

import asyncio
from collections.abc import Iterable

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2 as pb

SERVICE = "grpc.health.v1.Health"

_STATUS = {
    None: pb.HealthCheckResponse.SERVICE_UNKNOWN,
    True: pb.HealthCheckResponse.SERVING,
    False: pb.HealthCheckResponse.NOT_SERVING,
}
_Context = grpc.aio.ServicerContext[bytes, bytes]


class Health:
    """Knows a fixed set of services by full name; "" is the process as a whole.

    Invariant: once `closed`, nothing is serving.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._serving = dict[str, bool].fromkeys(services, False)
        self._changed = asyncio.Event()
        self.closed = False

    def set(self, *services: str, serving: bool) -> None:
        """Say whether these services would do their work; watchers are told."""
        for service in services:
            assert service in self._serving, f"{service!r} is not among {sorted(self._serving)}"
            self._serving[service] = serving and not self.closed
        self._wake()

    def close(self) -> None:
        """Say NOT_SERVING for good and end every watch."""
        self.closed = True
        self._serving = dict.fromkeys(self._serving, False)
        self._wake()

    def handlers(self) -> grpc.GenericRpcHandler:
        """What the gRPC server registers."""
        check: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._check)
        watch: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(self._watch)
        return grpc.method_handlers_generic_handler(SERVICE, {"Check": check, "Watch": watch})

    async def _check(self, request: bytes, context: _Context) -> bytes:
        service = await _service_of(request, context)
        if service not in self._serving:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {service!r} here")
        return self._answer(service)

    async def _watch(self, request: bytes, context: _Context) -> None:
        service = await _service_of(request, context)
        told = b""
        while True:
            changed, answer = self._changed, self._answer(service)
            if answer != told:
                await context.write(answer)
                told = answer
            elif self.closed:
                return
            else:
                await changed.wait()

    def _answer(self, service: str) -> bytes:
        return pb.HealthCheckResponse(status=_STATUS[self._serving.get(service)]).SerializeToString()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _service_of(request: bytes, context: _Context) -> str:
    try:
        return pb.HealthCheckRequest.FromString(request).service
    except DecodeError:
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT, f"these {len(request)} bytes are no HealthCheckRequest"
        )
        raise AssertionError("abort raises") from None
