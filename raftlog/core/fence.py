"""Whether a node's state may be shown, and what it takes to replace one that may not."""

from dataclasses import dataclass

from raftlog.core.digests import Difference
from raftlog.core.ids import Index, Micros


@dataclass(slots=True)
class Fence:
    """What a node knows of its own state machine from comparing digests.

    A fenced node has a state that a quorum contradicts. It follows, votes and acknowledges entries, for its log is
    sound; but it neither leads nor campaigns nor answers a query. It gets the state of a snapshot from its leader,
    applies from there on what is in its log, and is let out once a later digest agrees with a quorum's.

    Invariants: who is fenced wants a state or has got one; it is let out only by a digest after `restored_at`.
    """

    reason: str = ""
    """Why it is fenced, for people; empty: it is not."""
    wants_state: bool = False
    """Its state is to be replaced: it is wrong, or it is lost."""
    restored_at: Index = 0
    """Where the state stood that has last come from a peer."""
    agreed: Index = 0
    """Up to here a quorum has the same state."""
    differs: Difference | None = None
    """From its leader's, and nobody knows yet who is right."""
    ask_at: Micros = 0
    """When to ask for a state again."""

    @property
    def up(self) -> bool:
        """Whether it is fenced."""
        return bool(self.reason)

    @property
    def lets_lead(self) -> bool:
        """Whether there is a state that may be shown."""
        return not self.up and not self.wants_state

    def range_to(self, last: Index) -> tuple[Index, Index]:
        """The entries among which the first one is whose effect differs, when the digests at `last` do."""
        return min(self.agreed, last - 1) + 1, last
