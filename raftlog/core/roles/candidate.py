"""The two steps to an election: asking whether it could be won, and standing for it."""

from raftlog.core.ids import Micros, NodeId
from raftlog.core.message import (
    Message,
    NotAMember,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from raftlog.core.quorum import VoteResult
from raftlog.core.roles.ballot import answer_vote
from raftlog.core.roles.role import Ask, Change, Follow, Lead, Role, Stand
from raftlog.core.state import State


class PreCandidate(Role):
    """Asks the voters whether they would vote in the next term, without entering it (thesis 9.6).

    So a node that was cut off does not come back with a higher term and depose a healthy leader.
    """

    name = "pre-candidate"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._patience_ends = state.patience()
        self._ballots: dict[NodeId, bool] = {state.node: True}

    @property
    def deadline(self) -> Micros:
        """When it stops waiting for ballots."""
        return self._patience_ends

    def enter(self) -> Change | None:
        """Ask everyone whose vote may count."""
        state = self.state
        for voter in _others(state):
            state.send(PreVoteRequest(**state.head(voter), last=state.log.last))
        return self._count()

    def tick(self) -> Change | None:
        """Ask again after a while."""
        return Ask("pre-vote timed out") if self.state.now >= self._patience_ends else None

    def step(self, message: Message) -> Change | None:
        """Count the answers to this question only."""
        match message:
            case PreVoteResponse() if message.proposed_term == self.state.term + 1:
                self._ballots.setdefault(message.sender, message.granted)
                return self._count()
            case VoteRequest() if answer_vote(self.state, message, leading=False):
                return Follow(None, f"voted for {message.sender}")
            case NotAMember() if self.state.expel(message.decided):
                return Follow(None, f"is no member any more, says {message.sender}")
            case _:
                return None

    def _count(self) -> Change | None:
        match self.state.membership.quorum.vote(self._ballots.get):
            case VoteResult.WON:
                return Stand("a quorum would vote for it")
            case VoteResult.LOST:
                return Follow(None, "a quorum would not vote for it")
            case VoteResult.PENDING:
                return None


class Candidate(Role):
    """Stands for election in a term of its own.

    With `transfer` the leader of the term before has asked for it: its requests say so, in this one election.

    Invariants: every ballot counted is of this term and one per voter; its own counts once it is durable.
    """

    name = "candidate"

    def __init__(self, state: State, *, transfer: bool) -> None:
        super().__init__(state)
        self._transfer = transfer
        self._patience_ends = state.patience()
        self._ballots: dict[NodeId, bool] = {}

    @property
    def deadline(self) -> Micros:
        """When it stops waiting for ballots."""
        return self._patience_ends

    def enter(self) -> Change | None:
        """Enter the next term, vote for itself and ask for votes once both are on disk."""
        state = self.state
        state.adopt(state.term + 1)
        state.give_vote(state.node)
        for voter in _others(state):
            state.promise(VoteRequest(**state.head(voter), last=state.log.last, transfer=self._transfer))
        return None

    def tick(self) -> Change | None:
        """Start over with a pre-vote, but never while the vote is being written: terms would race ahead of the disk."""
        if self.state.now < self._patience_ends:
            return None
        if not self.state.vote_is_durable:
            self._patience_ends = self.state.patience()
            return None
        return Ask("election timed out")

    def step(self, message: Message) -> Change | None:
        """Count votes."""
        match message:
            case VoteResponse():
                self._ballots.setdefault(message.sender, message.granted)
                return self._count()
            case VoteRequest():
                answer_vote(self.state, message, leading=False)
                return None
            case _:
                return None

    def synced(self) -> Change | None:
        """Its own vote counts now."""
        if not self.state.vote_is_durable:
            return None
        self._ballots[self.state.node] = True
        return self._count()

    def _count(self) -> Change | None:
        match self.state.membership.quorum.vote(self._ballots.get):
            case VoteResult.WON:
                return Lead("won the election")
            case VoteResult.LOST:
                return Follow(None, "lost the election")
            case VoteResult.PENDING:
                return None


def _others(state: State) -> tuple[NodeId, ...]:
    return tuple(voter for voter in state.membership.quorum.voters if voter != state.node)
