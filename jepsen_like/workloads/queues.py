"""A queue: what goes in comes out once."""

from collections.abc import Sequence
from random import Random

from jepsen_like.check import History, Value
from jepsen_like.workloads.workload import Judged, Request, judged
from raftlog import CallFailed, Client
from statemachines.queue import Queue


class Queues:
    """See `Workload`. Order is left to the model's own tests: here nothing may be lost, invented or doubled."""

    machine = "statemachines.queue:Queue"

    def __init__(self) -> None:
        self._values = 0

    async def prepare(self, client: Client) -> None:
        """See `Workload.prepare`."""

    def next(self, random: Random, who: int) -> Request:
        """See `Workload.next`."""
        if random.random() < 0.5:
            return Request("dequeue")
        self._values += 1
        return Request("enqueue", self._values)

    async def perform(self, client: Client, request: Request, who: int) -> Value:
        """See `Workload.perform`."""
        match request.f:
            case "enqueue":
                await client.call(Queue.enqueue, str(request.value).encode())
                return request.value
            case "dequeue":
                item = await client.call(Queue.dequeue)
                return None if item is None else int(item.value)
            case _:
                return await self._drain(client)

    async def _drain(self, client: Client) -> Value:
        found: list[int] = []
        while True:
            try:
                item = await client.call(Queue.dequeue)
            except CallFailed:
                if not found:
                    raise
                continue  # what was taken out before has happened
            if item is None:
                return found
            found.append(int(item.value))

    def last(self) -> Sequence[Request]:
        """See `Workload.last`."""
        return [Request("drain")]

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        return [judged("total-queue", history)]
