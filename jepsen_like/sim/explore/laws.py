"""What must hold in every explored state: I1 to I12 and I14 of the list of traps, each where it could first break.

They are told apart by what they look at: one input of one node; two nodes; all nodes and the history so far. Majorities
are counted here anew, since a core that counts them wrongly must not be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jepsen_like.sim.verdict import Violation
from raftlog.core.durable import HardState
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import Index, NodeId, Term
from raftlog.core.membership import Membership
from raftlog.core.message import AppendAccepted, AppendRequest, Heartbeat, Message, VoteRequest, VoteResponse
from raftlog.core.raft import Raft
from raftlog.core.roles.leader import Leader

if TYPE_CHECKING:
    from jepsen_like.sim.explore.node import Node


def hold(fact: bool, oracle: str, problem: str) -> None:
    """Raise `Violation` unless the fact holds."""
    if not fact:
        raise Violation(oracle, problem)


# -- one input of one node


def step(before: Node, after: Node) -> None:
    """A node before and after an input (I2, I3, I6, I8, I9, I12)."""
    who, core, was = f"n{after.id}", after.core._state, before.core._state
    hold(after.term >= after.hard.term, "I2", f"{who} is in term {after.term}, durable is {after.hard}")
    if before.boot == after.boot:
        hold(core.term >= was.term, "I2", f"{who}'s term falls from {was.term} to {core.term}")
        kept = core.term > was.term or was.vote in (None, core.vote)
        hold(kept, "I2", f"{who}'s vote of term {core.term} changes from {was.vote} to {core.vote}")
        hold(core.committed >= was.committed, "I6", f"{who}'s commit falls to {core.committed}")
        hold(core.applied >= was.applied, "I8", f"{who}'s applied falls to {core.applied}")
    _pointers(after)
    if isinstance(core_role := after.core._role, Leader):
        _progress(before, after, core_role)


def _pointers(node: Node) -> None:
    who, state, disk = f"n{node.id}", node.core._state, node.disk
    order = [state.applied, min(state.committed, state.log.durable), len(node.log)]
    hold(order == sorted(order), "I8", f"{who}'s applied, decided and last are {order}")
    last = len(node.log)
    hold(max(state.committed, state.log.durable) <= last, "I8", f"{who} goes beyond its log of {last}")
    terms = [entry.term for entry in node.log]
    known = [state.log.term_at(index) for index in range(1, state.log.last.index + 1)]
    hold(known == terms, "I3", f"{who} has a log of terms {known} and wrote one of {terms}")
    durable = state.log.durable
    there = durable <= len(disk) and known[:durable] == [entry.term for entry in disk[:durable]]
    hold(there, "I8", f"{who} believes {durable} entries durable, its disk has {_text(disk)}")
    changes = [entry.index for entry in node.log if entry.kind is EntryKind.MEMBERSHIP]
    newest = max(changes, default=0)
    in_force = state.memberships[-1].index
    hold(in_force == newest, "I12", f"{who} acts on the membership of {in_force}, the newest is at {newest}")


def _progress(before: Node, after: Node, role: Leader) -> None:
    old = before.core._role
    same = isinstance(old, Leader) and before.term == after.term and before.boot == after.boot
    for peer, progress in role.progress.items():
        match = progress.match_index
        hold(
            progress.next_index > match, "I9", f"n{after.id} has next {progress.next_index} <= match {match}"
        )
        if same and isinstance(old, Leader) and peer in old.progress:
            was = old.progress[peer].match_index
            hold(match >= was, "I9", f"n{after.id}'s match of n{peer} falls from {was} to {match}")


def made(node: NodeId, message: Message, term: Term) -> None:
    """A node in this term makes a message (E22)."""
    hold(message.term == term, "E22", f"n{node} is in term {term} and says {message}")


def sent(message: Message, hard: HardState, disk: Sequence[Entry]) -> None:
    """A message leaves a node with this disk (I11)."""
    who = f"n{message.sender}"
    hold(hard.term >= message.term, "I11", f"{who} speaks in term {message.term}, durable is {hard}")
    later = hard.term > message.term
    match message:
        case VoteRequest():
            promised = later or hard.vote == message.sender
            hold(promised, "I11", f"{who} asks for votes of term {message.term}, durable is {hard}")
        case VoteResponse(granted=True):
            promised = later or hard.vote == message.to
            hold(promised, "I11", f"{who} votes for n{message.to} in term {message.term}, durable is {hard}")
        case AppendAccepted(match=match):
            hold(match <= len(disk), "I11", f"{who} acknowledges {match}, durable is {len(disk)}")
        case _:
            pass


def writes(
    node: NodeId,
    core: Raft,
    entries: Sequence[Entry],
    hard: HardState | None,
    durable: int,
    given: set[Entry],
) -> None:
    """A node hands a write to its disk; `given` are the entries that the input brought (I3, I8, I10)."""
    if hard is not None:
        hold(
            hard.commit <= durable,
            "I8",
            f"n{node} writes the commit hint {hard.commit}, durable is {durable}",
        )
    for entry in entries:
        hold(entry.intact(), "I3", f"n{node} writes {entry.id}, which fails its checksum")
        rightful = entry in given or (core.leads and entry.term == core._state.term)
        hold(rightful, "I10", f"n{node} makes {entry.id} in term {core._state.term}, which it does not lead")


def hard_state(node: NodeId, before: HardState, after: HardState) -> None:
    """The durable hard state changes (I2)."""
    hold(after.term >= before.term, "I2", f"n{node}'s durable term falls from {before.term} to {after.term}")
    kept = after.term > before.term or before.vote in (None, after.vote)
    hold(
        kept, "I2", f"n{node}'s durable vote of term {after.term} changes from {before.vote} to {after.vote}"
    )


def follows(core: Raft, message: Message) -> None:
    """Whoever hears the leader of its term follows it (paper 5.2; E21)."""
    if isinstance(message, AppendRequest | Heartbeat) and message.term == core._state.term:
        leader = core.leader
        hold(
            leader == message.sender,
            "E21",
            f"n{message.to}, {core._role.name}, has heard n{message.sender}, who leads its term {message.term},"
            f" and follows {leader}",
        )


# -- two nodes


def pair(one: Node, other: Node) -> None:
    """Two nodes of one world (I3, I9)."""
    _matching(one, other)
    for leader, peer in ((one, other), (other, one)):
        role = leader.core._role
        if isinstance(role, Leader) and peer.hard.term <= leader.term and peer.id in role.progress:
            _really_matches(leader, peer, role.progress[peer.id].match_index)


def _matching(one: Node, other: Node) -> None:
    equal = True
    for mine, theirs in zip(one.log, other.log, strict=False):
        if mine.term == theirs.term:
            same = equal and mine == theirs
            hold(same, "I3", f"n{one.id} and n{other.id} differ at or before {mine.id}, which both have")
        equal = equal and mine.term == theirs.term


def _really_matches(leader: Node, peer: Node, match: Index) -> None:
    there = match <= len(peer.disk) and (match == 0 or peer.disk[match - 1] == leader.log[match - 1])
    hold(
        there,
        "I9",
        f"n{leader.id}@{leader.term} counts {match} of n{peer.id}, whose disk has {_text(peer.disk)}",
    )


# -- everyone, and the history


def leads_alone(leaders: Sequence[int], node: Node) -> None:
    """A node has become leader; `leaders` says who led each term before (I1, I10)."""
    known = leaders[node.term]
    hold(known in (0, node.id), "I1", f"n{node.id} leads term {node.term}, as did n{known}")
    hold(known == 0, "I10", f"n{node.id} leads term {node.term} for a second time")


def leads_completely(decided: Sequence[tuple[Entry, Term]], node: Node) -> None:
    """A new leader has everything that was decided in earlier terms (I4)."""
    for entry, term in decided:
        if term < node.term:
            has = entry.index <= len(node.log) and node.log[entry.index - 1] == entry
            hold(has, "I4", f"n{node.id} leads term {node.term} without the decided {entry.id}")


def commits(decided: Sequence[tuple[Entry, Term]], node: Node) -> None:
    """What a node has committed is what was decided (I5, I6)."""
    for (entry, _), own in zip(decided, node.log[: node.committed], strict=False):
        hold(own == entry, "I6", f"n{node.id} commits {own.id}, but {entry.id} was decided")


def keeps(decided: Sequence[tuple[Entry, Term]], before: Node, after: Node) -> None:
    """What was decided is not replaced by those who may have been counted (I6)."""
    had = before.log if before.boot == after.boot else before.disk
    for (entry, term), own in zip(decided, had, strict=False):
        gone = own == entry and (len(after.log) < entry.index or after.log[entry.index - 1] != entry)
        # A node of a term before the decision was not counted for it.
        hold(
            not gone or before.term < term,
            "I6",
            f"n{after.id} gives up {entry.id}, which was decided in term {term}",
        )


def decides(before: Node, after: Node, known: Index, nodes: Sequence[Node]) -> None:
    """What an input has let a node commit is durable on a quorum (I7).

    Of the membership that was the newest before it, or of a later one that the input has decided as well. What was
    undecided when the node put that in force may be decided by it too, but nothing up to the opening of its term.
    """
    log = after.log
    opening = next((entry.index for entry in log if entry.term == after.term), 0)
    old = before.memberships[-1].membership
    for entry in log[known : after.committed]:
        news = [at for at in after.memberships if at.index <= after.committed and at.index > known]
        later = [at.membership for at in news if at.index <= entry.index or entry.index > opening]
        problems = [_lacking(entry, membership, nodes) for membership in (old, *later)]
        hold(not all(problems), "I7", problems[0])


def stays(entry: Entry, nodes: Sequence[Node]) -> None:
    """What was decided last is durable on a quorum still: of one of the memberships that somebody has (I7)."""
    known = dict.fromkeys(at.membership for node in nodes for at in node.memberships)
    problems = [_lacking(entry, membership, nodes) for membership in known]
    hold(not all(problems), "I7", problems[0])


def _lacking(entry: Entry, membership: Membership, nodes: Iterable[Node]) -> str:
    """Of which half too few have an entry on disk; empty for none."""
    have = {
        node.id for node in nodes if len(node.disk) >= entry.index and node.disk[entry.index - 1] == entry
    }
    for group in (membership.voters, membership.outgoing):
        if group and 2 * len(have.intersection(group)) <= len(group):
            return f"{entry.id} is decided, but of {group} only {sorted(have)} have it on disk"
    return ""


def answered(floor: Index, index: Index, node: NodeId) -> None:
    """A read is released (I14)."""
    hold(
        index >= floor,
        "I14",
        f"n{node} releases a read at {index}, and {floor} entries were decided before it",
    )


def _text(entries: Sequence[Entry]) -> str:
    return " ".join(str(entry.id) for entry in entries) or "nothing"
