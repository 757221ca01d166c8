"""A counter: every addition counts once, however often its command was sent."""

from collections.abc import Iterable, Sequence
from random import Random

from jepsen_like.check import History, Value
from jepsen_like.workloads.workload import Judged, Request, judged
from raftlog import Client, encode_call
from statemachines.counter import Counter


class Counters:
    """See `Workload`. Reads are held to the bounds that the additions set: a history is too long for a search."""

    machine = "statemachines.counter:Counter"

    def first(self) -> Iterable[Request]:
        """See `Workload.first`."""
        return ()

    def next(self, random: Random, who: int) -> Request:
        """See `Workload.next`."""
        return Request("read") if random.random() < 0.3 else Request("add", random.randint(1, 5))

    async def perform(self, client: Client, request: Request, who: int) -> Value:
        """See `Workload.perform`."""
        if request.f == "read":
            return await client.call(Counter.read)
        return await client.call(Counter.add, request.value)

    def command(self, request: Request) -> bytes | None:
        """See `Workload.command`."""
        return encode_call(Counter.add, request.value) if request.f == "add" else None

    def last(self) -> Iterable[Request]:
        """See `Workload.last`."""
        return [Request("read")]

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        return [judged("counter-bounds", history)]
