"""What must hold of three nodes at every moment of a run, seen from outside."""

from raftlog.core.ids import EntryId, Index, NodeId, Term
from raftlog.core.status import Status
from tests.simulation.world import World


class Watch:
    """Remembers what every node has ever said of itself, across restarts, and compares.

    I1: one leader per term. I2: terms never fall, a term's vote never changes (durable ones are what a restart shows).
    I5: equal digest at equal applied index. I6: what is committed stays, with its term. I8: order of the pointers.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.leaders: dict[Term, NodeId] = {}
        self._digests: dict[Index, int] = {}
        self._committed: dict[Index, Term] = {}
        self._terms: dict[NodeId, Term] = {}

    def look(self) -> None:
        """Look at every node that runs."""
        for host in self._world.hosts:
            if host.node is not None:
                self._check(host.node.status())

    def _check(self, status: Status) -> None:
        if status.role == "leader":
            first = self.leaders.setdefault(status.term, status.node)
            assert first == status.node, f"{first} and {status.node} both lead term {status.term}"
        digest = self._digests.setdefault(status.applied, status.digest)
        assert digest == status.digest, f"states differ at entry {status.applied}: seen first on another node"
        assert status.snapshot <= status.applied <= status.committed <= status.last, (
            f"pointers cross: {status}"
        )
        assert status.applied <= status.durable <= status.last, f"applied what a crash could lose: {status}"
        self._check_committed(status)

    def _check_committed(self, status: Status) -> None:
        if status.committed == 0:
            return
        at = EntryId(term_at(status, status.committed), status.committed)
        known = self._committed.setdefault(at.index, at.term)
        assert known == at.term, f"committed entry {at} was committed with term {known} before"


def term_at(status: Status, index: Index) -> Term:
    """The term of an entry of a node's log."""
    return max((run.first, run.term) for run in status.runs if run.first <= index)[1]
