"""A bank: money moves between accounts, and none is made or lost."""

from typing import Annotated

import msgspec

from raftlog import Machine, MachineError, command, query

MOST = (1 << 63) - 1
"""All the money that a bank can hold: integers on the wire have 64 bits."""
MAX_ACCOUNTS = 10_000

Amount = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
Balances = Annotated[
    dict[str, Annotated[int, msgspec.Meta(ge=0, le=MOST)]],
    msgspec.Meta(min_length=1, max_length=MAX_ACCOUNTS),
]


class AlreadyOpen(MachineError):
    """The bank has its accounts; nothing was changed."""

    accounts: int
    total: int


class TooMuchMoney(MachineError):
    """The balances add up to more than a bank can hold; nothing was changed."""

    limit: int


class NoSuchAccount(MachineError):
    """There is no such account; nothing was changed."""

    account: str


class SameAccount(MachineError):
    """Giver and taker are one; nothing was changed."""

    account: str


class Overdrawn(MachineError):
    """The giver has less than the amount; nothing was changed."""

    account: str
    balance: int


class Bank(Machine):
    """Accounts by name. It is opened once, with all the money that there will ever be.

    Invariants: no balance is negative; their sum is what the bank was opened with, whatever was transferred.
    """

    balances: dict[str, int]

    def __init__(self) -> None:
        self.balances = {}

    @command(errors=(AlreadyOpen, TooMuchMoney))
    def open(self, balances: Balances) -> int:
        """Open the bank with these accounts, once and for all: the money in it."""
        if self.balances:
            raise AlreadyOpen(len(self.balances), sum(self.balances.values()))
        total = sum(balances.values())
        if total > MOST:
            raise TooMuchMoney(MOST)
        self.balances = dict(balances)
        return total

    @command(errors=(NoSuchAccount, SameAccount, Overdrawn))
    def transfer(self, giver: str, taker: str, amount: Amount) -> int:
        """Move money from one account to another: what the giver has left."""
        for account in (giver, taker):
            if account not in self.balances:
                raise NoSuchAccount(account)
        if giver == taker:
            raise SameAccount(giver)
        if (balance := self.balances[giver]) < amount:
            raise Overdrawn(giver, balance)
        self.balances[giver] = balance - amount
        self.balances[taker] += amount
        return balance - amount

    @query
    def read(self) -> dict[str, int]:
        """All balances at one moment; empty before the bank is open."""
        return self.balances

    @query(errors=(NoSuchAccount,))
    def balance(self, account: str) -> int:
        """What one account holds."""
        if account not in self.balances:
            raise NoSuchAccount(account)
        return self.balances[account]
