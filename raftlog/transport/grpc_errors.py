"""What a broken gRPC call may raise, and the sentence in it."""

import asyncio

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
        return error.details() or error.code().name
    if call.done():
        return await call.details() or (await call.code()).name
    return str(error) or type(error).__name__
