"""A queue: what goes in comes out once."""

from collections.abc import Iterable, Sequence
from random import Random

from jepsen_like.check import History, Value
from jepsen_like.workloads.workload import Judged, Request, judged
from raftlog import Client, encode_call
from statemachines.queue import Queue


class Queues:
    """See `Workload`. Order is left to the model's own tests: here nothing may be lost, invented or doubled."""

    machine = "statemachines.queue:Queue"

    def __init__(self) -> None:
        self._values = 0
        self._empty = False
        """What the last dequeue found."""

    def first(self) -> Iterable[Request]:
        """See `Workload.first`."""
        return ()

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
            case _:
                item = await client.call(Queue.dequeue)
                self._empty = item is None
                return None if item is None else int(item.value)

    def command(self, request: Request) -> bytes | None:
        """See `Workload.command`."""
        if request.f == "enqueue":
            return encode_call(Queue.enqueue, str(request.value).encode())
        return encode_call(Queue.dequeue)

    def last(self) -> Iterable[Request]:
        """See `Workload.last`."""
        self._empty = False
        while not self._empty:
            yield Request("dequeue")

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        return [judged("total-queue", history)]
