"""Majorities of one voter set, and of two at once while a membership change is joint."""

from collections.abc import Callable, Iterable
from enum import Enum

import msgspec

from raftlog.core.ids import Index, NodeId


class VoteResult(Enum):
    """What the ballots so far say: `PENDING` means neither side can be certain yet."""

    WON = "won"
    LOST = "lost"
    PENDING = "pending"


class Majority(msgspec.Struct, frozen=True):
    """More than half of a set of voters. An empty set agrees to everything: it is the absent half of a `Quorum`."""

    voters: tuple[NodeId, ...]

    @property
    def size(self) -> int:
        """How many voters make a majority."""
        return len(self.voters) // 2 + 1

    def committed(self, match: Callable[[NodeId], Index]) -> Index | None:
        """The highest index that a majority has reached, or None when there is no voter to ask."""
        if not self.voters:
            return None
        return sorted(map(match, self.voters), reverse=True)[self.size - 1]

    def vote(self, granted: Callable[[NodeId], bool | None]) -> VoteResult:
        """Count ballots; None is a voter not heard from. Each voter is asked once, so a ballot never counts twice."""
        if not self.voters:
            return VoteResult.WON
        ballots = [granted(voter) for voter in self.voters]
        if ballots.count(True) >= self.size:
            return VoteResult.WON
        if ballots.count(True) + ballots.count(None) >= self.size:
            return VoteResult.PENDING
        return VoteResult.LOST


class Quorum(msgspec.Struct, frozen=True):
    """The agreement a decision needs: a majority of `incoming` and, while joint, also one of `outgoing`.

    Never a majority of the union: with incoming {1} and outgoing {1, 2, 3} the nodes 2 and 3 are a majority of the
    union, and both 1 alone and {2, 3} could then decide.
    """

    incoming: Majority
    outgoing: Majority

    @staticmethod
    def of(incoming: Iterable[NodeId], outgoing: Iterable[NodeId] = ()) -> "Quorum":
        """A quorum over voter ids in any order."""
        return Quorum(Majority(tuple(sorted(incoming))), Majority(tuple(sorted(outgoing))))

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """Everyone whose agreement may count, sorted."""
        return tuple(sorted({*self.incoming.voters, *self.outgoing.voters}))

    def committed(self, match: Callable[[NodeId], Index]) -> Index:
        """The highest index that every needed majority has reached; 0 when nobody votes."""
        reached = [self.incoming.committed(match), self.outgoing.committed(match)]
        return min((index for index in reached if index is not None), default=0)

    def vote(self, granted: Callable[[NodeId], bool | None]) -> VoteResult:
        """Won when every half is won, lost as soon as one is lost. Nobody wins where nobody votes."""
        if not self.voters:
            return VoteResult.LOST
        halves = (self.incoming.vote(granted), self.outgoing.vote(granted))
        if VoteResult.LOST in halves:
            return VoteResult.LOST
        return VoteResult.PENDING if VoteResult.PENDING in halves else VoteResult.WON

    def agrees(self, yes: Callable[[NodeId], bool]) -> bool:
        """Whether the voters that say yes are enough; silence is a no."""
        return self.vote(yes) is VoteResult.WON
