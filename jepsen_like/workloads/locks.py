"""Locks with leases and fencing tokens: tokens grow, and what a lock guards refuses old ones."""

from collections.abc import Iterable, Sequence
from random import Random

from jepsen_like.check import History, Value, check_fenced_lock
from jepsen_like.workloads.workload import Judged, Request, told
from raftlog import Client, encode_call
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

    def first(self) -> Iterable[Request]:
        """See `Workload.first`."""
        return ()

    def next(self, random: Random, who: int) -> Request:
        """See `Workload.next`."""
        if who not in self._held:
            return self._acquires(random.choice(self._names))
        name, token = self._held[who]
        chance = random.random()
        if chance < 0.7:
            return Request("use", token, name)
        del self._held[who]
        return Request("release", token, name) if chance < 0.9 else self._acquires(name)

    def _acquires(self, name: str) -> Request:
        """Under a name of its own: whoever asks again under an old one would get its old token again."""
        self._asked += 1
        return Request("acquire", f"{self._asked}", name)

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
        try:
            lease = await client.call(Locks.acquire, request.key, request.value, TTL)
        except Held:
            return None
        assert lease is not None, "who does not wait is given the lock or refused"
        self._held[who] = (request.key, lease.token)
        return lease.token

    def command(self, request: Request) -> bytes | None:
        """See `Workload.command`."""
        match request.f:
            case "acquire":
                return encode_call(Locks.acquire, request.key, request.value, TTL)
            case "use":
                return encode_call(Locks.use, request.key, request.value, b"")
            case _:
                return encode_call(Locks.release, request.key, request.value)

    def last(self) -> Iterable[Request]:
        """See `Workload.last`."""
        return [self._acquires(name) for name in self._names]

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        taken = (each for each in history if each.f != "use" or each.value is not False)
        return [told("fenced-lock", check_fenced_lock(taken, leases=True))]
