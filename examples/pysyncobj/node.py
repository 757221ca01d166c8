"""One PySyncObj node as a process of its own: `python -m examples.pysyncobj.node SETTING`, a `NodeSetting` in JSON.

Clients connect to `listen` and write a JSON object a line: `{"id": 1, "f": "write", "key": "r0", "value": 3}`. Answers
come in any order: `{"id": 1, "ok": 3}`, `{"id": 1, "failed": "..."}` or `{"id": 1, "unknown": "..."}`. Everything goes
through the replicated log, reads too: reads of a node's own memory promise nothing there.
"""

import asyncio
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

import pysyncobj
from examples.pysyncobj.setting import NodeSetting
from jepsen_like.cluster.orders import Done
from pysyncobj import journal
from pysyncobj.node import TCPNode

CERTAIN = (pysyncobj.FAIL_REASON.QUEUE_FULL, pysyncobj.FAIL_REASON.REQUEST_DENIED)
"""Of these alone it is clear that the command was never sent to anybody; all others may have happened."""
SYNCED = ".synced"
"""What a loss of power would leave of a directory."""


class Registers(pysyncobj.SyncObj):
    """Registers by key, and a counter; every method is a command in the log."""

    def __init__(self, this: str, others: list[TCPNode], settings: pysyncobj.SyncObjConf) -> None:
        self.values: dict[str, int] = {}
        self.sum = 0
        super().__init__(this, others, settings)

    @pysyncobj.replicated
    def read(self, key: str | None) -> int | None:
        """The register's value, or the counter's where no key is given."""
        return self.sum if key is None else self.values.get(key)

    @pysyncobj.replicated
    def write(self, key: str, value: int) -> int:
        """Set a register."""
        self.values[key] = value
        return value

    @pysyncobj.replicated
    def cas(self, key: str, expected: int, new: int) -> bool:
        """Set it if it has this value."""
        if self.values.get(key) != expected:
            return False
        self.values[key] = new
        return True

    @pysyncobj.replicated
    def add(self, amount: int) -> int:
        """Add to the counter."""
        self.sum += amount
        return self.sum


class RoutedNode(TCPNode):  # type: ignore[misc] # the library has no types
    """Another node, known by its address and dialled at another one."""

    def __init__(self, address: str, route: str) -> None:
        super().__init__(address)
        self._route_host, port = route.rsplit(":", 1)
        self._route_port = int(port)

    @property
    def ip(self) -> str:
        """Dialled."""
        return self._route_host

    @property
    def port(self) -> int:
        """Dialled."""
        return self._route_port


class Node:
    """The process: PySyncObj in its own thread, and a loop for clients and orders."""

    def __init__(self, setting: NodeSetting) -> None:
        self._setting = setting
        directory = Path(setting.directory)
        directory.mkdir(parents=True, exist_ok=True)
        if setting.disk == "volatile":
            lose_what_is_not_synced(directory)
        settings = pysyncobj.SyncObjConf(
            journalFile=str(directory / "journal"), fullDumpFile=str(directory / "dump")
        )
        others = [RoutedNode(peer, setting.routes[peer]) for peer in setting.peers]
        self._registers = Registers(setting.raft, others, settings)
        self._loop: asyncio.AbstractEventLoop

    async def run(self) -> None:
        """Until SIGTERM, or the end of standard input."""
        self._loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._loop.add_signal_handler(signal.SIGTERM, ended.set)
        host, port = self._setting.listen.rsplit(":", 1)
        orders = asyncio.create_task(self._orders(ended), name="orders")
        async with await asyncio.start_server(self._client, host, int(port)):
            await ended.wait()
        orders.cancel()
        self._registers.destroy_synchronous()

    async def _orders(self, ended: asyncio.Event) -> None:
        """None can be carried out: what is inside this process is PySyncObj's."""
        reader = asyncio.StreamReader()
        await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            number = msgspec.json.decode(line)["number"]
            sys.stdout.buffer.write(msgspec.json.encode(Done(number, "this node takes no orders")) + b"\n")
            sys.stdout.flush()
        ended.set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self._ask(msgspec.json.decode(line), writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _ask(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        key, value, answered = (
            asked.get("key"),
            asked.get("value"),
            partial(self._answered, asked["id"], writer),
        )
        match asked["f"]:
            case "status":
                answered(self._status(), pysyncobj.FAIL_REASON.SUCCESS)
            case "read":
                self._registers.read(key, callback=answered)
            case "write":
                self._registers.write(key, value, callback=answered)
            case "cas":
                expected, new = asked["value"]
                self._registers.cas(key, expected, new, callback=answered)
            case "add":
                self._registers.add(value, callback=answered)
            case other:
                raise ValueError(f"{other!r} is nothing that can be asked")

    def _answered(self, number: int, writer: asyncio.StreamWriter, result: object, reason: int) -> None:
        """In the thread of PySyncObj."""
        answer: dict[str, object] = {"id": number}
        if reason == pysyncobj.FAIL_REASON.SUCCESS:
            answer["ok"] = result
        else:
            answer["failed" if reason in CERTAIN else "unknown"] = f"fail reason {reason}"
        self._loop.call_soon_threadsafe(writer.write, msgspec.json.encode(answer) + b"\n")

    def _status(self) -> dict[str, object]:
        status = self._registers.getStatus()
        return {
            "leads": str(status["leader"]) == self._setting.raft,
            "term": status["raft_term"],
            "applied": status["last_applied"],
            "ready": self._registers.isReady(),
            "values": dict(sorted(self._registers.values.items())),
            "sum": self._registers.sum,
        }


def lose_what_is_not_synced(directory: Path) -> None:
    """Of what an earlier process wrote, only what it had synced is there; from now on, note what is.

    PySyncObj syncs its journal (`ResizableFile.flush`, an msync) when it ends in good order. Everything else stays in
    the page cache until the kernel writes it back, thirty seconds later as Linux is set: longer than these runs take.
    """
    for file in directory.iterdir():
        if file.is_file():
            file.unlink()
    synced = directory / SYNCED
    synced.mkdir(exist_ok=True)
    for file in synced.iterdir():
        shutil.copy(file, directory / file.name)
    _note_syncs(synced)


def _note_syncs(synced: Path) -> None:
    """Keep a copy of each file as of its last sync, whichever way the process asks for it."""
    fsync, flush, destroy = os.fsync, journal.ResizableFile.flush, journal.ResizableFile._destroy

    def keep(path: str) -> None:
        shutil.copy(path, synced / Path(path).name)

    def fsynced(descriptor: int) -> None:
        fsync(descriptor)
        keep(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def flushed(file: Any) -> None:
        flush(file)
        keep(file._ResizableFile__fileName)

    def destroyed(file: Any) -> None:
        destroy(file)
        keep(file._ResizableFile__fileName)

    os.fsync = os.fdatasync = fsynced  # type: ignore[assignment]
    journal.ResizableFile.flush, journal.ResizableFile._destroy = flushed, destroyed


if __name__ == "__main__":
    asyncio.run(Node(msgspec.json.decode(sys.argv[1], type=NodeSetting)).run())
