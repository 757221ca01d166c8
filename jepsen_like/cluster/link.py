"""The way one host dials another: a port of loopback that leads there, over paths that can be spoiled."""

import asyncio

from jepsen_like.cluster.path import Flow, Path


class Link:
    """Takes the origin's connections and makes one to the target for each; entered with `async with`.

    What the origin says goes over `there`, what the target answers over `back`: the path in the other direction, which
    is also the one that the target's own connections to the origin use.
    """

    def __init__(self, target: str, there: Path, back: Path) -> None:
        """`target` is `host:port`."""
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._there = there
        self._back = back
        self._flows: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    @property
    def address(self) -> str:
        """Where the origin has to dial."""
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._flows:
            task.cancel()
        if self._flows:
            await asyncio.wait(self._flows)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer), name="connection")
        self._flows.add(task)
        task.add_done_callback(self._flows.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # An origin whose way is cut is not told whether anybody listens at the other end.
            await self._there.arrive(0)
            await self._join(reader, writer)
        except* OSError:
            pass  # one of the ends is gone, and so is the other now
        finally:
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(Flow(self._there, reader, far_writer).run())
                tasks.create_task(Flow(self._back, far_reader, writer).run())
        finally:
            far_writer.transport.abort()
