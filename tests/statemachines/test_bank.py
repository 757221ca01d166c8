"""The bank against plain arithmetic, its refusals, and on a simulated cluster."""

import contextlib
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from jepsen_like import SimulatedClient, simulate
from jepsen_like.check import check_bank
from statemachines.bank import AlreadyOpen, Bank, TooMuchMoney
from tests.statemachines.beside import Refused, run_beside

NAMES = ("ann", "bob", "eve", "nobody")
OPENING = {"ann": 5, "bob": 0, "eve": 20}


class Plain:
    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def open(self, time: int, balances: dict[str, int]) -> int:
        if self.held:
            raise Refused("AlreadyOpen", len(self.held), sum(self.held.values()))
        self.held = dict(balances)
        return sum(balances.values())

    def transfer(self, time: int, giver: str, taker: str, amount: int) -> int:
        for name in (giver, taker):
            if name not in self.held:
                raise Refused("NoSuchAccount", name)
        if giver == taker:
            raise Refused("SameAccount", giver)
        if self.held[giver] < amount:
            raise Refused("Overdrawn", giver, self.held[giver])
        self.held[giver] -= amount
        self.held[taker] += amount
        return self.held[giver]

    def read(self, time: int) -> dict[str, int]:
        return self.held

    def balance(self, time: int, account: str) -> int:
        if account not in self.held:
            raise Refused("NoSuchAccount", account)
        return self.held[account]


def draw(random: Random) -> tuple[str, tuple[Any, ...]]:
    if random.random() < 0.05:
        return "open", (OPENING,)
    if random.random() < 0.3:
        return random.choice((("read", ()), ("balance", (random.choice(NAMES),))))
    return "transfer", (random.choice(NAMES), random.choice(NAMES), random.randint(1, 12))


@pytest.mark.parametrize("seed", range(3))
def test_the_bank_does_what_arithmetic_does(seed: int) -> None:
    run_beside(Bank, Plain(), draw, seed)


def test_a_bank_is_opened_once_and_holds_no_more_than_fits() -> None:
    bank = Bank()
    with pytest.raises(TooMuchMoney):
        bank.open({"a": 2**62, "b": 2**62})
    most = 2**63 - 1
    assert bank.open({"a": most - 1, "b": 1}) == most
    with pytest.raises(AlreadyOpen) as raised:
        bank.open({"a": 1})
    assert (raised.value.accounts, raised.value.total) == (2, most)
    bank.transfer("b", "a", 1)
    assert bank.read() == {"a": most, "b": 0}


def test_no_money_is_made_or_lost_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        if not client.shared.get("open"):
            with contextlib.suppress(AlreadyOpen):
                await client.call(Bank.open, OPENING)
            client.shared["open"] = True
        if random.random() < 0.3:
            await client.call(Bank.read)
        else:
            giver, taker = random.sample(NAMES[:3], 2)
            await client.call(Bank.transfer, giver, taker, random.randint(1, 12))

    async def read(client: SimulatedClient) -> None:
        await client.call(Bank.read)

    def kept(banks: Sequence[Bank]) -> bool:
        return all(sum(bank.balances.values()) in (0, 25) for bank in banks)

    simulate(
        Bank,
        workload,
        seeds=[1, 2],
        span="5s",
        invariant=kept,
        afterwards=read,
        record=[Bank.read, Bank.transfer],
        check=lambda history: check_bank(history, total=25, accounts=OPENING),
    )
