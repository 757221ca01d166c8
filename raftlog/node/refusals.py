"""What a replica answers where it cannot do what was asked: each says why, and where to go instead."""

from collections.abc import Sequence

from raftlog.core.ids import Micros, NodeId
from raftlog.core.raft import Raft
from raftlog.machine.result import Kind, Result, refusal
from raftlog.node.calls import Batch


class Refusals:
    """The words of one replica. Whatever it refuses has certainly not happened."""

    def __init__(self, node: NodeId, raft: Raft, retry_after: Micros) -> None:
        self._node = node
        self._raft = raft
        self._retry_after = retry_after

    @property
    def leader_address(self) -> str | None:
        """Client address of the leader when that is another node and known."""
        leader = self._raft.leader
        member = None if leader in (None, self._node) else self._raft.membership.member(leader)
        return None if member is None else member.client_address

    def not_leader(self, *, known: bool = True) -> Result:
        """Ask the leader instead, where one is `known`."""
        address = self.leader_address if known else None
        if address is None:
            reason = (
                "no leader is known: a majority of the nodes cannot be reached, or an election is under way"
            )
        else:
            reason = f"this node does not lead; the leader is at {address}"
        return refusal(Kind.FAILED, reason, leader=address, retry_after=self._retry_after)

    def cannot_apply(self) -> Result:
        """Its state is not to be shown."""
        return self.refused("this node cannot apply the log at the moment; ask another", self._retry_after)

    def lags_behind(self) -> Result:
        """It lacks entries, and its disk takes none at the moment."""
        reason = "this node's disk is full or hangs, and it lacks what is decided since; ask another"
        return self.refused(reason, self._retry_after)

    def fenced(self, reason: str) -> Result:
        """Its state is wrong."""
        return self.refused(f"this node is fenced: {reason}; ask another", self._retry_after)

    def unreachable(self) -> Result:
        """The leader this node knows may just have died: naming it as the one to ask would send clients in circles."""
        reason = f"the leader, {self.leader_address}, cannot be reached from this node"
        return refusal(Kind.FAILED, reason, retry_after=self._retry_after)

    def refused(self, reason: str, retry_after: Micros = 0) -> Result:
        """For a reason of the caller's; names the leader."""
        return refusal(Kind.FAILED, reason, leader=self.leader_address, retry_after=retry_after)

    def no_space(self, nodes: Sequence[NodeId], retry_after: Micros) -> Result:
        """Too few disks have space for a command."""
        names = [self._name(node) for node in nodes]
        disks = f"the disk of {names[0]} is" if len(names) == 1 else f"the disks of {', '.join(names)} are"
        reason = f"{disks} full: free some space there; reads go on, and writes do as soon as there is space"
        return self.refused(reason, retry_after)

    def _name(self, node: NodeId) -> str:
        member = self._raft.membership.member(node)
        return f"{node:016x}" if member is None or not member.name else member.name

    def busy(self, reason: str, retry_after: Micros | None = None) -> Result:
        """Too much at once."""
        retry_after = retry_after or self._retry_after
        return refusal(Kind.FAILED, f"busy: {reason}; try again", retry_after=retry_after)


def refuse_all(parts: Sequence[Batch], result: Result) -> None:
    """Give every command of every batch the same answer."""
    for part in parts:
        part.refuse(result)
