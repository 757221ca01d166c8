"""A fair continuation: from some world on nothing is lost any more, and the nodes must come to a decision."""

from collections import deque
from itertools import combinations

from jepsen_like.sim.explore.action import Kind
from jepsen_like.sim.explore.node import Node
from jepsen_like.sim.explore.space import Space, World
from jepsen_like.sim.notation import node_text
from jepsen_like.sim.verdict import Violation
from raftlog.core.membership import Membership

TIMEOUTS = 20
"""Election timeouts, one node after the other, within which someone must lead."""
BEATS = 10
"""Heartbeats within which the leader must have decided a command and everyone must know."""
STORM = 3_000
"""Messages without an end."""
_COMMAND = 20
"""The number of the command that is proposed."""


class Recovery:
    """Lets a world go on with some of its nodes; the others are silent for good.

    Everything sent is delivered in order, every write completes, and whoever hears no leader loses patience in turn:
    what becomes of a cluster when the faults end. Nothing is bounded here but the time that it may take.
    """

    def __init__(self, space: Space, world: World, alive: tuple[int, ...]) -> None:
        self._space = space
        self._nodes = list(world[: space.count])
        self._alive = alive
        self._flights: deque[int] = deque()
        self._send(world[space.count + 2 :])

    def run(self) -> None:
        """Go on until a new command is decided everywhere.

        Raises:
            Violation: `liveness`: it does not come to that; or a law of a single node.
        """
        self._quiesce()
        for turn in range(TIMEOUTS):
            leader = self._leader()
            if leader is not None:
                return self._decides(leader)
            self._give(self._alive[turn % len(self._alive)], Kind.TIMEOUT, 0)
        if (leader := self._leader()) is None:
            raise Violation("liveness", f"after {TIMEOUTS} election timeouts nobody leads: {self._roles()}")
        return self._decides(leader)

    def _decides(self, leader: int) -> None:
        for beat in range(BEATS):
            if self._node(leader).leads:
                if beat == 1:
                    self._give(leader, Kind.PROPOSE, _COMMAND)
                self._give(leader, Kind.HEARTBEAT, 0)
            elif (found := self._leader()) is not None:
                leader = found
            else:
                # Somebody had been ahead of it. Whoever is now may stand.
                self._give(self._alive[beat % len(self._alive)], Kind.TIMEOUT, 0)
            if beat > 1 and self._settled(leader):
                return
        raise Violation(
            "liveness",
            f"after {BEATS} heartbeats of {self._name(leader)} not all is decided: {self._roles()}",
        )

    def _settled(self, leader: int) -> bool:
        """Whether all members who are alive have decided all that it has, and no change is half done."""
        log, newest = self._node(leader).log, self._node(leader).memberships[-1].membership
        own = bool(log) and log[-1].term == self._node(leader).term and not newest.joint
        ids = self._space.scope.nodes
        members = [self._node(place) for place in self._alive if newest.member(ids[place]) is not None]
        return own and all(node.log == log and node.committed == len(log) for node in members)

    def _leader(self) -> int | None:
        """Who leads the highest term among those alive."""
        highest = max(self._node(place).term for place in self._alive)
        leaders = [place for place in self._alive if self._node(place).leads]
        return next((place for place in leaders if self._node(place).term == highest), None) or next(
            iter(leaders), None
        )

    # -- one input, and everything that follows from it

    def _give(self, place: int, kind: Kind, argument: int) -> None:
        self._take(place, kind, argument)
        self._quiesce()

    def _quiesce(self) -> None:
        for _ in range(STORM):
            unsynced = next((place for place in self._alive if self._node(place).pending), None)
            if unsynced is not None:
                self._take(unsynced, Kind.SYNC, 0)
            elif self._flights:
                message = self._flights.popleft()
                self._take(self._space.receiver(message), Kind.DELIVER, message)
            else:
                return
        raise Violation("liveness", f"a message storm: {STORM} were not the last")

    def _take(self, place: int, kind: Kind, argument: int) -> None:
        step = self._space.step(self._nodes[place], kind, argument)
        if step.problem is not None:
            raise step.problem
        self._nodes[place] = step.node
        self._send(step.sent + step.lost)

    def _send(self, messages: tuple[int, ...]) -> None:
        space = self._space
        ids = {space.scope.nodes[place] for place in self._alive}
        for message in messages:
            made = space.messages[message]
            if made.to in ids and made.sender in ids:
                self._flights.append(message)

    def _node(self, place: int) -> Node:
        return self._space.nodes[self._nodes[place]]

    def _name(self, place: int) -> str:
        return node_text(self._space.scope.nodes[place])

    def _roles(self) -> str:
        return ", ".join(
            f"{self._name(place)}@{node.term} {node.core._role.name} committed {node.committed} of {len(node.log)}"
            for place in self._alive
            for node in [self._node(place)]
        )


def quorums(membership: Membership) -> list[tuple[int, ...]]:
    """The places of everyone, then of each smallest set that can decide, counted anew."""
    ids = membership.ids
    everyone = tuple(range(len(ids)))
    found: list[tuple[int, ...]] = []
    for size in range(1, len(ids)):
        for places in combinations(everyone, size):
            have = {ids[place] for place in places}
            halves = (membership.voters, membership.outgoing)
            if all(not half or 2 * len(have.intersection(half)) > len(half) for half in halves):
                if not any(set(smaller) <= set(places) for smaller in found):
                    found.append(places)
    return [everyone, *found]
