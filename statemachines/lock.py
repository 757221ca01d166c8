"""Locks with leases and fencing tokens, and the resource that refuses whoever comes with an old token."""

from typing import Annotated

import msgspec

from raftlog import Context, Machine, MachineError, command, query

MAX_TTL = 24 * 3600 * 1000
"""Milliseconds of the longest lease."""
MAX_WAITING = 1000
"""How many may wait for one lock."""

Ttl = Annotated[int, msgspec.Meta(ge=1, le=MAX_TTL)]
Token = Annotated[int, msgspec.Meta(ge=1)]


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """Who holds a lock."""

    holder: str
    token: int
    """Greater than every token given before, of whatever lock of this machine."""
    ends: int
    """Log time at which it ends, in microseconds since 1970."""


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who wants a lock."""

    holder: str
    ttl: int
    """Milliseconds, from the moment at which the lock becomes theirs."""


class Lock(msgspec.Struct, frozen=True, array_like=True):
    """One lock. Invariant: where nobody holds it, nobody waits."""

    lease: Lease | None = None
    waiting: tuple[Waiting, ...] = ()


class Resource(msgspec.Struct, frozen=True, array_like=True):
    """What a lock guards."""

    token: int
    """The greatest that it was used with."""
    value: bytes


class Held(MachineError):
    """Somebody else holds the lock, or waits for it longer; nothing was changed."""

    holder: str
    ends: int
    """Log time at which the lease ends if it is not renewed, in microseconds since 1970."""


class Crowded(MachineError):
    """Too many wait for this lock; nothing was changed."""

    limit: int


class NotHeld(MachineError):
    """The lock is not held under this token, or not any more; nothing was changed."""

    token: int


class StaleToken(MachineError):
    """The resource was used with a greater token; nothing was changed."""

    newest: int


class NeverGiven(MachineError):
    """No lock was ever given under this token; nothing was changed."""

    token: int


class Locks(Machine):
    """Locks by name. A lock is held for a time, by the log's clock, and under a token.

    A holder that was paused does not know that its lease ended and that somebody else holds the lock. No lock can help
    that: what it guards must refuse old tokens, as `use` does. Whoever guards something elsewhere does the same there:
    remember the greatest token seen, refuse smaller ones.

    Nothing happens by itself: a lease that has ended is noticed by the next command about that lock, and who waits is
    given it then. The log's clock follows the wall clock of whoever leads: a new leader whose clock is ahead ends
    leases early. Nothing but the tokens is safe from that.

    Invariants: `issued` is the greatest token given; a token belongs to one lease; tokens of one lock grow.
    """

    locks: dict[str, Lock]
    resources: dict[str, Resource]
    issued: int = 0

    def __init__(self) -> None:
        self.locks = {}
        self.resources = {}

    @command(errors=(Held, Crowded))
    def acquire(self, context: Context, name: str, holder: str, ttl: Ttl, wait: bool = False) -> Lease | None:
        """Take a lock for `ttl` milliseconds. With `wait`, take a place in the queue where it is held, and answer None.

        `holder` is a name that nobody else uses. Whoever waits asks again, with the same arguments, until the answer is
        a lease. Whoever holds the lock already gets the same token and a lease from now on: asking twice is harmless.
        """
        lock, issued = self._at(name, context.log_time)
        lease = lock.lease
        if lease is None or lease.holder == holder:
            token = issued + 1 if lease is None else lease.token
            lease = Lease(holder, token, context.log_time + ttl * 1000)
            self._keep(name, Lock(lease, lock.waiting), max(issued, token))
            return lease
        if not wait:
            raise Held(lease.holder, lease.ends)
        waiting = lock.waiting
        if all(each.holder != holder for each in waiting):
            if len(waiting) >= MAX_WAITING:
                raise Crowded(MAX_WAITING)
            waiting = (*waiting, Waiting(holder, ttl))
        self._keep(name, Lock(lease, waiting), issued)
        return None

    @command(errors=(NotHeld,))
    def renew(self, context: Context, name: str, token: Token, ttl: Ttl) -> Lease:
        """Hold a lock for `ttl` milliseconds from now, under the same token."""
        lock, issued = self._at(name, context.log_time)
        lease = _held(lock, token)
        renewed = Lease(lease.holder, token, context.log_time + ttl * 1000)
        self._keep(name, Lock(renewed, lock.waiting), issued)
        return renewed

    @command(errors=(NotHeld,))
    def release(self, context: Context, name: str, token: Token) -> None:
        """Give a lock back; who waits longest has it from now on."""
        lock, issued = self._at(name, context.log_time)
        _held(lock, token)
        self._keep(name, *_passed_on(lock.waiting, context.log_time, issued))

    @command
    def leave(self, context: Context, name: str, holder: str) -> bool:
        """Stop waiting for a lock: whether `holder` was waiting."""
        lock, issued = self._at(name, context.log_time)
        staying = tuple(each for each in lock.waiting if each.holder != holder)
        self._keep(name, Lock(lock.lease, staying), issued)
        return len(staying) < len(lock.waiting)

    @command(errors=(StaleToken, NeverGiven))
    def use(self, name: str, token: Token, value: bytes) -> None:
        """Write what the lock `name` guards. It looks at the token alone, not at who holds the lock."""
        if token > self.issued:
            raise NeverGiven(token)
        resource = self.resources.get(name)
        if resource is not None and token < resource.token:
            raise StaleToken(resource.token)
        self.resources[name] = Resource(token, value)

    @query
    def look(self, name: str) -> Lock:
        """Who holds a lock and who waits, as the last command about it left it: the lease may have ended since."""
        return self.locks.get(name, _FREE)

    @query
    def resource(self, name: str) -> Resource | None:
        """What the lock guards, None if nobody used it yet."""
        return self.resources.get(name)

    def _at(self, name: str, time: int) -> tuple[Lock, int]:
        """The lock as it is at this log time, and the greatest token by then. Changes nothing: one may refuse."""
        lock = self.locks.get(name, _FREE)
        if lock.lease is None or time < lock.lease.ends:
            return lock, self.issued
        return _passed_on(lock.waiting, time, self.issued)

    def _keep(self, name: str, lock: Lock, issued: int) -> None:
        assert lock.lease is None or lock.lease.token <= issued, (
            f"{lock} was given, but {issued} is the greatest"
        )
        self.issued = issued
        if lock.lease is None:
            self.locks.pop(name, None)
        else:
            self.locks[name] = lock


_FREE = Lock()


def _held(lock: Lock, token: int) -> Lease:
    if lock.lease is None or lock.lease.token != token:
        raise NotHeld(token)
    return lock.lease


def _passed_on(waiting: tuple[Waiting, ...], time: int, issued: int) -> tuple[Lock, int]:
    """A lock that nobody holds any more goes to who waits longest, from `time` on."""
    if not waiting:
        return _FREE, issued
    first, *others = waiting
    return Lock(Lease(first.holder, issued + 1, time + first.ttl * 1000), tuple(others)), issued + 1
