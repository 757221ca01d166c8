"""The queue against a plain list, its claims, and on a simulated cluster."""

from random import Random
from typing import Any

import pytest

from jepsen_like import SimulatedClient, simulate
from jepsen_like import check as checkers
from jepsen_like.check import check_total_queue
from raftlog import Context
from raftlog.core.ids import META_GROUP
from statemachines import queue
from statemachines.queue import Claim, Full, Item, NotClaimed, Queue
from tests.statemachines.beside import Refused, run_beside


class Plain:
    """Items in order, each with the claim it is under: (claim, end) or None."""

    def __init__(self) -> None:
        self.items: list[tuple[int, bytes, tuple[int, int] | None]] = []
        self.numbers = 0
        self.claims = 0

    def free(self, time: int) -> int | None:
        for place, (_, _, claim) in enumerate(self.items):
            if claim is None or claim[1] <= time:
                return place
        return None

    def notice(self, time: int) -> None:
        self.items = [
            (number, value, None if claim is not None and claim[1] <= time else claim)
            for number, value, claim in self.items
        ]

    def place(self, time: int, wanted: int) -> int:
        for place, (_, _, claim) in enumerate(self.items):
            if claim is not None and claim[0] == wanted and claim[1] > time:
                return place
        raise Refused("NotClaimed", wanted)

    def enqueue(self, time: int, value: bytes) -> int:
        self.numbers += 1
        self.items.append((self.numbers, value, None))
        return self.numbers

    def dequeue(self, time: int) -> Item | None:
        self.notice(time)
        place = self.free(time)
        return None if place is None else Item(*self.items.pop(place)[:2])

    def claim(self, time: int, ttl: int) -> Claim | None:
        self.notice(time)
        place = self.free(time)
        if place is None:
            return None
        self.claims += 1
        number, value, _ = self.items[place]
        self.items[place] = (number, value, (self.claims, time + ttl * 1000))
        return Claim(number, self.claims, time + ttl * 1000, value)

    def done(self, time: int, claim: int) -> None:
        del self.items[self.place(time, claim)]

    def put_back(self, time: int, claim: int) -> None:
        place = self.place(time, claim)
        self.items[place] = (*self.items[place][:2], None)

    def extend(self, time: int, claim: int, ttl: int) -> int:
        place = self.place(time, claim)
        self.items[place] = (*self.items[place][:2], (claim, time + ttl * 1000))
        return time + ttl * 1000

    def size(self, time: int) -> int:
        return len(self.items)

    def claimed(self, time: int) -> int:
        return sum(claim is not None for _, _, claim in self.items)


def drawn_from(model: Plain, random: Random) -> tuple[str, tuple[Any, ...]]:
    ttl = random.randint(1, 8)
    claim = max(0, model.claims - random.randrange(4))
    return random.choice(
        (
            ("enqueue", (b"%d" % random.randrange(1000),)),
            ("enqueue", (b"",)),
            ("dequeue", ()),
            ("claim", (ttl,)),
            ("claim", (ttl,)),
            ("done", (claim,)),
            ("put_back", (claim,)),
            ("extend", (claim, ttl)),
            ("size", ()),
            ("claimed", ()),
        )
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_queue_does_what_a_list_does(seed: int) -> None:
    model = Plain()
    run_beside(Queue, model, lambda random: drawn_from(model, random), seed, tick=1000)


def at(milliseconds: float) -> Context:
    return Context(group=META_GROUP, log_time=round(milliseconds * 1000))


def test_what_was_claimed_comes_back_in_front_and_the_late_worker_is_told() -> None:
    machine = Queue()
    for value in (b"a", b"b"):
        machine.enqueue(value)
    assert machine.claim(at(0), 10) == Claim(1, 1, 10_000, b"a")
    assert machine.claim(at(9), 10) == Claim(2, 2, 19_000, b"b")
    assert machine.claim(at(9), 10) is None
    assert machine.claim(at(10), 10) == Claim(1, 3, 20_000, b"a")
    with pytest.raises(NotClaimed):
        machine.done(at(11), 1)
    machine.done(at(19.999), 3)
    assert machine.dequeue(at(19)) == Item(2, b"b")
    assert machine.size() == 0
    with pytest.raises(NotClaimed):
        machine.done(at(19), 2)


def test_a_full_queue_refuses_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_ITEMS", 1)
    machine = Queue()
    assert machine.enqueue(b"") == 1
    with pytest.raises(Full):
        machine.enqueue(b"")
    machine.claim(at(0), 1)
    with pytest.raises(Full):
        machine.enqueue(b"")
    assert machine.dequeue(at(1)) == Item(1, b"")
    assert machine.enqueue(b"") == 2


def test_a_claim_that_is_extended_for_ever_leaves_no_trail() -> None:
    machine = Queue()
    machine.enqueue(b"")
    claim = machine.claim(at(0), queue.MAX_TTL)
    assert claim is not None
    for time in range(1000):
        machine.extend(at(time), claim.claim, queue.MAX_TTL)
    assert len(machine._ending) <= 66
    assert machine.dequeue(at(999 + queue.MAX_TTL)) == Item(1, b"")


def test_large_values_are_snapshotted_in_chunks() -> None:
    machine = Queue()
    for number in range(10):
        machine.enqueue(bytes([number]) * 100_000)
    machine.claim(at(0), 10)
    view = machine.capture()
    machine.dequeue(at(0))
    chunks = list(machine.write(view))
    assert max(map(len, chunks)) < 400_000
    again = Queue()
    again.restore(chunks, 1)
    assert list(again.write(again.capture())) == chunks
    assert again.dequeue(at(9)) == Item(2, b"\x01" * 100_000)
    assert again.dequeue(at(10)) == Item(1, b"\x00" * 100_000)


async def enqueue(client: SimulatedClient, random: Random) -> None:
    value = f"{client.name} {random.getrandbits(64)}".encode()
    with client.operation("enqueue", value):
        await client.call(Queue.enqueue, value)


async def dequeue(client: SimulatedClient) -> bytes | None:
    with client.operation("dequeue") as operation:
        item = await client.call(Queue.dequeue)
        operation.answer(item.value if item is not None else None)
    return None if item is None else item.value


async def drain(client: SimulatedClient) -> None:
    while await dequeue(client) is not None:
        pass


def test_the_queue_is_first_in_first_out_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        if random.random() < 0.5:
            await enqueue(client, random)
        else:
            await dequeue(client)

    simulate(Queue, workload, seeds=[1, 2], span="5s", model=checkers.Queue)


def test_nothing_is_lost_or_delivered_twice_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        if random.random() < 0.6:
            await enqueue(client, random)
        else:
            await dequeue(client)

    simulate(Queue, workload, seeds=[1, 2], span="5s", afterwards=drain, check=check_total_queue)


def test_claims_deliver_at_least_once_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        if random.random() < 0.5:
            await enqueue(client, random)
            return
        with client.operation("dequeue") as operation:
            claim = await client.call(Queue.claim, 300)
            operation.answer(None if claim is None else claim.value)
        if claim is not None:
            await client.sleep(random.random() * 0.4)
            await client.call(Queue.done, claim.claim)

    async def wait_and_drain(client: SimulatedClient) -> None:
        await client.sleep(1)
        await drain(client)

    simulate(
        Queue,
        workload,
        seeds=[1, 2],
        span="5s",
        record=[],
        afterwards=wait_and_drain,
        check=lambda history: check_total_queue(history, at_least_once=True),
    )
