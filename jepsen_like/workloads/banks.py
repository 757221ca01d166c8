"""A bank: money moves between accounts, and every reader sees all of it."""

from collections.abc import Iterable, Sequence
from random import Random

from jepsen_like.check import History, Value
from jepsen_like.workloads.workload import Judged, Request, judged
from raftlog import Client, encode_call
from statemachines.bank import Bank, Overdrawn


class Banks:
    """See `Workload`."""

    machine = "statemachines.bank:Bank"

    def __init__(self, *, accounts: int = 8, each: int = 100) -> None:
        self._balances = {f"a{number}": each for number in range(accounts)}

    def first(self) -> Iterable[Request]:
        """See `Workload.first`."""
        return [Request("open", self._balances)]

    def next(self, random: Random, who: int) -> Request:
        """See `Workload.next`."""
        if random.random() < 0.4:
            return Request("read")
        giver, taker = random.sample(sorted(self._balances), 2)
        return Request("transfer", {"from": giver, "to": taker, "amount": random.randint(1, 5)})

    async def perform(self, client: Client, request: Request, who: int) -> Value:
        """See `Workload.perform`."""
        if request.f == "read":
            return await client.call(Bank.read)
        if request.f == "open":
            return await client.call(Bank.open, request.value)
        moved = request.value
        try:
            return await client.call(Bank.transfer, moved["from"], moved["to"], moved["amount"])
        except Overdrawn:
            return False

    def command(self, request: Request) -> bytes | None:
        """See `Workload.command`."""
        match request.f:
            case "open":
                return encode_call(Bank.open, request.value)
            case "transfer":
                moved = request.value
                return encode_call(Bank.transfer, moved["from"], moved["to"], moved["amount"])
            case _:
                return None

    def last(self) -> Iterable[Request]:
        """See `Workload.last`."""
        return [Request("read")]

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        return [judged("bank", history, sum(self._balances.values()))]
