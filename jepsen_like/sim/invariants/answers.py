"""Judges what a node says to the message it has just heard, whether or not harm comes of it: E6 to S20."""

from dataclasses import dataclass, field

from jepsen_like.sim.invariants.view import View
from jepsen_like.sim.verdict import Violation
from raftlog.core.ids import EntryId, Index, NodeId
from raftlog.core.message import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    SnapshotOffer,
    VoteRequest,
    VoteResponse,
)
from raftlog.core.progress import Mode
from raftlog.core.roles.role import Role


@dataclass(frozen=True, slots=True)
class _Account:
    """A leader's account of a follower, as it was before the follower's answer was taken in."""

    match: Index
    next: Index
    mode: Mode

    def dates(self, refusal: AppendRejected) -> bool:
        """Whether the refusal is of something asked before what the leader knows by now."""
        prev = refusal.prev.index
        return prev <= self.match or (self.mode is Mode.PROBE and prev != self.next - 1)


@dataclass(slots=True)
class _Life:
    """One incarnation of a node.

    Invariants: `asked` and `account` are of the message being taken in; `sent` is of the role it is in.
    """

    view: View
    asked: Message | None = None
    account: _Account | None = None
    role: Role | None = None
    sent: dict[NodeId, Index] = field(default_factory=dict)
    """Up to where it has sent entries to a follower since that one last answered an append."""


class Answers:
    """Wasted messages and needless refusals seldom do harm that a run would show, so each is judged by itself.

    - E6: nobody votes for a log that ends before its own in the order of term, then index.
    - E7: a vote is refused for a reason: a term gone by, another vote given, a promise to a leader, a log that lacks
      something, or that ends later in the order of term, then index.
    - R10: a refusal of what has been acknowledged since moves the leader's account of its sender nowhere.
    - R14: nobody refuses an append that continues what is decided there.
    - R22: nobody sends an entry again before its receiver has answered an append; and whoever is refused goes back to
      where the refusal says that the logs may agree, not entry by entry.
    - S20: neither a refusal nor an acknowledgement without news ends, or repeats, the offer of a snapshot.
    """

    def __init__(self) -> None:
        self._lives: dict[NodeId, _Life] = {}

    def started(self, node: NodeId, view: View) -> None:
        """A new incarnation begins."""
        self._lives[node] = _Life(view)

    def hears(self, message: Message) -> None:
        """A message is about to be taken in."""
        life = self._lives[message.to]
        life.asked, life.account = message, _account(life, message.sender)
        if isinstance(message, AppendAccepted | AppendRejected) and message.term == life.view.state.term:
            life.sent.pop(message.sender, None)

    def made(self, message: Message) -> None:
        """A node has made a message, to be sent now or after a sync."""
        life = self._lives[message.sender]
        match message:
            case VoteResponse(granted=False) | PreVoteResponse(granted=False):
                self._refuses_vote(life, message)
            case VoteResponse() | PreVoteResponse():
                self._votes(life, message)
            case AppendRejected():
                self._refuses_append(life, message)
            case AppendRequest(entries=entries) if entries:
                self._sends(life, message)
            case SnapshotOffer():
                self._offers(life, message)
            case _:
                pass

    def heard(self, message: Message) -> None:
        """A message has been taken in, and everything said that it gave rise to."""
        life = self._lives[message.to]
        before, now = life.account, _account(life, message.sender)
        life.asked = life.account = None
        if isinstance(message, AppendRejected) and before and now and message.term == life.view.state.term:
            self._is_refused(life, message, before, now)

    # -- who is asked

    def _votes(self, life: _Life, answer: VoteResponse | PreVoteResponse) -> None:
        asked, last = life.asked, life.view.state.log.last
        if not isinstance(asked, VoteRequest | PreVoteRequest) or asked.sender != answer.to:
            return
        if (asked.last.term, asked.last.index) < (last.term, last.index):
            raise _broken("E6", answer.sender, f"votes for n{answer.to}, whose {asked.last} is before {last}")

    def _refuses_vote(self, life: _Life, answer: VoteResponse | PreVoteResponse) -> None:
        asked, state = life.asked, life.view.state
        match asked:
            case VoteRequest(term=term, sender=sender) if sender == answer.to:
                free = term == state.term and state.vote in (None, sender)
            case PreVoteRequest(term=term, sender=sender) if sender == answer.to:
                free = term + 1 > state.term
            case _:
                return
        if not free or life.view.role.name == "leader" or state.refuses_votes or not state.whole:
            return
        if (asked.last.term, asked.last.index) >= (state.log.last.term, state.log.last.index):
            raise _broken(
                "E7",
                answer.sender,
                f"refuses n{answer.to} its vote: {asked.last} is not before {state.log.last}",
            )

    def _refuses_append(self, life: _Life, answer: AppendRejected) -> None:
        state, asked = life.view.state, life.asked
        if not isinstance(asked, AppendRequest) or asked.sender != answer.to or asked.term != state.term:
            return
        if state.log.term_at(asked.prev.index) not in (None, asked.prev.term):
            return  # it follows what no rightful leader has
        if asked.prev.index <= state.committed:
            raise _broken(
                "R14", answer.sender, f"refuses what follows {asked.prev}, and {state.committed} is decided"
            )

    # -- who leads

    def _sends(self, life: _Life, message: AppendRequest) -> None:
        if life.view.role is not life.role:
            life.role = life.view.role
            life.sent.clear()
        first, last = message.entries[0].index, message.entries[-1].index
        before = life.sent.get(message.to, 0)
        if first <= before:
            raise _broken(
                "R22",
                message.sender,
                f"sends n{message.to} entry {first} again, and has no answer to {before}",
            )
        life.sent[message.to] = last

    def _offers(self, life: _Life, message: SnapshotOffer) -> None:
        account = life.account
        match life.asked:
            case AppendAccepted(sender=sender, match=match) if account and sender == message.to:
                if account.mode is Mode.SNAPSHOT and match <= account.match:
                    raise _broken(
                        "S20", message.sender, f"offers n{sender} a snapshot for acknowledging {match} again"
                    )
            case _:
                pass

    def _is_refused(self, life: _Life, message: AppendRejected, before: _Account, now: _Account) -> None:
        leader, peer = message.to, message.sender
        if before.mode is Mode.SNAPSHOT:
            if now.mode is not Mode.SNAPSHOT:
                raise _broken("S20", leader, f"no longer offers n{peer} a snapshot after a late refusal")
        elif before.dates(message):
            if now.next < before.next:
                raise _broken(
                    "R10",
                    leader,
                    f"goes back from {before.next} to {now.next} for n{peer}, which has {before.match}: the refusal"
                    f" of {message.prev} is older",
                )
        elif now.mode is Mode.PROBE and now.next - 1 > max(now.match, life.view.state.log.base.last.index):
            term = life.view.state.log.term_at(now.next - 1)
            if term is not None and EntryId(term, now.next - 1) > message.hint:
                raise _broken(
                    "R22", leader, f"tries {now.next - 1}@{term} at n{peer}, which has at best {message.hint}"
                )


def _account(life: _Life, peer: NodeId) -> _Account | None:
    accounts = life.view.progress
    if accounts is None or peer not in accounts:
        return None
    progress = accounts[peer]
    return _Account(progress.match_index, progress.next_index, progress.mode)


def _broken(rule: str, node: NodeId, problem: str) -> Violation:
    return Violation(rule, f"n{node} {problem}")
