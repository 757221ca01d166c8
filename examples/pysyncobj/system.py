"""PySyncObj as a system under test: its nodes, its clients, its workloads."""

import asyncio
import itertools
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any

import msgspec

from examples.pysyncobj.setting import NodeSetting
from jepsen_like.check import History, Value
from jepsen_like.cluster.callers import DEADLINE
from jepsen_like.cluster.cluster import PATIENCE
from jepsen_like.cluster.host import Host, HostFailed
from jepsen_like.cluster.network import Network
from jepsen_like.cluster.trial import Trial
from jepsen_like.workloads.workload import Judged, Request, Workload
from raftlog import CallFailed, CallUnknown
from raftlog.cluster import free_ports
from raftlog.core.ids import Index
from raftlog.machine.result import Refusal

COMMAND = (sys.executable, "-m", "examples.pysyncobj.node")
_POLL = 0.1


class SyncObjClient:
    """Asks one of the nodes, another after each failure; see `node` for the protocol."""

    def __init__(self, addresses: Sequence[str], deadline: float = DEADLINE) -> None:
        self._addresses = itertools.cycle(addresses)
        self._deadline = deadline
        self._numbers = itertools.count(1)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> "SyncObjClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._hang_up()

    async def ask(self, f: str, value: Value = None, key: Value = None) -> Any:
        """The answer of the node.

        Raises:
            CallFailed: it certainly did not happen.
            CallUnknown: nobody knows.
        """
        try:
            async with asyncio.timeout(self._deadline):
                reader, writer = await self._connected(f)
                number = next(self._numbers)
                asked = {"id": number, "f": f, "key": key, "value": value}
                writer.write(msgspec.json.encode(asked) + b"\n")
                while line := await reader.readline():
                    answer = msgspec.json.decode(line)
                    if answer["id"] == number:
                        return _result(f, answer)
        except (OSError, TimeoutError) as error:  # a TimeoutError is an OSError; both are told for people
            await self._hang_up()
            raise CallUnknown(f, Refusal(str(error) or f"no answer within {self._deadline:g} s")) from None
        await self._hang_up()
        raise CallUnknown(f, Refusal("the node hung up"))

    async def _connected(self, f: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            host, port = next(self._addresses).rsplit(":", 1)
            try:
                self._streams = await asyncio.open_connection(host, int(port))
            except OSError as error:
                await asyncio.sleep(_POLL)
                raise CallFailed(f, Refusal(str(error))) from None
        return self._streams

    async def _hang_up(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _result(f: str, answer: Mapping[str, Any]) -> Any:
    if "failed" in answer:
        raise CallFailed(f, Refusal(answer["failed"]))
    if "unknown" in answer:
        raise CallUnknown(f, Refusal(answer["unknown"]))
    return answer["ok"]


class OnSyncObj:
    """A workload of this project, its questions put to PySyncObj. See `Workload`."""

    machine = "registers and a counter"

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self.first, self.next, self.last = workload.first, workload.next, workload.last

    async def perform(self, client: Any, request: Request, who: int) -> Value:
        """See `Workload.perform`."""
        return await client.ask(request.f, request.value, request.key)

    def command(self, request: Request) -> bytes | None:
        """No log is read."""
        return None

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        return self._workload.judge(history)


class SyncObjNodes:
    """See `jepsen_like.cluster.system.Nodes`."""

    def __init__(self, trial: Trial, directory: Path, random: Random) -> None:
        self.names = tuple(f"n{number}" for number in range(1, trial.nodes + 1))
        ports = free_ports(2 * trial.nodes)
        raft = [f"127.0.0.1:{port}" for port in ports[: trial.nodes]]
        self.addresses = tuple(f"127.0.0.1:{port}" for port in ports[trial.nodes :])
        self.network = Network(dict(zip(self.names, raft, strict=True)), random)
        self.hosts: Mapping[str, Host] = {
            name: Host(
                NodeSetting(
                    directory=str(directory / name),
                    name=name,
                    listen=listen,
                    machine=OnSyncObj.machine,
                    disk=trial.disk,
                    raft=address,
                    peers=tuple(each for each in raft if each != address),
                ),
                COMMAND,
            )
            for name, listen, address in zip(self.names, self.addresses, raft, strict=True)
        }
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "SyncObjNodes":
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.network)
            stack.push_async_callback(self._end)
            for host in self.hosts.values():
                host.setting = msgspec.structs.replace(host.setting, routes=self.network.routes(host.name))
                await host.start()
            await self._until("a leader is known", self._well)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _end(self) -> None:
        for host in self.hosts.values():
            await host.kill()

    async def leader(self) -> str | None:
        """Who leads in the highest term that anyone knows of; None while nobody does."""
        leading = [(each["term"], name) for name, each in (await self._statuses()).items() if each["leads"]]
        return max(leading)[1] if leading else None

    async def settled(self) -> Index:
        """See `Nodes.settled`; the journals are not read."""
        await self._until("all nodes have applied the same", self._equal)
        for host in self.hosts.values():
            await host.stop()
        return Index(0)

    async def _statuses(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for host in self.hosts.values():
            if host.runs and not host.paused:
                try:
                    async with SyncObjClient([host.address], deadline=1.0) as client:
                        found[host.name] = await client.ask("status")
                except (CallFailed, CallUnknown):
                    continue
        return found

    async def _well(self) -> bool:
        statuses = await self._statuses()
        return len(statuses) == len(self.hosts) and all(each["ready"] for each in statuses.values())

    async def _equal(self) -> bool:
        statuses = await self._statuses()
        found = {
            msgspec.json.encode((each["applied"], each["values"], each["sum"])) for each in statuses.values()
        }
        return len(statuses) == len(self.hosts) and len(found) == 1

    async def _until(self, what: str, holds: Any) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not await holds():  # noqa: ASYNC110 - other processes tell nobody
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            told = {name: (each["applied"], each["term"]) for name, each in (await self._statuses()).items()}
            raise HostFailed(
                f"waited {PATIENCE:g} s in vain until {what}; applied and term: {told}"
            ) from None


class PySyncObj:
    """See `jepsen_like.cluster.system.System`."""

    def nodes(self, trial: Trial, machine: str, directory: Path, random: Random) -> SyncObjNodes:
        """See `System.nodes`."""
        return SyncObjNodes(trial, directory, random)

    def client(self, trial: Trial, addresses: Sequence[str], random: Random) -> SyncObjClient:
        """See `System.client`."""
        return SyncObjClient(addresses)
