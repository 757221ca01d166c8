"""The barest client of a raftlog node: its stream and its frames, no session, no retries.

What it is for: the difference to the real client is the price of sessions, deadlines and finding the leader.
"""

import asyncio
from collections.abc import Sequence

import grpc.aio

from bench import yardstick_wire as wire
from bench.yardstick_machine import Put
from raftlog.core.entry import Command
from raftlog.machine.result import Kind, Result
from raftlog.transport.client_frames import (
    ClientFrame,
    decode_node_frame,
    decode_runs,
    encode_client_frame,
    encode_rows,
)

_MACHINE = 1


class NotOk(Exception):
    """A node answered something else than a plain ok."""


class WireClient:
    """A `Target`. One stream to the leader; answers find their calls by number."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=wire.OPTIONS)
        self._stream: wire.BytesCall = self._channel.stream_stream("/raftlog.pb.Log/Stream")()
        self._loop = asyncio.get_running_loop()
        self._unsent: list[Command] = []
        self._called = asyncio.Event()
        self._sent = 0
        self._waiting: dict[int, _Waiting] = {}
        self._following = 0
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        for task in self._tasks:
            task.add_done_callback(self._broken)

    async def put(self, key: str, value: bytes) -> None:
        """See `Target`."""
        await self._call([_command(key, value)])

    async def put_many(self, pairs: Sequence[tuple[str, bytes]]) -> None:
        """See `Target`."""
        await self._call([_command(key, value) for key, value in pairs])

    async def close(self) -> None:
        """See `Target`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    async def _call(self, commands: list[Command]) -> None:
        if self._tasks[1].done():
            raise ConnectionError("the node has ended the stream")
        waiting = _Waiting(len(commands), self._loop.create_future())
        for call in range(self._following, self._following + len(commands)):
            self._waiting[call] = waiting
        self._following += len(commands)
        self._unsent += commands
        self._called.set()
        await waiting.answered

    async def _write(self) -> None:
        while True:
            await self._called.wait()
            self._called.clear()
            taken, self._unsent = self._unsent, []
            frame = ClientFrame(commands=encode_rows(taken), first_call=self._sent)
            self._sent += len(taken)
            await self._stream.write(encode_client_frame(frame))

    async def _read(self) -> None:
        while isinstance(frame := await self._stream.read(), bytes):
            for first, results in decode_runs(decode_node_frame(frame).replies):
                for call, result in enumerate(results, first):
                    self._waiting.pop(call).take(result)

    def _broken(self, _: "asyncio.Task[None]") -> None:
        for waiting in self._waiting.values():
            waiting.fail(ConnectionError("the node ended the stream before it answered"))
        self._waiting.clear()


class _Waiting:
    """One call of some commands."""

    __slots__ = ("answered", "missing")

    def __init__(self, missing: int, answered: "asyncio.Future[None]") -> None:
        self.missing = missing
        self.answered = answered

    def take(self, result: Result) -> None:
        """One of them has its answer."""
        self.missing -= 1
        if result.kind is not Kind.OK:
            self.fail(NotOk(f"{result.kind.name}: {result.body!r}"))
        elif not self.missing and not self.answered.done():
            self.answered.set_result(None)

    def fail(self, error: Exception) -> None:
        """The call will not succeed."""
        if not self.answered.done():
            self.answered.set_exception(error)


def _command(key: str, value: bytes) -> Command:
    return Command(0, 0, 0, _MACHINE, 1, wire.encode(Put(key, value)))
