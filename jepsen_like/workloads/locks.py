"""Locks with leases and fencing tokens: tokens grow, and what a lock guards refuses old ones."""

from collections.abc import Sequence
from random import Random

from jepsen_like.check import History, Value, check_fenced_lock
from jepsen_like.workloads.workload import Judged, Request, told
from raftlog import Client
from statemachines.lock import Held, Locks, NotHeld, StaleToken

TTL = 1_000
"""Milliseconds of a lease: short, so that paused holders come back too late."""


class FencedLocks:
    """See `Workload`. Each client takes a lock, uses it some times and gives it back, or forgets to."""

    machine = "statemachines.lock:Locks"

    def __init__(self, *, locks: int = 2) -> None:
        self._names = [f"k{number}" for number in range(locks)]
        self._held: dict[int, tuple[str, int]] = {}
        """By client: the lock and the token it was granted under."""
        self._asked = 0

    async def prepare(self, client: Client) -> None:
        """See `Workload.prepare`."""

    def next(self, random: Random, who: int) -> Request:
        """See `Workload.next`."""
        if who not in self._held:
            return Request("acquire", key=random.choice(self._names))
        name, token = self._held[who]
        chance = random.random()
        if chance < 0.7:
            return Request("use", token, name)
        del self._held[who]
        return Request("release", token, name) if chance < 0.9 else Request("acquire", key=name)

    async def perform(self, client: Client, request: Request, who: int) -> Value:
        """See `Workload.perform`. What was refused for its token answers False: it is no failure of the cluster."""
        match request.f:
            case "acquire":
                return await self._acquire(client, request, who)
            case "use":
                try:
                    await client.call(Locks.use, request.key, request.value, b"")
                except StaleToken:
                    self._held.pop(who, None)
                    return False
                return True
            case _:
                try:
                    await client.call(Locks.release, request.key, request.value)
                except NotHeld:
                    return False
                return True

    async def _acquire(self, client: Client, request: Request, who: int) -> Value:
        # A name for each grant: whoever asks again under its old name would get its old token again.
        self._asked += 1
        holder = f"{self._asked}"
        try:
            lease = await client.call(Locks.acquire, request.key, holder, TTL)
        except Held:
            return None
        assert lease is not None, "who does not wait is given the lock or refused"
        self._held[who] = (request.key, lease.token)
        return lease.token

    def last(self) -> Sequence[Request]:
        """See `Workload.last`."""
        return [Request("acquire", key=name) for name in self._names]

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        taken = (each for each in history if each.f != "use" or each.value is not False)
        return [told("fenced-lock", check_fenced_lock(taken, leases=True))]
