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


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def why(error: BaseException, call: grpc.aio.Call) -> str:
    """What ended `call`, for people.

    Raises:
        asyncio.CancelledError: the current task itself is being cancelled.
    """
    if isinstance(error, asyncio.CancelledError) and _cancelled():
        raise error
    if isinstance(error, grpc.aio.AioRpcError):
        return error.details() or error.code().name
    if call.done():
        return await call.details() or (await call.code()).name
    return str(error) or type(error).__name__
