"""How a node answers those who ask for its vote; the same in every role."""

from raftlog.core.ids import EntryId, NodeId
from raftlog.core.message import NotAMember, PreVoteRequest, PreVoteResponse, VoteRequest, VoteResponse
from raftlog.core.state import State


def answer_pre_vote(state: State, message: PreVoteRequest, *, leading: bool) -> None:
    """Say whether a vote in the proposed term would be given; nothing changes here.

    A refusal carries our term: a group that lies behind an isolated node's term catches up with it and can elect.
    """
    proposed = message.term + 1
    granted = proposed > state.term and not leading and _would_vote(state, message)
    head = state.head(message.sender)
    state.send(PreVoteResponse(**head, proposed_term=proposed, granted=granted))
    term = state.log.term_at(state.committed)
    if term is not None and not _knows(state, message.sender):
        state.send(NotAMember(**head, decided=EntryId(term, state.committed)))


def _knows(state: State, node: NodeId) -> bool:
    """Whether the node is a member under a membership that is decided or may yet be."""
    return any(at.membership.member(node) is not None for at in state.possible)


def answer_vote(state: State, message: VoteRequest, *, leading: bool) -> bool:
    """Vote in the current term, at most once; True when the vote is given (again)."""
    granted = state.vote in (None, message.sender) and not leading and _would_vote(state, message)
    if granted:
        state.give_vote(message.sender)
    state.promise(VoteResponse(**state.head(message.sender), granted=granted))
    return granted


def _would_vote(state: State, message: PreVoteRequest | VoteRequest) -> bool:
    """A node that keeps a promise to a leader, or that has lost part of its log, has no vote to give.

    It gives one to whom that leader hands over. Its membership is not asked: it may be a voter and not know yet (E15).
    """
    released = isinstance(message, VoteRequest) and message.transfer
    return not (state.refuses_votes and not released) and state.whole and state.log.up_to_date(message.last)
