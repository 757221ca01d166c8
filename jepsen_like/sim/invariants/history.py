"""What snapshots, and the places where logs begin, say of the decided log, held to it: I13, with it S7, S8 and S15."""

from collections.abc import Callable

from jepsen_like.sim.verdict import Violation
from raftlog.core.durable import SnapshotMeta
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import Index, NodeId
from raftlog.core.membership import Membership, MembershipAt, decode_membership


class History:
    """The decided log, asked through `entry`, and the memberships along it.

    Invariants: the log is searched for memberships once, and only as far as somebody has asked.
    """

    def __init__(self, entry: Callable[[Index], Entry | None]) -> None:
        self._entry = entry
        self._memberships: list[MembershipAt] = []
        self._searched: Index = 0

    def begins(self, membership: MembershipAt) -> None:
        """A node was started with this membership before its first entry."""
        if not self._memberships and membership.index == 0:
            self._memberships.append(membership)

    def holds(self, node: NodeId, meta: SnapshotMeta) -> None:
        """What stands for a prefix of the log ends with a decided entry, and says of it what is true.

        Raises:
            Violation: I13: it does not.
        """
        if meta.last.index == 0:
            return
        decided = self._entry(meta.last.index)
        if decided is None:
            raise _broken(node, meta, "which nobody has decided")
        if decided.id != meta.last:
            raise _broken(node, meta, f"but {decided.id} was decided")
        if decided.log_time != meta.log_time:
            raise _broken(node, meta, f"of time {meta.log_time}, not {decided.log_time}")
        in_force = self.membership_at(meta.last.index)
        if in_force is not None and in_force != meta.membership:
            raise _broken(
                node,
                meta,
                f"with the membership of {meta.membership.index}, {who(meta.membership.membership)}; in force is"
                f" that of {in_force.index}, {who(in_force.membership)}",
            )

    def membership_at(self, index: Index) -> MembershipAt | None:
        """The newest membership set at or before a decided index; None where nobody has said how it all began."""
        while self._searched < index:
            self._searched += 1
            entry = self._entry(self._searched)
            if entry is not None and entry.kind is EntryKind.MEMBERSHIP:
                self._memberships.append(MembershipAt(entry.index, decode_membership(entry.payload)))
        return next((at for at in reversed(self._memberships) if at.index <= index), None)


def who(membership: Membership) -> str:
    """The members, for a sentence."""
    return f"voters {membership.voters} outgoing {membership.outgoing} learners {membership.learners}"


def _broken(node: NodeId, meta: SnapshotMeta, problem: str) -> Violation:
    return Violation("I13", f"n{node} has a snapshot at {meta.last}, {problem}")
