"""What is remembered of a state machine's running digest, so that two replicas can compare theirs at one index."""

import msgspec

from raftlog.core.ids import Index, NodeId

EVERY = 64
"""Every so many indexes a digest is remembered for long: on all nodes at the same ones."""
LONG = 128
"""How many of those are kept: 8,192 entries back."""
RECENT = 128
"""Of so many of the last indexes each one is kept: a quiet group may not reach the next of the others for days."""


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """The running digest (u64) of a state machine that has applied everything up to `index`."""

    index: Index
    digest: int


class Difference(msgspec.Struct, frozen=True):
    """The state here and that of another node are not the same."""

    peer: NodeId
    first: Index
    """The first entry that may have made them differ: up to the one before they were equal, as far as is known."""
    last: Index
    """After this one they differ."""


class Digests:
    """Digests by index, of one history: they are dropped when the state is replaced by another.

    A running digest that differs once differs for ever, and two that are equal have been equal all along: so comparing
    now and then, at any index that both have, misses nothing.

    Invariants: at most `RECENT + LONG` are kept; indexes only grow.
    """

    __slots__ = ("_long", "_recent", "latest")

    def __init__(self) -> None:
        self.latest: Checkpoint | None = None
        """The newest one."""
        self._recent: dict[Index, int] = {}
        self._long: dict[Index, int] = {}

    def note(self, index: Index, digest: int) -> None:
        """The state machine has got this far."""
        if index == 0 or (self.latest is not None and index <= self.latest.index):
            return
        self.latest = Checkpoint(index, digest)
        self._keep(self._recent, RECENT)
        if index % EVERY == 0:
            self._keep(self._long, LONG)

    def _keep(self, where: dict[Index, int], most: int) -> None:
        assert self.latest is not None, "nothing was noted"
        where[self.latest.index] = self.latest.digest
        if len(where) > most:
            del where[next(iter(where))]

    def at(self, index: Index) -> int | None:
        """The digest there, if it is still known."""
        found = self._recent.get(index)
        return self._long.get(index) if found is None else found

    def checkpoint(self, index: Index) -> Checkpoint | None:
        """The same, as others are told."""
        digest = self.at(index)
        return None if digest is None else Checkpoint(index, digest)

    def aligned(self, limit: Index) -> Checkpoint | None:
        """The newest one at or before `limit` that every node keeps for long."""
        return self.checkpoint(limit // EVERY * EVERY)

    def clear(self) -> None:
        """The state has been replaced."""
        self.latest = None
        self._recent.clear()
        self._long.clear()

    def copy(self) -> "Digests":
        """One that changes by itself."""
        twin = Digests()
        twin.latest, twin._recent, twin._long = self.latest, dict(self._recent), dict(self._long)
        return twin
