"""The clients of a run: they ask what the workload says, at its rate, and note what they are told."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from random import Random
from time import monotonic_ns
from typing import Any, TypeAlias

from jepsen_like.check import History, Value
from jepsen_like.workloads.workload import Request, Workload
from raftlog import CallFailed, CallUnknown, Client

Connect: TypeAlias = Callable[[Sequence[str], Random], AbstractAsyncContextManager[Any]]
"""Makes a client of the nodes at these addresses; what it raises are raftlog's `CallFailed` and `CallUnknown`."""
LAST = -1
"""The client that asks what is asked last."""
DEADLINE = 3.0
"""Seconds after which an operation is given up; what became of it is unknown."""


class Callers:
    """As many processes of the history as there are clients; after an unknown one a client goes on as another."""

    def __init__(
        self,
        workload: Workload,
        addresses: Sequence[str],
        *,
        rate: float,
        random: Random,
        session: bool = True,
        connect: Connect | None = None,
    ) -> None:
        """Without `session` they are wrong on purpose: what nobody answered is sent again, and may happen twice.

        `connect` makes the clients; raftlog's unless told otherwise.
        """
        self._workload = workload
        self._addresses = addresses
        self._rate = rate
        self._random = random
        self._session = session
        self._connect = connect or self._client
        self._stopping = asyncio.Event()
        self._processes = 0
        self.history = History()
        self.succeeded: list[int] = []
        """When each success was known, in nanoseconds of the monotonic clock."""
        self.took: list[int] = []
        """How long each of them took, in nanoseconds."""
        self.counts = {"ok": 0, "fail": 0, "info": 0}
        self._success = asyncio.Event()

    async def run(self, clients: int) -> None:
        """Ask until `stop`; returns when all is answered or given up."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(clients):
                tasks.create_task(self._ask(number, Random(self._random.random())), name=f"client {number}")

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    async def next_success(self) -> None:
        """Wait until something succeeds from now on."""
        self._success.clear()
        await self._success.wait()

    async def read_all(self) -> None:
        """The last reads, one after the other, each until it succeeds."""
        async with self._connect(self._addresses, Random(self._random.random())) as client:
            for request in self._workload.last():
                await self._until_answered(client, request)

    async def _until_answered(self, client: Any, request: Request) -> None:
        while not await self._one(client, self._new_process(), request, LAST):  # noqa: ASYNC110 - others decide it
            await asyncio.sleep(0.1)

    async def _ask(self, who: int, random: Random) -> None:
        while not self._stopping.is_set():
            addresses = random.sample(list(self._addresses), len(self._addresses))
            async with self._connect(addresses, random) as client:
                await self._ask_as(self._new_process(), client, who, random)

    async def _ask_as(self, process: int, client: Any, who: int, random: Random) -> None:
        """Until nobody knows what became of a call, or the run is over."""
        while not await self._waits(random.expovariate(self._rate)):
            request = self._workload.next(self._random, who)
            if await self._one(client, process, request, who) is None:
                return

    async def _waits(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    async def _one(self, client: Client, process: int, request: Request, who: int) -> bool | None:
        """Whether it succeeded; None: nobody knows."""
        began = monotonic_ns()
        self.history.invoke(process, request.f, request.value, key=request.key, time=began)
        try:
            result = await self._perform(client, request, who)
        except CallFailed as failed:
            self.counts["fail"] += 1
            self.history.fail(process, time=monotonic_ns(), error=str(failed))
            return False
        except CallUnknown as unknown:
            self.counts["info"] += 1
            self.history.info(process, time=monotonic_ns(), error=str(unknown))
            return None
        self._succeeded(process, result, began)
        return True

    async def _perform(self, client: Any, request: Request, who: int) -> Value:
        while True:
            try:
                return await self._workload.perform(client, request, who)
            except CallUnknown:
                if self._session:
                    raise

    def _succeeded(self, process: int, result: Value, began: int) -> None:
        now = monotonic_ns()
        self.history.ok(process, result, time=now)
        self.counts["ok"] += 1
        self.succeeded.append(now)
        self.took.append(now - began)
        self._success.set()

    def _client(self, addresses: Sequence[str], random: Random) -> Client:
        return Client(addresses, deadline=DEADLINE, random=random, session=self._session)

    def _new_process(self) -> int:
        self._processes += 1
        return self._processes
