"""Registers against a plain dict, and on a simulated cluster."""

from random import Random
from typing import Any

import pytest

from jepsen_like import SimulatedClient, simulate
from jepsen_like.check import KeyValue
from statemachines.register import Registers
from tests.statemachines.beside import run_beside

NAMES = ("a", "b", "")


class Plain:
    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def put(self, time: int, name: str, value: int) -> None:
        self.held[name] = value

    def cas(self, time: int, name: str, expected: int | None, value: int) -> bool:
        if self.held.get(name) == expected:
            self.held[name] = value
            return True
        return False

    def get(self, time: int, name: str) -> int | None:
        return self.held.get(name)


def draw(random: Random) -> tuple[str, tuple[Any, ...]]:
    name, value = random.choice(NAMES), random.choice((0, 1, -1, 2**63 - 1))
    match random.randrange(3):
        case 0:
            return "put", (name, value)
        case 1:
            return "cas", (name, random.choice((None, 0, 1)), value)
        case _:
            return "get", (name,)


@pytest.mark.parametrize("seed", range(3))
def test_registers_do_what_a_dict_does(seed: int) -> None:
    run_beside(Registers, Plain(), draw, seed)


def test_registers_are_linearizable_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        name, value = random.choice("ab"), random.randrange(5)
        match random.randrange(3):
            case 0:
                with client.operation("get", (name,)) as operation:
                    operation.answer(await client.call(Registers.get, name))
            case 1:
                await client.call(Registers.put, name, value)
            case _:
                await client.call(Registers.cas, name, random.randrange(5), value)

    simulate(Registers, workload, seeds=[1], span="5s", model=KeyValue)
