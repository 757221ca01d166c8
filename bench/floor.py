"""The machine's floor: what one sync, one message and one encoding cost alone, before any of our code runs."""

import asyncio
import os
import pathlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import grpc.aio
import msgspec
import uvloop

from bench import yardstick_wire as wire
from bench.processes import SWITCH_SECONDS, Child, parent_is_gone, python, run_quickly
from bench.workload import VALUE, percentile
from bench.yardstick_file import RingFile
from bench.yardstick_machine import Put, Store

WRITE = 4096
"""Bytes per synced write: a small batch."""


class Cost(msgspec.Struct, frozen=True):
    """What one thing costs, in microseconds."""

    what: str
    p50_us: float
    p99_us: float


def costs(directory: pathlib.Path, times: int) -> Iterator[Cost]:
    """Measure one thing after the other, `times` times each; files go to `directory`."""
    yield _cost("write 4 KiB + fdatasync, growing file", sync_times(directory / "grows", times, "grow"))
    yield _cost("the same, blocks allocated before", sync_times(directory / "allocated", times, "allocate"))
    yield _cost("the same, file filled with zeros before", sync_times(directory / "zeros", times, "fill"))
    yield _cost("the same, by a worker thread of an event loop", _in_loop(_thread_times(directory, times)))
    yield _cost("gRPC stream, one small message there and back", _ping_times(directory, times))
    yield from _codec(times)


def sync_times(path: pathlib.Path, times: int, before: str) -> list[float]:
    """Seconds of each write and fdatasync at the end of what was written. `before`: grow, allocate or fill."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        if before == "allocate":
            os.posix_fallocate(file, 0, times * WRITE)
        if before == "fill":
            os.pwrite(file, bytes(times * WRITE), 0)
        os.fsync(file)
        return [_timed(partial(_write_and_sync, file, at)) for at in range(0, times * WRITE, WRITE)]
    finally:
        os.close(file)


def _write_and_sync(file: int, at: int) -> None:
    os.pwrite(file, b"x" * WRITE, at)
    os.fdatasync(file)


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


async def _thread_times(directory: pathlib.Path, times: int) -> list[float]:
    file = RingFile(directory / "ring", size=16 << 20)
    try:
        return [await _awaited(lambda: file.append([b"x" * WRITE])) for _ in range(times)]
    finally:
        file.close()


async def _awaited(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


def _ping_times(directory: pathlib.Path, times: int) -> list[float]:
    with Child("echo", python("bench.floor"), directory / "echo.stderr") as echo:
        address = f"127.0.0.1:{echo.word('ready')}"
        pings = _in_loop(_pings(address, times))
        echo.end()
        echo.wait()
    return pings


async def _pings(address: str, times: int) -> list[float]:
    async with grpc.aio.insecure_channel(address, options=wire.OPTIONS) as channel:
        stream = wire.open_stream(channel, wire.SUBMIT)

        async def ping() -> None:
            await stream.write(VALUE)
            assert await stream.read() == VALUE, "the echo answered something else"

        for _ in range(20):
            await ping()
        taken = [await _awaited(ping) for _ in range(times)]
        await stream.done_writing()
        return taken


def _codec(times: int) -> Iterator[Cost]:
    body = wire.encode(Put("bench/000001", VALUE))
    frame = wire.encode([body] * 512)
    store = Store()
    yield _cost(
        "encode one put of 128 bytes",
        _repeated(times, 1_000, lambda: wire.encode(Put("bench/000001", VALUE))),
    )
    yield _cost(
        "decode one put, run it on a dict, encode the answer",
        _repeated(times, 1_000, lambda: store.apply(body)),
    )
    yield _cost("encode a frame of 512 puts", _repeated(times, 1, lambda: wire.encode([body] * 512)))
    yield _cost("decode a frame of 512 puts", _repeated(times, 1, lambda: wire.decode_frame(frame)))


def _repeated(times: int, calls: int, call: Callable[[], object]) -> list[float]:
    def all_calls() -> None:
        for _ in range(calls):
            call()

    return [_timed(all_calls) / calls for _ in range(min(times, 100))]


def _cost(what: str, seconds: list[float]) -> Cost:
    ordered = sorted(seconds)
    return Cost(what, percentile(ordered, 50) * 1e6, percentile(ordered, 99) * 1e6)


def _in_loop(times: Coroutine[Any, Any, list[float]]) -> list[float]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(times)
    finally:
        sys.setswitchinterval(interval)


async def _echo() -> None:
    async def answer(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        while isinstance(frame := await context.read(), bytes):
            await context.write(frame)

    server = grpc.aio.server(options=wire.OPTIONS)
    port = wire.listen(server, wire.SUBMIT, answer)
    await server.start()
    print("ready", port, flush=True)
    await parent_is_gone()
    await server.stop(None)


if __name__ == "__main__":
    run_quickly(_echo())
