"""What a plan's membership faults ask of a leader: changes that fit the membership it has just then."""

from collections.abc import Sequence

from jepsen_like.sim.faults import MemberChange
from raftlog.core.change import AddLearner, Change, Demote, Promote, Remove, Replace
from raftlog.core.ids import NodeId
from raftlog.core.membership import Member, Membership


def asked(fault: MemberChange, nodes: Sequence[NodeId], membership: Membership) -> list[Change]:
    """The changes; none where the membership has nothing to change in that way.

    `grow` and `replace-later` leave it to the leader to promote those who are ready.
    """
    ids, voters = membership.ids, membership.voters
    strangers = [node for node in nodes if node not in ids]
    members = [node for node in nodes if node in ids]
    match fault.how:
        case "grow":
            return [AddLearner(_member(node, promote=True)) for node in strangers]
        case "learn":
            return [AddLearner(_member(node)) for node in strangers]
        case "promote":
            return [Promote(node) for node in members if node not in voters]
        case "demote":
            return [Demote(node) for node in members if node in voters]
        case "shrink":
            return [Remove(node) for node in members]
        case "replace":
            return [Replace(old, _member(new)) for old, new in zip(members[:1], strangers, strict=False)]
        case "replace-later":
            pairs = zip(members[:1], strangers, strict=False)
            return [AddLearner(_member(new, promote=True, replaces=old)) for old, new in pairs]
        case "reshape":
            added: list[Change] = [AddLearner(_member(node)) for node in strangers]
            risen: list[Change] = [Promote(node) for node in nodes if node not in voters]
            return [*added, *risen, *(Remove(node) for node in voters if node not in nodes)]


def _member(node: NodeId, *, promote: bool = False, replaces: NodeId | None = None) -> Member:
    return Member(node, f"n{node}", "", "", promote, replaces)
