"""Callers that each own a counter, and the account of what they were told."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from random import Random

from raftlog.client import Client
from raftlog.machine.calls import CallFailed, CallUnknown
from tests.simulation.tally import Tally


@dataclass(slots=True)
class Account:
    """One counter's history, as its only writer knows it.

    Invariants: `least` is what was acknowledged; `most` adds what may have happened. Exactly-once means that a
    counter is never below one nor above the other, and that an acknowledged addition returns a value between them.
    """

    name: str
    least: int = 0
    most: int = 0
    acknowledged: int = 0
    unknown: int = 0
    failed: int = 0
    reads: int = 0
    wrong: list[str] = field(default_factory=list)

    def added(self, value: int) -> None:
        """One more was acknowledged, counted in `most` when it was sent."""
        self.acknowledged += 1
        if not self.least < value <= self.most:
            self.wrong.append(f"{self.name} became {value}, expected {self.least + 1} to {self.most}")
        self.least = value

    def saw(self, value: int, least: int) -> None:
        """A linearizable read that began when `least` was acknowledged returned a value."""
        self.reads += 1
        if not least <= value <= self.most:
            self.wrong.append(f"{self.name} read as {value}, expected {least} to {self.most}")


async def write(client: Client, account: Account, random: Random, until: float) -> None:
    """Add one, again and again."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        account.most += 1
        try:
            value = await client.call(Tally.add, account.name, 1)
        except CallFailed:
            account.failed += 1
            account.most -= 1
        except CallUnknown:
            account.unknown += 1
        else:
            account.added(value)
        await asyncio.sleep(random.uniform(0.0, 0.05))


async def read(client: Client, accounts: list[Account], random: Random, until: float) -> None:
    """Read any counter, again and again."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        account = random.choice(accounts)
        least = account.least
        with contextlib.suppress(CallFailed, CallUnknown):
            account.saw(await client.call(Tally.read, account.name), least)
        await asyncio.sleep(random.uniform(0.0, 0.05))
