"""Judges how nodes come into office and stay in it, by what reaches them: E4 to E21, I9, Q1, R2, W10."""

from collections import deque
from collections.abc import Callable

from jepsen_like.sim.invariants.view import View
from jepsen_like.sim.verdict import Violation
from raftlog.core.ids import Index, Micros, NodeId, Term
from raftlog.core.membership import Membership
from raftlog.core.message import (
    AppendAccepted,
    AppendRequest,
    Heartbeat,
    Message,
    PreVoteResponse,
    TimeoutNow,
    VoteResponse,
)
from raftlog.core.roles.role import Role

PATIENCE = 2
"""Election timeouts: twice what the rules say, since clocks drift and the judge's is true."""


class _Life:
    """One incarnation of a node: what reached it, and when."""

    __slots__ = (
        "called",
        "counted",
        "grants",
        "heard",
        "met",
        "owes",
        "role",
        "since",
        "unsynced",
        "view",
        "writing",
    )

    def __init__(self, view: View, now: Micros) -> None:
        self.view = view
        self.role: Role = view.role
        self.since = now
        """When it took that role."""
        self.grants: set[NodeId] = set()
        """Who has answered the pre-vote, or the vote, under way with yes."""
        self.heard: dict[NodeId, Micros] = {}
        self.counted: Index | None = None
        """What it counted for a follower whose acknowledgement of an earlier term is being taken in."""
        self.owes: NodeId | None = None
        """Whom it has to tell of its term: the leader of an earlier one, who is being heard."""
        self.unsynced = False
        """It stands for election, and its own vote is still being written."""
        self.called: Term | None = None
        """The term whose leader hands over to it just now."""
        self.met: dict[NodeId, Micros] = {}
        """Since when it knows a voter."""
        self.writing: deque[Micros] = deque()
        """When each write that has not completed was handed over."""


