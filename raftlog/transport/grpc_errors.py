"""What a broken gRPC call may raise, and the sentence in it."""

import asyncio
import re

import grpc.aio

GRPC_ERRORS = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)
"""What reading from or writing to a call raises when it is over."""

GRPC_FAILURES = (*GRPC_ERRORS, asyncio.CancelledError)
"""The same for a dialer's call.

CancelledError is among them because gRPC raises it in a reader nobody cancelled when the channel closes. Pass what was
caught to `why`, which lets a real cancellation through.
"""


def keep_cancellation() -> None:
    """Call after awaiting gRPC: raises the current task's cancellation again if the await has swallowed it.

    A call that fails in the same instant does swallow it (grpcio 1.85.1: about once in 100 closes of a channel whose
    handshake is being refused), and the task would go on as if nobody had asked it to end.

    Raises:
        asyncio.CancelledError: the task is being cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def why(error: BaseException, call: grpc.aio.Call) -> str:
    """What ended `call`, for people.

    Raises:
        asyncio.CancelledError: the current task itself is being cancelled.
    """
    keep_cancellation()
    if isinstance(error, grpc.aio.AioRpcError):
        return plain(error.details()) or error.code().name
    if call.done():
        return plain(await call.details()) or (await call.code()).name
    return str(error) or type(error).__name__


_NOT_CONNECTED = re.compile(
    r"\Afailed to connect to all addresses; last error: [A-Z_]+: (?:(?:ipv4|ipv6|unix):\S+: )?(?P<why>.*)\Z",
    re.DOTALL,
)
_NOT_RESOLVED = re.compile(
    r"\Aerrors resolving .*address lookup failed for \S+: (?P<why>[^\]]*)\]*\Z", re.DOTALL
)
_TLS = re.compile(r"\ATls handshake failed .*?(?:OPENSSL_internal:)(?P<why>.*?)(?:: OK)?\Z", re.DOTALL)


def plain(details: str | None) -> str:
    """What gRPC says about a failed call, without its wrapping; "" for nothing. Unknown wordings stay as they are."""
    text = details or ""
    if found := _NOT_RESOLVED.match(text):
        return f"its name is not known ({found['why']})"
    if found := _NOT_CONNECTED.match(text):
        text = found["why"].removeprefix("Failed to connect to remote host: ")
    if text == "Socket closed":
        return "it closed the connection (does one side speak TLS and the other not, or want a certificate?)"
    if found := _TLS.match(text):
        return f"the TLS handshake failed ({found['why']})"
    return text
