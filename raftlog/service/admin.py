"""The operators' service of a node: who it is, how it sees its groups, and its first initialisation."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec
from google.protobuf.message import DecodeError

from raftlog.core.ids import Boot, ClusterId, GroupId, Index, NodeId, Term
from raftlog.core.membership import Member, Membership
from raftlog.node.retention import Retention
from raftlog.pb import admin_pb2 as pb
from raftlog.service.unary import CallRefused, Code
from raftlog.storage.restored import Restored
from raftlog.storage.snapshots import Manifest

Request = TypeVar(
    "Request", pb.StatusRequest, pb.InitialiseRequest, pb.SnapshotRequest, pb.ReadSnapshotRequest
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerProgress:
    """A follower, as the leader sees it."""

    id: NodeId
    mode: str
    match: Index
    next: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """One group at one node."""

    group: GroupId
    role: str
    term: Term
    vote: NodeId | None
    leader: NodeId | None
    first: Index
    last: Index
    committed: Index
    applied: Index
    durable: Index
    snapshot: Index
    digest: int
    membership: Membership
    membership_index: Index
    """Of the entry that set the membership; 0: the bootstrap record did."""
    peers: tuple[PeerProgress, ...]
    """Empty unless this node leads."""
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A node and its groups at one moment."""

    node_id: NodeId
    boot: Boot
    cluster_id: ClusterId
    """0: waiting to be initialised."""
    name: str
    version: str
    protocol_version: int
    pid: int
    peer_address: str
    client_address: str
    groups: tuple[GroupStatus, ...]
    impairments: tuple[str, ...]
    """What keeps it from being a full member, one sentence each."""
    serving: bool
    """Has applied what was committed when it started, and knows a leader."""
    retention: Retention
    restored: Restored | None = None
    """While it waits: the state it will begin with."""


class AlreadyInitialised(Exception):
    """The node belongs to a cluster, which the text names; nothing was changed."""


class Administration(Protocol):
    """What the operators' service asks of the process it stands in."""

    def status(self) -> NodeStatus:
        """The present status; cheap enough to be polled."""
        ...

    async def initialise(self, cluster_id: ClusterId, membership: Membership) -> NodeId:
        """Write the bootstrap record and return this node's id once it is durable.

        Asked again with the same cluster and membership it answers the same, so that an `init` that was cut short can
        be repeated.

        Raises:
            AlreadyInitialised: the node belongs to another cluster, or to this one with other members.
            ValueError: this node is not among the voters.
        """
        ...


class AdminService:
    """Answers the calls of pb.Admin: bytes in, bytes out."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    async def status(self, request: bytes) -> bytes:
        """Answer a pb.StatusRequest with a pb.StatusReply.

        Raises:
            CallRefused: the bytes are no request.
        """
        decode(pb.StatusRequest, request)
        return _status_reply(self._administration.status()).SerializeToString()

    async def initialise(self, request: bytes) -> bytes:
        """Answer a pb.InitialiseRequest with a pb.InitialiseReply.

        Raises:
            CallRefused: the request makes no sense, or the node belongs to a cluster; nothing was changed.
        """
        asked = decode(pb.InitialiseRequest, request)
        if not asked.cluster_id:
            raise CallRefused(Code.INVALID_ARGUMENT, "a cluster id of 0 means none: draw a random one")
        try:
            membership = _membership(asked)
            node = await self._administration.initialise(ClusterId(asked.cluster_id), membership)
        except AlreadyInitialised as error:
            raise CallRefused(Code.FAILED_PRECONDITION, str(error)) from None
        except ValueError as error:
            raise CallRefused(Code.INVALID_ARGUMENT, str(error)) from None
        return pb.InitialiseReply(node_id=node).SerializeToString()


def decode(kind: type[Request], request: bytes) -> Request:
    """Read a request.

    Raises:
        CallRefused: the bytes are none.
    """
    try:
        return kind.FromString(request)
    except DecodeError:
        raise CallRefused(
            Code.INVALID_ARGUMENT, f"these {len(request)} bytes are no {kind.DESCRIPTOR.name}"
        ) from None


def _membership(asked: pb.InitialiseRequest) -> Membership:
    if not asked.voters:
        raise ValueError("a cluster needs at least one voter")
    members = tuple(
        Member(NodeId(voter.id), voter.name, voter.peer_address, voter.client_address)
        for voter in sorted(asked.voters, key=lambda voter: voter.id)
    )
    return Membership(voters=tuple(member.id for member in members), members=members)


def _status_reply(status: NodeStatus) -> pb.StatusReply:
    return pb.StatusReply(
        node_id=status.node_id,
        boot=status.boot,
        cluster_id=status.cluster_id,
        name=status.name,
        version=status.version,
        protocol_version=status.protocol_version,
        pid=status.pid,
        peer_address=status.peer_address,
        client_address=status.client_address,
        groups=[_group_status(group) for group in status.groups],
        impairments=status.impairments,
        serving=status.serving,
        retention=pb.Retention(**msgspec.structs.asdict(status.retention)),
        restored=None if status.restored is None else _restored(status.restored),
    )


def _restored(restored: Restored) -> pb.RestoredState:
    return pb.RestoredState(
        cluster_id=restored.source,
        taken_at=restored.taken_at,
        groups=[
            pb.RestoredGroup(group=manifest.group, snapshot=snapshot_of(manifest))
            for manifest in restored.manifests
        ],
    )


def snapshot_of(manifest: Manifest) -> pb.SnapshotOf:
    """A snapshot in a reply."""
    last = manifest.meta.last
    return pb.SnapshotOf(id=manifest.id.value, index=last.index, term=last.term, size=manifest.size)


def _group_status(status: GroupStatus) -> pb.GroupStatus:
    membership = status.membership
    return pb.GroupStatus(
        group=status.group,
        role=status.role,
        term=status.term,
        vote=status.vote or 0,
        leader=status.leader or 0,
        first=status.first,
        last=status.last,
        committed=status.committed,
        applied=status.applied,
        durable=status.durable,
        snapshot=status.snapshot,
        digest=status.digest,
        voters=membership.voters,
        outgoing=membership.outgoing,
        learners=membership.learners,
        membership_index=status.membership_index,
        members=[_member(member) for member in membership.members],
        peers=[pb.PeerProgress(id=p.id, mode=p.mode, match=p.match, next=p.next) for p in status.peers],
        machine=status.machine,
    )


def _member(member: Member) -> pb.Member:
    return pb.Member(
        id=member.id,
        name=member.name,
        peer_address=member.peer_address,
        client_address=member.client_address,
    )