class Conduct:
    """What a node may only do with others' consent, counted here and not by the node.

    - E4: nobody leads who was not given the votes of a majority in that very term (with it E3, E20 and M18).
    - E9: who is refused a pre-vote from a higher term enters that term.
    - E11: who hears the leader of an earlier term tells it of its own.
    - E14: nobody stands for election before a majority has answered that it would vote for it, unless its leader calls
      on it to do so, once.
    - E19: nobody begins another election, but when told to, before its own vote in the last one is on disk.
    - E21: who hears the leader of its term follows it.
    - I9: nobody counts an acknowledgement of an earlier term; the follower's log may have been cut since.
    - Q1: nobody leads on who has heard no majority for `PATIENCE` election timeouts; seen at its ticks.
    - R2: nobody leads as long without an entry of its own term, for until then it neither decides nor vouches.
    - W10: nobody leads on whose disk has not completed a write for as long, while a majority of others has completed
      as much and more: they would do better without it.

    Majorities are those of the newest membership in the node's log, as its disk has it.
    """

    def __init__(self, membership: Callable[[NodeId], Membership], election_timeout: Micros) -> None:
        self._membership = membership
        self._patience = PATIENCE * election_timeout
        self._lives: dict[NodeId, _Life] = {}

    def started(self, node: NodeId, view: View, now: Micros) -> None:
        """A new incarnation begins."""
        self._lives[node] = _Life(view, now)

    def wrote(self, node: NodeId, now: Micros) -> None:
        """A node has handed a write to its disk."""
        self._lives[node].writing.append(now)

    def synced(self, node: NodeId) -> None:
        """Its oldest write has completed."""
        writing = self._lives[node].writing
        if writing:
            writing.popleft()

    def hears(self, message: Message, now: Micros) -> None:
        """A message is about to be taken in."""
        self._changes(message.to, now)
        life = self._lives[message.to]
        life.heard[message.sender] = now
        life.called = None
        match message:
            case TimeoutNow(term=term):
                life.called = term
                return
            case PreVoteResponse(granted=True, proposed_term=proposed) if life.role.name == "pre-candidate":
                counts = proposed == life.view.state.term + 1
            case AppendAccepted(term=term, sender=sender) if term < life.view.state.term:
                life.counted = self._match(life, sender)
                return
            case VoteResponse(granted=True, term=term) if life.role.name == "candidate":
                counts = term == life.view.state.term
            case AppendRequest(term=term, sender=sender) | Heartbeat(term=term, sender=sender):
                life.owes = sender if term < life.view.state.term else None
                return
            case _:
                return
        if counts:
            life.grants.add(message.sender)

    def made(self, message: Message) -> None:
        """A node has made a message, to be sent now or after a sync."""
        life = self._lives[message.sender]
        if message.to == life.owes:
            life.owes = None

    def heard(self, message: Message, now: Micros) -> None:
        """A message has been taken in."""
        self._changes(message.to, now)
        life = self._lives[message.to]
        match message:
            case AppendRequest() | Heartbeat():
                self._follows(life, message)
            case VoteResponse() | PreVoteResponse():
                self._counts(life, message)
                self._learns(life, message)
            case AppendAccepted(term=term, sender=sender) if term < life.view.state.term:
                if self._match(life, sender) != life.counted:
                    now_leads = life.view.state.term
                    raise _broken("I9", message.to, f"leads term {now_leads} and counts {message}")
            case _:
                pass

    def _match(self, life: _Life, peer: NodeId) -> Index | None:
        accounts = life.view.progress
        return None if accounts is None or peer not in accounts else accounts[peer].match_index

    def _counts(self, life: _Life, message: Message) -> None:
        """Only grants of this election are counted, and those once: whether or not they decide it."""
        counted = {voter for voter, granted in life.view.ballots.items() if granted}
        if not counted <= {*life.grants, message.to}:
            rule, term = "E4" if life.role.name == "candidate" else "E14", life.view.state.term
            raise _broken(
                rule,
                message.to,
                f"counts in term {term} the votes of {sorted(counted)}, was given those of {sorted(life.grants)}",
            )

    def _learns(self, life: _Life, message: VoteResponse | PreVoteResponse) -> None:
        term = life.view.state.term
        if not message.granted and message.term > term:
            raise _broken("E9", message.to, f"stays in term {term} after {message}")

    def _follows(self, life: _Life, message: Message) -> None:
        if life.owes is not None:
            term = life.view.state.term
            raise _broken("E11", message.to, f"is in term {term}, and leaves {life.owes} in {message.term}")
        if message.term == life.view.state.term and life.role.name in ("pre-candidate", "candidate"):
            raise _broken(
                "E21",
                message.to,
                f"hears {message.sender} lead its term {message.term}, and remains {life.role.name}",
            )

    def told(self, node: NodeId, now: Micros) -> None:
        """A node has done what somebody told it to."""
        self._changes(node, now)

    def ticks(self, node: NodeId) -> None:
        """A node is about to see to what is due."""
        life = self._lives[node]
        life.unsynced = life.view.role.name == "candidate" and not life.view.state.vote_is_durable

    def acts(self, node: NodeId, now: Micros) -> None:
        """A node has taken an input, and nothing of what follows has reached its disk.

        Who takes office is judged now: it may change the membership at once.
        """
        life = self._lives[node]
        if life.view.role is not life.role and life.view.role.name == "leader":
            self._changes(node, now)

    def ticked(self, node: NodeId, now: Micros) -> None:
        """Time has passed at a node, and it has seen to what was due."""
        life = self._lives[node]
        role, state = life.view.role, life.view.state
        if life.unsynced and role is not life.role and role.name in ("pre-candidate", "candidate"):
            raise _broken("E19", node, f"begins anew in term {state.term}, durable is {state.synced}")
        self._changes(node, now)
        if life.role.name != "leader":
            return
        since = now - self._patience
        met, heard = life.met, life.heard
        for gone in met.keys() - {peer for half in self._halves(node) for peer in half}:
            del met[gone]
        for voters in self._halves(node):
            known = {
                peer
                for peer in voters
                if max(heard.get(peer, 0), life.since, met.setdefault(peer, now)) > since
            }
            if 2 * len(known | ({node} & {*voters})) > len(voters):
                continue
            raise _broken("Q1", node, f"leads on at {now}, having heard no majority since {since}")
        if life.since <= since and state.log.last.term != state.term:
            raise _broken(
                "R2", node, f"leads term {state.term} since {life.since}; its log ends at {state.log.last}"
            )
        if life.writing and life.writing[0] <= since and self._outrun(life, node):
            raise _broken("W10", node, f"leads on at {now}, with a write under way since {life.writing[0]}")

    def _outrun(self, life: _Life, node: NodeId) -> bool:
        durable = life.view.state.log.durable
        others = {peer for half in self._halves(node) for peer in half if peer != node}
        return self._most(node, {peer for peer in others if (self._match(life, peer) or 0) > durable})

    def _changes(self, node: NodeId, now: Micros) -> None:
        life = self._lives[node]
        role = life.view.role
        if role is life.role:
            return
        called = role.name == "candidate" and life.called == life.view.state.term - 1
        if role.name in ("candidate", "leader") and not called and not self._most(node, {*life.grants, node}):
            term, grants = life.view.state.term, sorted(life.grants)
            if role.name == "leader":
                raise _broken("E4", node, f"leads term {term} with its own vote and those of {grants}")
            raise _broken("E14", node, f"stands in term {term}; {grants} would vote for it")
        life.role, life.since = role, now
        life.grants.clear()

    def _halves(self, node: NodeId) -> list[tuple[NodeId, ...]]:
        membership = self._membership(node)
        return [half for half in (membership.voters, membership.outgoing) if half]

    def _most(self, node: NodeId, nodes: set[NodeId]) -> bool:
        return all(2 * len(nodes.intersection(half)) > len(half) for half in self._halves(node))


def _broken(rule: str, node: NodeId, problem: str) -> Violation:
    return Violation(rule, f"n{node} {problem}")
