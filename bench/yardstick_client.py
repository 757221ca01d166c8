"""The bare pipeline's client: calls made at the same time travel in one frame of one stream."""

import asyncio
from collections import deque
from collections.abc import Sequence

import grpc.aio
import msgspec

from bench import yardstick_wire as wire
from bench.yardstick_machine import Put

_decode_revision = msgspec.msgpack.Decoder(int).decode


class YardstickClient:
    """A `Target`. One stream to the primary, which answers in the order of asking."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=wire.OPTIONS)
        self._stream = wire.open_stream(self._channel, wire.SUBMIT)
        self._unsent: list[bytes] = []
        self._called = asyncio.Event()
        self._waiting: deque[tuple[int, asyncio.Future[Sequence[bytes]]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        for task in self._tasks:
            task.add_done_callback(self._broken)

    async def put(self, key: str, value: bytes) -> None:
        """See `Target`."""
        await self.revisions([(key, value)])

    async def put_many(self, pairs: Sequence[tuple[str, bytes]]) -> None:
        """See `Target`."""
        await self.revisions(pairs)

    async def revisions(self, pairs: Sequence[tuple[str, bytes]]) -> list[int]:
        """Write, and say which revisions these writes have.

        Raises:
            ConnectionError: the stream ended before the answer came.
        """
        answers = await self._call([wire.encode(Put(key, value)) for key, value in pairs])
        return [_decode_revision(answer) for answer in answers]

    async def close(self) -> None:
        """See `Target`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    def _call(self, bodies: list[bytes]) -> asyncio.Future[Sequence[bytes]]:
        if self._tasks[1].done():
            raise ConnectionError("the primary has ended the stream")
        answered: asyncio.Future[Sequence[bytes]] = self._loop.create_future()
        self._waiting.append((len(bodies), answered))
        self._unsent += bodies
        self._called.set()
        return answered

    async def _write(self) -> None:
        while True:
            await self._called.wait()
            self._called.clear()
            taken, self._unsent = self._unsent, []
            await self._stream.write(wire.encode(taken))

    async def _read(self) -> None:
        # A frame goes with whole calls in it and its answers come back as one frame.
        while isinstance(frame := await self._stream.read(), bytes):
            answers = wire.decode_frame(frame)
            at = 0
            while at < len(answers):
                length, answered = self._waiting.popleft()
                if not answered.done():
                    answered.set_result(answers[at : at + length])
                at += length

    def _broken(self, task: "asyncio.Task[None]") -> None:
        for _, answered in self._waiting:
            if not answered.done():
                answered.set_exception(ConnectionError("the primary ended the stream before it answered"))
        self._waiting.clear()
