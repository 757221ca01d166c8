"""Making waiting nodes into a cluster: one record for all of them, and how a start that stopped half-way goes on.

Every node writes the same bootstrap record (cluster id, voters) or none. The nodes cannot write it in one step, so a
run may stop between two of them. Its traces say how to go on: those that have the record name the cluster and all its
voters, and those that still wait are among these voters. Repeating the command then hands the same record to the rest.
A waiting node that the record does not name was wiped, or was never meant: nothing is done.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raftlog.admin import Member, Operator, Refused, StatusReply, Unreachable
from raftlog.core.ids import ClusterId


class CannotInitialise(Exception):
    """Nothing was changed; the sentence says why and what to do."""


class NotReady(CannotInitialise):
    """A node does not answer, or is not running yet: the same may go well in a moment."""


class HalfInitialised(Exception):
    """Some nodes have the record and others do not; the sentence says which, and to repeat the command."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The record, and who still needs it.

    Invariants: `waiting` are addresses of nodes among `voters`; voters are sorted by id and have different names.
    """

    cluster: ClusterId
    voters: tuple[Member, ...]
    waiting: tuple[str, ...]
    done: tuple[str, ...]
    """Addresses of nodes that have this record already."""


def plan(nodes: Mapping[str, StatusReply], cluster: ClusterId) -> Plan:
    """What to write where. `cluster` is the new cluster's id, unless one of the nodes has been told of another.

    Raises:
        CannotInitialise: these nodes do not make one cluster.
    """
    _refuse_twins(nodes)
    _refuse_unlike_states(nodes)
    done = {address: node for address, node in nodes.items() if node.cluster_id}
    waiting = tuple(address for address, node in nodes.items() if not node.cluster_id)
    if not done:
        voters = sorted((_member(node) for node in nodes.values()), key=lambda member: member.id)
        return Plan(cluster, tuple(voters), waiting, ())
    voters = _record_of(done, waiting)
    _refuse_strangers(nodes, voters, done)
    cluster = ClusterId(next(iter(done.values())).cluster_id)
    return Plan(cluster, tuple(voters), waiting, tuple(done))


async def initialise(
    operator: Operator,
    addresses: Sequence[str],
    cluster: ClusterId,
    *,
    wait: float = 0.0,
    on_wait: Callable[[str], None] = lambda why: None,
) -> Plan:
    """Ask, plan and carry out; again for `wait` seconds as long as nodes are not ready or do not take the record.

    Trying again is as safe as repeating the command. `on_wait` is told why, once for each reason.

    Raises:
        CannotInitialise, HalfInitialised: as `plan` and `carry_out` do; those that time may mend, after that time.
    """
    now = asyncio.get_running_loop().time
    until, told = now() + wait, ""
    while True:
        try:
            made = plan(await ask_all(operator, addresses), cluster)
            await carry_out(made, operator)
            return made
        except (NotReady, HalfInitialised) as error:
            if now() >= until:
                raise
            if str(error) != told:
                on_wait(told := str(error))
        await asyncio.sleep(_REST)


_REST = 0.5
"""Seconds between two tries."""


async def carry_out(plan: Plan, operator: Operator) -> None:
    """Give the record to every node that waits for it, one after the other.

    Raises:
        HalfInitialised: a node did not take it.
    """
    for at, address in enumerate(plan.waiting):
        try:
            await operator.initialise(address, plan.cluster, plan.voters)
        except (Unreachable, Refused) as error:
            have = ", ".join((*plan.done, *plan.waiting[:at])) or "no node"
            raise HalfInitialised(
                f"{error}. The record of cluster {plan.cluster:016x} is on {have}, and not (or not surely) on "
                f"{', '.join(plan.waiting[at:])}: mend that and repeat the same command, it goes on where it stopped"
            ) from None


async def ask_all(operator: Operator, addresses: Sequence[str]) -> dict[str, StatusReply]:
    """The status of every node.

    Raises:
        NotReady: one of them does not answer.
    """
    answers = await operator.statuses(addresses)
    silent = [str(answer) for answer in answers.values() if isinstance(answer, Unreachable | Refused)]
    if silent:
        raise NotReady(f"{'; '.join(silent)}. Every node of the new cluster must answer; nothing was changed")
    return {address: answer for address, answer in answers.items() if isinstance(answer, StatusReply)}


def _refuse_twins(nodes: Mapping[str, StatusReply]) -> None:
    seen: dict[int, str] = {}
    names: dict[str, str] = {}
    for address, node in nodes.items():
        if (other := seen.setdefault(node.node_id, address)) != address:
            raise CannotInitialise(f"{other} and {address} are the same node: name each node once")
        if (other := names.setdefault(node.name, address)) != address:
            raise CannotInitialise(
                f"{other} and {address} are both called {node.name!r}: give each its own --name"
            )


def _refuse_unlike_states(nodes: Mapping[str, StatusReply]) -> None:
    """Those that wait begin with the same state, or all with none: one that began with less would lose the rest."""
    first = ""
    for address, node in nodes.items():
        if node.cluster_id:
            continue
        first = first or address
        if node.restored != nodes[first].restored or node.HasField("restored") != nodes[first].HasField(
            "restored"
        ):
            raise CannotInitialise(
                f"{first} {_origin(nodes[first])}, and {address} {_origin(node)}: run `raftlog restore` with the same "
                "backup for every node of the new cluster, or for none; nothing was changed"
            )


def _origin(node: StatusReply) -> str:
    if not node.HasField("restored"):
        return "is empty"
    state = node.restored
    groups = ", ".join(
        f"group {each.group} at {each.snapshot.index}@{each.snapshot.term} ({each.snapshot.id:016x})"
        for each in state.groups
    )
    return f"was restored from a backup of cluster {state.cluster_id:016x} with {groups}"


def _record_of(done: Mapping[str, StatusReply], waiting: Sequence[str]) -> list[Member]:
    """The voters that the initialised nodes agree on: of the record, or, if nobody waits for it, of today."""
    clusters = {node.cluster_id: address for address, node in done.items()}
    if len(clusters) > 1:
        listed = ", ".join(f"{address} to {cluster:016x}" for cluster, address in clusters.items())
        raise CannotInitialise(
            f"these nodes belong to different clusters already: {listed}; nothing was changed"
        )
    address, node = next(iter(done.items()))
    group = next((group for group in node.groups if group.group == 0), None)
    if group is None:
        raise NotReady(f"{address} is initialised and not running yet: try again in a moment")
    if waiting and any(group.membership_index for node in done.values() for group in node.groups):
        raise CannotInitialise(
            f"cluster {node.cluster_id:016x} has changed its members since it began: add nodes to it as members; "
            "nothing was changed"
        )
    return [member for member in group.members if member.id in group.voters]


def _refuse_strangers(
    nodes: Mapping[str, StatusReply], voters: Sequence[Member], done: Mapping[str, StatusReply]
) -> None:
    known = {member.id for member in voters}
    cluster = next(iter(done.values())).cluster_id
    strangers = [
        f"{address} (node {node.node_id:016x})"
        for address, node in nodes.items()
        if node.node_id not in known
    ]
    if strangers:
        raise CannotInitialise(
            f"{', '.join(done)} belongs to cluster {cluster:016x} already, which does not name "
            f"{', '.join(strangers)}: a wiped or new node is a stranger to it; nothing was changed"
        )


def _member(node: StatusReply) -> Member:
    return Member(
        id=node.node_id, name=node.name, peer_address=node.peer_address, client_address=node.client_address
    )
