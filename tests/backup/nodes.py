"""The operator's twin in simulations: calls to whole nodes of a `World`, without a network in between."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import TypeVar

from raftlog.admin import Absent, GroupStatus, Member, Refused, SnapshotReply, StatusReply, Unreachable
from raftlog.core.ids import META_GROUP, GroupId, Index
from raftlog.pb import admin_pb2 as pb
from raftlog.service import CallRefused, Code, SnapshotService
from tests.simulation.world import CLUSTER, Host, World

Piece = pb.ReadSnapshotRequest
T = TypeVar("T")


class SimNodes:
    """See `raftlog.backup.taking.Nodes`. A host that is down gives no answer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.on_piece: Callable[[Host, Piece], Awaitable[None]] | None = None
        """Called before a piece is read."""
        self.spoil: Callable[[Host, bytes], bytes] = lambda host, content: content
        """What becomes of pieces on their way."""
        self.asked: list[tuple[str, str]] = []
        """Address and call of everything but status and pieces."""

    async def statuses(self, addresses: Iterable[str]) -> Mapping[str, StatusReply | Unreachable | Refused]:
        """See `Operator.statuses`."""
        return {address: self._status(address) for address in addresses}

    async def snapshot(
        self, address: str, group: GroupId, *, covers: Index = 0, linearizable: bool = False
    ) -> SnapshotReply:
        """See `Operator.snapshot`."""
        self.asked.append((address, "snapshot"))
        request = pb.SnapshotRequest(group=group, covers=covers, linearizable=linearizable)
        answer = await self._call(address, "snapshot", request.SerializeToString())
        return SnapshotReply.FromString(answer)

    async def manifest(self, address: str, group: GroupId) -> bytes:
        """See `Operator.manifest`."""
        self.asked.append((address, "manifest"))
        return await self._read(address, pb.ReadSnapshotRequest(group=group))

    async def piece(
        self, address: str, group: GroupId, snapshot: int, part: int, offset: int, length: int
    ) -> bytes:
        """See `Operator.piece`."""
        request = pb.ReadSnapshotRequest(
            group=group, snapshot=snapshot, part=part, offset=offset, length=length
        )
        host = self.host(address)
        if self.on_piece is not None:
            await self.on_piece(host, request)
        return self.spoil(host, await self._read(address, request))

    def host(self, address: str) -> Host:
        """Whose address that is."""
        return next(host for host in self.world.hosts if address == f"{host.name}:2")

    async def _read(self, address: str, request: pb.ReadSnapshotRequest) -> bytes:
        answer = await self._call(address, "read_snapshot", request.SerializeToString())
        return pb.ReadSnapshotReply.FromString(answer).content

    async def _call(self, address: str, method: str, request: bytes) -> bytes:
        host = self.host(address)
        if host.node is None:
            raise Unreachable(address, "connection refused")
        service = SnapshotService(host.node, host.node.give)
        call: Coroutine[object, object, bytes] = getattr(service, method)(request)
        answering = asyncio.get_running_loop().create_task(call)
        await asyncio.wait((answering,), timeout=3)
        if not answering.done() or host.node is None:
            answering.cancel()
            raise Unreachable(address, "no answer in time")
        try:
            return answering.result()
        except CallRefused as refused:
            kind = Absent if refused.code is Code.NOT_FOUND else Refused
            raise kind(f"{address} refused: {refused}") from None

    def _status(self, address: str) -> StatusReply | Unreachable:
        host = self.host(address)
        if host.node is None:
            return Unreachable(address, "connection refused")
        status = host.node.status()
        return StatusReply(
            node_id=host.id,
            cluster_id=CLUSTER,
            name=host.name,
            client_address=address,
            serving=host.node.serving,
            groups=[
                GroupStatus(
                    group=META_GROUP,
                    role=status.role,
                    applied=status.applied,
                    snapshot=status.snapshot,
                    members=[
                        Member(id=each.id, name=each.name, client_address=each.client_address)
                        for each in status.membership.members
                    ],
                )
            ],
        )
