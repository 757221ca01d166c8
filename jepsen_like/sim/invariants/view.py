"""What the laboratory sees of a core beside its outputs: the one place that looks inside."""

from raftlog.core.ids import NodeId
from raftlog.core.membership import MembershipAt
from raftlog.core.progress import Progress
from raftlog.core.raft import Raft
from raftlog.core.roles.candidate import Candidate, PreCandidate
from raftlog.core.roles.leader import Leader
from raftlog.core.roles.role import Role
from raftlog.core.state import State


class View:
    """Looks and never touches. Building a `Status` for every event would cost more than the algorithm itself."""

    __slots__ = ("_core", "state")

    def __init__(self, core: Raft) -> None:
        self._core = core
        self.state: State = core._state

    @property
    def role(self) -> Role:
        """The role it is in: a new object for each time it takes one."""
        return self._core._role

    @property
    def progress(self) -> dict[NodeId, Progress] | None:
        """Its followers while it leads, else None."""
        role = self._core._role
        return role.progress if isinstance(role, Leader) else None

    @property
    def ballots(self) -> dict[NodeId, bool]:
        """What it has counted of the election, or the question before it, that it is in; empty where it is in none."""
        role = self._core._role
        return role._ballots if isinstance(role, PreCandidate | Candidate) else {}

    @property
    def membership(self) -> MembershipAt:
        """The membership in force and where it comes from."""
        return self.state.memberships[-1]
