"""One process of the bare pipeline.

`python -m bench.yardstick_node DIR [REPLICA...]` is the primary when it is given replicas. It
writes `ready PORT` when it serves, ends when its standard input ends, and then writes `applied N`.
"""

import asyncio
import pathlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio

from bench import yardstick_wire as wire
from bench.processes import parent_is_gone, run_quickly
from bench.yardstick_file import RingFile
from bench.yardstick_machine import Store

_IDLE_SECONDS = 0.01
"""How long a commit may go untold to a replica when no batch follows it."""

Send = Callable[[bytes], Awaitable[None]]


class Outbox:
    """What waits for one stream's only writer."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._ended = False

    def put(self, frame: bytes) -> None:
        """Send `frame` after those before it."""
        self._frames.append(frame)
        self._filled.set()

    def end(self) -> None:
        """The writer returns when all is sent."""
        self._ended = True
        self._filled.set()

    async def drain_into(self, send: Send) -> None:
        """The stream's writer."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._frames:
                await send(self._frames.popleft())
            if self._ended:
                return


class Primary:
    """Orders commands, writes each batch beside its replicas, answers what it and one replica have synced.

    Invariants: applied <= committed <= the own durable number and the highest one of a replica.
    """

    def __init__(self, file: RingFile, store: Store, replicas: list[str]) -> None:
        self._file = file
        self._store = store
        self._replicas = replicas
        self._outboxes = [Outbox() for _ in replicas]
        self._durable = [0] * (1 + len(replicas))
        self._arrived = asyncio.Event()
        self._waiting: list[tuple[Outbox, list[bytes]]] = []
        self._unapplied: deque[list[tuple[Outbox, list[bytes]]]] = deque()
        self._last = 0
        self._committed = 0
        self._told = 0
        self._stopping = False

    async def submit(self, _: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """A client's stream."""
        outbox = Outbox()
        writer = asyncio.create_task(outbox.drain_into(context.write))
        while isinstance(frame := await context.read(), bytes):
            self._waiting.append((outbox, wire.decode_frame(frame)))
            self._arrived.set()
        outbox.end()
        await writer

    async def run(self) -> None:
        """Write batches and talk to the replicas until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            for number, address in enumerate(self._replicas):
                tasks.create_task(self._feed(number, address))
            telling = tasks.create_task(self._tell_when_idle())
            await self._write_batches()
            telling.cancel()
            self._tell()
            for outbox in self._outboxes:
                outbox.end()

    def stop(self) -> None:
        """End `run` after what has arrived is written."""
        self._stopping = True
        self._arrived.set()

    async def _write_batches(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if not self._waiting:
                assert self._stopping, "woken with nothing to write and no order to stop"
                return
            taken, self._waiting = self._waiting, []
            self._last += 1
            bodies = [body for _, part in taken for body in part] if len(taken) > 1 else taken[0][1]
            batch = wire.encode(wire.Batch(self._last, self._committed, bodies))
            self._told = self._committed
            for outbox in self._outboxes:
                outbox.put(batch)
            self._unapplied.append(taken)
            await self._file.append([batch])
            self._synced(0, self._last)
            if self._stopping:
                self._arrived.set()

    async def _feed(self, number: int, address: str) -> None:
        async with grpc.aio.insecure_channel(address, options=wire.OPTIONS) as channel:
            stream = wire.open_stream(channel, wire.REPLICATE)
            writer = asyncio.create_task(self._outboxes[number].drain_into(stream.write))
            writer.add_done_callback(lambda _: ended.set())
            ended = asyncio.Event()
            reader = asyncio.create_task(self._hear(number, stream))
            await ended.wait()
            await writer
            await stream.done_writing()
            await reader

    async def _hear(self, number: int, stream: wire.BytesCall) -> None:
        while isinstance(frame := await stream.read(), bytes):
            self._synced(1 + number, wire.decode_durable(frame).number)

    def _synced(self, node: int, number: int) -> None:
        self._durable[node] = number
        committed = min(self._durable[0], max(self._durable[1:]))
        while self._committed < committed:
            self._committed += 1
            for outbox, bodies in self._unapplied.popleft():
                outbox.put(wire.encode([self._store.apply(body) for body in bodies]))

    async def _tell_when_idle(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_SECONDS)
            self._tell()

    def _tell(self) -> None:
        if self._told < self._committed:
            self._told = self._committed
            for outbox in self._outboxes:
                outbox.put(wire.encode(wire.Batch(self._last, self._committed, [])))


class Replica:
    """Writes what the primary sends, as many batches per sync as have come, and applies what is committed.

    Invariants: applied <= committed and applied <= durable.
    """

    def __init__(self, file: RingFile, store: Store) -> None:
        self._file = file
        self._store = store
        self._arrived = asyncio.Event()
        self._ended = False
        self._waiting: list[bytes] = []
        self._received = 0
        self._durable = 0
        self._committed = 0
        self._applied = 0
        self._unapplied: deque[list[bytes]] = deque()

    async def replicate(self, _: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """The primary's stream."""
        writer = asyncio.create_task(self._write(context.write))
        while isinstance(frame := await context.read(), bytes):
            self._take(frame)
        self._ended = True
        self._arrived.set()
        await writer

    def _take(self, frame: bytes) -> None:
        batch = wire.decode_batch(frame)
        self._committed = batch.committed
        if batch.bodies:
            assert batch.number == self._received + 1, f"batch {batch.number} after {self._received}"
            self._received = batch.number
            self._unapplied.append(batch.bodies)
            self._waiting.append(frame)
            self._arrived.set()
        self._apply()

    async def _write(self, send: Send) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._waiting:
                taken, self._waiting = self._waiting, []
                upto = self._received
                await self._file.append(taken)
                self._durable = upto
                await send(wire.encode(wire.Durable(upto)))
                self._apply()
            if self._ended and not self._waiting:
                return

    def _apply(self) -> None:
        while self._applied < min(self._committed, self._durable):
            self._applied += 1
            for body in self._unapplied.popleft():
                self._store.apply(body)


async def serve(directory: pathlib.Path, replicas: list[str]) -> None:
    """Run one node until the parent closes our standard input."""
    file = RingFile(directory / "log")
    store = Store()
    server = grpc.aio.server(options=wire.OPTIONS)
    primary = Primary(file, store, replicas) if replicas else None
    if primary:
        port = wire.listen(server, wire.SUBMIT, primary.submit)
    else:
        port = wire.listen(server, wire.REPLICATE, Replica(file, store).replicate)
    await server.start()
    print("ready", port, flush=True)
    async with asyncio.TaskGroup() as tasks:
        if primary:
            tasks.create_task(primary.run())
        await parent_is_gone()
        if primary:
            primary.stop()
    await server.stop(None)
    file.close()
    print("applied", store.applied, flush=True)


if __name__ == "__main__":
    run_quickly(serve(pathlib.Path(sys.argv[1]), sys.argv[2:]))
