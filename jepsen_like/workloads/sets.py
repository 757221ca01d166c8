"""A set that only grows: what was added stays, and every read shows it."""

from collections.abc import Iterable, Sequence
from random import Random

from jepsen_like.check import History, Value
from jepsen_like.workloads.workload import Judged, Request, judged
from raftlog import Client, encode_call
from statemachines.sets import GrowSet


class Sets:
    """See `Workload`."""

    machine = "statemachines.sets:GrowSet"

    def __init__(self, *, reads: float = 0.05) -> None:
        """`reads`: their share. Each shows the whole set, so it grows dear."""
        self._reads = reads
        self._elements = 0

    def first(self) -> Iterable[Request]:
        """See `Workload.first`."""
        return ()

    def next(self, random: Random, who: int) -> Request:
        """See `Workload.next`."""
        if random.random() < self._reads:
            return Request("read")
        self._elements += 1
        return Request("add", self._elements)

    async def perform(self, client: Client, request: Request, who: int) -> Value:
        """See `Workload.perform`."""
        if request.f == "read":
            return [int(element) for element in await client.call(GrowSet.read)]
        return await client.call(GrowSet.add, str(request.value))

    def command(self, request: Request) -> bytes | None:
        """See `Workload.command`."""
        return encode_call(GrowSet.add, str(request.value)) if request.f == "add" else None

    def last(self) -> Iterable[Request]:
        """See `Workload.last`."""
        return [Request("read")]

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        return [judged("set-full", history)]
