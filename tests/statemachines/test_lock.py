"""Locks against a plain simulation of them, their corners, and on a simulated cluster."""

import contextlib
from random import Random
from typing import Any

import pytest

from jepsen_like import SimulatedClient, simulate
from jepsen_like.check import check_fenced_lock
from raftlog import CallUnknown, Context
from raftlog.core.ids import META_GROUP
from statemachines import lock
from statemachines.lock import Crowded, Held, Lease, Locks, NeverGiven, NotHeld, Resource, StaleToken
from tests.statemachines.beside import Refused, run_beside

NAMES, HOLDERS = ("a", "b"), ("ann", "bob", "eve")


class Plain:
    """Per lock: [holder, token, end] or None, a list of [holder, ttl], and [token, value] of the resource."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self.queues: dict[str, list[tuple[str, int]]] = {name: [] for name in NAMES}
        self.things: dict[str, Resource] = {}
        self.tokens = 0

    def now(self, time: int, name: str) -> None:
        if name in self.leases and time >= self.leases[name].ends:
            del self.leases[name]
            self.next(time, name)

    def next(self, time: int, name: str) -> None:
        if self.queues[name]:
            holder, ttl = self.queues[name].pop(0)
            self.give(time, name, holder, ttl)

    def give(self, time: int, name: str, holder: str, ttl: int) -> Lease:
        self.tokens += 1
        self.leases[name] = Lease(holder, self.tokens, time + ttl * 1000)
        return self.leases[name]

    def acquire(self, time: int, name: str, holder: str, ttl: int, wait: bool) -> Lease | None:
        lease = self.leases.get(name)
        over = lease is not None and time >= lease.ends
        if lease is not None and over and not wait:
            # A refusal changes nothing, so an ended lease is put aside only if the caller gets something.
            if self.queues[name] and self.queues[name][0][0] != holder:
                first, its = self.queues[name][0]
                raise Refused("Held", first, time + its * 1000)
        self.now(time, name)
        lease = self.leases.get(name)
        if lease is None:
            return self.give(time, name, holder, ttl)
        if lease.holder == holder:
            self.leases[name] = Lease(holder, lease.token, time + ttl * 1000)
            return self.leases[name]
        if not wait:
            raise Refused("Held", lease.holder, lease.ends)
        if holder not in [each for each, _ in self.queues[name]]:
            self.queues[name].append((holder, ttl))
        return None

    def held(self, time: int, name: str, token: int) -> Lease:
        lease = self.leases.get(name)
        if lease is not None and time < lease.ends and lease.token == token:
            return lease
        if lease is not None and time >= lease.ends and self.queues[name] and token == self.tokens + 1:
            self.now(time, name)  # the token that the next in line is given by this very command
            return self.leases[name]
        raise Refused("NotHeld", token)

    def renew(self, time: int, name: str, token: int, ttl: int) -> Lease:
        lease = self.held(time, name, token)
        self.leases[name] = Lease(lease.holder, token, time + ttl * 1000)
        return self.leases[name]

    def release(self, time: int, name: str, token: int) -> None:
        self.held(time, name, token)
        del self.leases[name]
        self.next(time, name)

    def leave(self, time: int, name: str, holder: str) -> bool:
        self.now(time, name)
        before = len(self.queues[name])
        self.queues[name] = [each for each in self.queues[name] if each[0] != holder]
        return len(self.queues[name]) < before

    def use(self, time: int, name: str, token: int, value: bytes) -> None:
        if token > self.tokens:
            raise Refused("NeverGiven", token)
        if name in self.things and token < self.things[name].token:
            raise Refused("StaleToken", self.things[name].token)
        self.things[name] = Resource(token, value)

    def resource(self, time: int, name: str) -> Resource | None:
        return self.things.get(name)

    def look(self, time: int, name: str) -> lock.Lock:
        waiting = tuple(lock.Waiting(*each) for each in self.queues[name])
        return lock.Lock(self.leases.get(name), waiting)


def drawn_from(model: Plain, random: Random) -> tuple[str, tuple[Any, ...]]:
    name, holder, ttl = random.choice(NAMES), random.choice(HOLDERS), random.randint(1, 5)
    token = max(1, model.tokens + random.choice((-2, -1, 0, 0, 0, 1)))
    return random.choice(
        (
            ("acquire", (name, holder, ttl, random.random() < 0.6)),
            ("acquire", (name, holder, ttl, random.random() < 0.6)),
            ("renew", (name, token, ttl)),
            ("release", (name, token)),
            ("leave", (name, holder)),
            ("use", (name, token, holder.encode())),
            ("look", (name,)),
            ("resource", (name,)),
        )
    )


@pytest.mark.parametrize("seed", range(6))
def test_locks_do_what_a_plain_simulation_does(seed: int) -> None:
    model = Plain()
    run_beside(Locks, model, lambda random: drawn_from(model, random), seed, tick=1000)


def at(milliseconds: float) -> Context:
    return Context(group=META_GROUP, log_time=round(milliseconds * 1000))


def test_a_lock_is_refused_or_waited_for_and_passed_on_in_order() -> None:
    locks = Locks()
    first = locks.acquire(at(0), "l", "ann", 10)
    assert first == Lease("ann", 1, 10_000)
    with pytest.raises(Held) as raised:
        locks.acquire(at(1), "l", "bob", 10)
    assert (raised.value.holder, raised.value.ends) == ("ann", 10_000)
    assert locks.acquire(at(2), "l", "bob", 10, wait=True) is None
    assert locks.acquire(at(3), "l", "eve", 20, wait=True) is None
    assert locks.acquire(at(3), "l", "bob", 10, wait=True) is None
    locks.release(at(4), "l", 1)
    assert locks.acquire(at(5), "l", "eve", 20, wait=True) is None
    assert locks.acquire(at(5), "l", "bob", 10, wait=True) == Lease("bob", 2, 15_000)
    assert locks.acquire(at(14), "l", "bob", 10) == Lease("bob", 2, 24_000)
    assert locks.acquire(at(24), "l", "eve", 20, wait=True) == Lease("eve", 3, 44_000)
    locks.release(at(25), "l", 3)
    assert locks.look("l") == lock.Lock()
    assert locks.locks == {}


def test_a_lease_that_ended_is_over_and_its_token_stale_once_a_newer_was_used() -> None:
    locks = Locks()
    locks.acquire(at(0), "l", "ann", 10)
    locks.use("l", 1, b"ann")
    with pytest.raises(NotHeld):
        locks.renew(at(10), "l", 1, 10)
    assert locks.acquire(at(10), "l", "bob", 10) == Lease("bob", 2, 20_000)
    locks.use("l", 1, b"nobody was there yet")
    locks.use("l", 2, b"bob")
    with pytest.raises(StaleToken) as raised:
        locks.use("l", 1, b"ann woke up")
    assert raised.value.newest == 2
    with pytest.raises(NeverGiven):
        locks.use("l", 3, b"guessed")
    assert locks.resource("l") == Resource(2, b"bob")


def test_a_refusal_leaves_an_ended_lease_and_who_waits_as_they_were() -> None:
    locks = Locks()
    locks.acquire(at(0), "l", "ann", 10)
    locks.acquire(at(1), "l", "bob", 10, wait=True)
    before = locks.capture()
    with pytest.raises(Held) as raised:
        locks.acquire(at(12), "l", "eve", 10)
    assert raised.value.holder == "bob"
    with pytest.raises(NotHeld):
        locks.release(at(12), "l", 1)
    assert locks.capture() == before
    assert locks.issued == 1


def test_as_many_may_wait_as_the_limit_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "MAX_WAITING", 2)
    locks = Locks()
    for holder in ("a", "b", "c"):
        locks.acquire(at(0), "l", holder, 10, wait=True)
    with pytest.raises(Crowded):
        locks.acquire(at(1), "l", "d", 10, wait=True)
    assert locks.leave(at(1), "l", "b")
    assert not locks.leave(at(1), "l", "b")
    assert locks.acquire(at(1), "l", "d", 10, wait=True) is None


async def work(client: SimulatedClient, random: Random, ttl: int, wait: bool) -> None:
    """Take the lock, use what it guards, give the lock back; ask again where nobody knows whether it happened."""
    with client.operation("acquire") as operation:
        lease = await client.call(Locks.acquire, "l", client.name, ttl, wait)
        for _ in range(50):
            if lease is not None:
                break
            await client.sleep(0.1)
            lease = await client.call(Locks.acquire, "l", client.name, ttl, wait)
        operation.answer(None if lease is None else lease.token)
    if lease is None:
        return
    for _ in range(random.randrange(3)):
        await client.sleep(random.random() * 0.3)
        with client.operation("use", lease.token):
            await client.call(Locks.use, "l", lease.token, client.name.encode())
    with client.operation("release", lease.token):
        while True:
            with contextlib.suppress(CallUnknown):
                await client.call(Locks.release, "l", lease.token)
                return


def test_tokens_protect_when_leases_end_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        await work(client, random, ttl=150, wait=random.random() < 0.5)

    simulate(
        Locks,
        workload,
        seeds=[1, 2],
        span="6s",
        record=[],
        check=lambda history: check_fenced_lock(history, leases=True),
    )


def test_no_two_hold_a_lock_whose_lease_does_not_end_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        await work(client, random, ttl=3_600_000, wait=True)

    simulate(
        Locks,
        workload,
        seeds=[3],
        span="6s",
        faults=("crash", "partition"),
        record=[],
        check=check_fenced_lock,
    )
