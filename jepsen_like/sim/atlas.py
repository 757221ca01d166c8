"""The fault atlas: which nodes have lost what they promised to keep, and whether one more may.

Raft's promise is that what is decided survives as long as a majority of the voters keep their disks. A nemesis that
destroys more proves nothing when data is lost. Source: TigerBeetle's ClusterFaultAtlas (`src/testing/storage.zig`).
"""

from collections.abc import Iterable


class Atlas:
    """Counts the disks that are not intact.

    An entry is decided on a majority, so any majority of intact disks holds it on at least one; elections among
    them find that one. Learners' copies are not counted on, so theirs may always go.

    Invariants: at most `budget` voters are destroyed at a time; a node that is destroyed cannot be destroyed again
    before it is repaired.
    """

    def __init__(self, voters: Iterable[str], learners: Iterable[str] = ()) -> None:
        self._voters = frozenset(voters)
        self._learners = frozenset(learners)
        self._destroyed: set[str] = set()
        self.halves: list[frozenset[str]] = [self._voters]
        """Of each of these sets a majority keeps its disks; more than one while the voters change."""

    @property
    def budget(self) -> int:
        """How many voters' disks may be gone at a time: less than half."""
        return (len(self._voters) - 1) // 2

    @property
    def destroyed(self) -> tuple[str, ...]:
        """Nodes whose disks are not intact, sorted."""
        return tuple(sorted(self._destroyed))

    @property
    def intact(self) -> tuple[str, ...]:
        """Voters whose disks are intact, sorted: always a majority."""
        return tuple(sorted(self._voters - self._destroyed))

    def claim(self, node: str) -> bool:
        """Ask to destroy what `node` has on disk; True marks it destroyed, False forbids it: skip the fault."""
        assert node in self._voters or node in self._learners, f"{node} is not of this cluster"
        if node in self._destroyed or not self._affords(node):
            return False
        self._destroyed.add(node)
        return True

    def repaired(self, node: str) -> None:
        """`node` holds again all that it ever promised to keep, or the damage turned out to have hit nothing."""
        self._destroyed.discard(node)

    def _affords(self, node: str) -> bool:
        return all(len(self._destroyed & half) < (len(half) - 1) // 2 for half in self.halves if node in half)

    def keeps(self, halves: Iterable[frozenset[str]]) -> bool:
        """Whether most of each of these sets still have their disks."""
        return all(2 * len(half - self._destroyed) > len(half) for half in halves)
