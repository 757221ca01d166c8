"""What the roles have in common: the events they answer, and the changes of role they may ask for."""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from raftlog.core.change import Change as MembershipChange
from raftlog.core.entry import Entry
from raftlog.core.ids import Index, Micros, NodeId, RequestId
from raftlog.core.membership import Member
from raftlog.core.message import Message
from raftlog.core.ready import (
    ChangeProposal,
    Missing,
    NotLeader,
    Proposal,
    ReadRefused,
    TransferAnswer,
)
from raftlog.core.state import State


class Follow(msgspec.Struct, frozen=True):
    """Become a follower of `leader`, or of nobody yet."""

    leader: NodeId | None
    reason: str


class Ask(msgspec.Struct, frozen=True):
    """Become a pre-candidate: ask whether an election could be won."""

    reason: str


class Stand(msgspec.Struct, frozen=True):
    """Become a candidate in the next term; with `transfer`, because its leader hands over."""

    reason: str
    transfer: bool = False


class Lead(msgspec.Struct, frozen=True):
    """Become the leader of the current term."""

    reason: str


Change: TypeAlias = Follow | Ask | Stand | Lead


class Role:
    """Answers to every input, with what a role does that has no part in it.

    A role never changes itself into another: it returns a `Change`, which the facade carries out. `step` is given
    messages of the node's own term only; a `PreVoteResponse` may come from a lower one, since asking raises no term.
    """

    name = "role"

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def deadline(self) -> Micros:
        """When `tick` has something to do."""
        raise NotImplementedError

    @property
    def leader(self) -> NodeId | None:
        """The leader of the current term, where it is known."""
        return None

    def enter(self) -> Change | None:
        """Begin; called once."""
        return None

    def leave(self) -> None:
        """Settle what only this role could answer; called once."""

    def tick(self) -> Change | None:
        """The deadline has passed."""
        return None

    def step(self, message: Message) -> Change | None:
        """A message of the current term."""
        return None

    def synced(self) -> Change | None:
        """Storage has completed a write."""
        return None

    def propose(self, payload: bytes) -> Proposal:
        """Append an entry with commands, where this role may."""
        return NotLeader(self.leader)

    def propose_membership(
        self, changes: Sequence[MembershipChange], expected: Index | None, *, force: bool
    ) -> ChangeProposal:
        """Begin a change of the membership, where this role may."""
        return NotLeader(self.leader)

    def transfer(self, target: NodeId | None) -> TransferAnswer:
        """Hand over, where there is something to hand over."""
        return NotLeader(self.leader)

    def read_index(self, id: RequestId) -> None:
        """Find out from which index on a linearizable read may be answered."""
        self.state.outbox.reads.append(ReadRefused(id, self.leader))

    def loaded(self, peer: NodeId, first: Index, entries: tuple[Entry, ...] | Missing) -> Change | None:
        """Entries asked for with a `Load`."""
        return None

    def applied(self, index: Index) -> None:
        """The state machine has got this far."""

    @property
    def departing(self) -> tuple[Member, ...]:
        """Who is removed and has yet to be told."""
        return ()

    @property
    def transferring(self) -> NodeId | None:
        """To whom it is handing over."""
        return None

    @property
    def needed_from(self) -> Index:
        """The first index that another node may still ask this one for."""
        return self.state.committed + 1

    def prepare(self) -> None:
        """A `Ready` is about to be made: send what has gathered."""

    @property
    def pending(self) -> bool:
        """Whether `prepare` has something to do."""
        return False
