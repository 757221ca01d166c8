"""The growing set against a plain list, its limits, and on a simulated cluster."""

from random import Random
from typing import Any

import pytest

from jepsen_like import SimulatedClient, simulate
from jepsen_like.check import check_set_full
from statemachines import sets
from statemachines.sets import ElementTooLong, GrowSet, TooLarge
from tests.statemachines.beside import Refused, run_beside


class Plain:
    def __init__(self) -> None:
        self.elements: list[str] = []

    def add(self, time: int, element: str) -> bool:
        if len(element.encode()) > 1024:
            raise Refused("ElementTooLong", len(element.encode()), 1024)
        if element in self.elements:
            return False
        self.elements.append(element)
        return True

    def read(self, time: int) -> tuple[str, ...]:
        return tuple(self.elements)

    def since(self, time: int, position: int, limit: int) -> tuple[str, ...]:
        return tuple(self.elements)[position : position + limit]

    def contains(self, time: int, element: str) -> bool:
        return element in self.elements

    def count(self, time: int) -> int:
        return len(self.elements)


def draw(random: Random) -> tuple[str, tuple[Any, ...]]:
    element = random.choice((f"e{random.randrange(60)}", "", "\N{GRINNING FACE}" * random.choice((256, 257))))
    return random.choice(
        (
            ("add", (element,)),
            ("add", (element,)),
            ("read", ()),
            ("since", (random.randrange(70), random.randint(1, 9))),
            ("contains", (element,)),
            ("count", ()),
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_set_does_what_a_list_does(seed: int) -> None:
    run_beside(GrowSet, Plain(), draw, seed)


def test_a_large_set_is_snapshotted_in_chunks_and_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    grown = GrowSet()
    for number in range(10_000):
        assert grown.add(f"{number}")
    chunks = list(grown.write(grown.capture()))
    assert len(chunks) == 3
    again = GrowSet()
    again.restore(chunks, 1)
    assert again.read() == grown.read()
    assert not again.add("9999")
    monkeypatch.setattr(sets, "READ_BYTES", 88_000)
    with pytest.raises(TooLarge) as raised:
        again.read()
    assert raised.value.elements == 10_000
    seen: list[str] = []
    while page := again.since(len(seen)):
        seen += page
    assert seen == [f"{number}" for number in range(10_000)]


def test_an_element_is_measured_in_bytes() -> None:
    with pytest.raises(ElementTooLong) as raised:
        GrowSet().add("\N{GRINNING FACE}" * 257)
    assert (raised.value.size, raised.value.limit) == (1028, 1024)


def test_nothing_that_was_added_is_lost_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        if random.random() < 0.2:
            await client.call(GrowSet.read)
        else:
            await client.call(GrowSet.add, f"{random.getrandbits(64)}")

    async def read(client: SimulatedClient) -> None:
        await client.call(GrowSet.read)

    simulate(
        GrowSet,
        workload,
        seeds=[1],
        span="5s",
        afterwards=read,
        check=lambda history: check_set_full(history, linearizable=True),
    )
