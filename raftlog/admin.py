"""The operator's side of a node: ask it who it is, and give waiting nodes their cluster."""

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import grpc
import grpc.aio

from raftlog.core.ids import ClusterId, GroupId, Index
from raftlog.pb import admin_pb2 as pb
from raftlog.transport.grpc_errors import GRPC_FAILURES, why
from raftlog.transport.grpc_options import open_channel
from raftlog.transport.limits import Limits
from raftlog.transport.tls import TlsFiles

StatusReply = pb.StatusReply
GroupStatus = pb.GroupStatus
SnapshotReply = pb.SnapshotReply
Member = pb.Member

_TIMEOUT = 3.0


class Unreachable(Exception):
    """No node answers there; the text says where, and why as far as is known."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"no node answers at {address}: {reason}")
        self.address = address


class Refused(Exception):
    """A node answered that it will not; the text is its sentence."""


class Absent(Refused):
    """A node answered that it does not have what was asked for, or no longer."""


class Operator:
    """Calls of pb.Admin to any number of nodes; entered with `async with`."""

    def __init__(self, tls: TlsFiles | None = None) -> None:
        self._tls = tls
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def status(self, address: str, *, timeout: float = _TIMEOUT) -> StatusReply:
        """Who the node is and how it sees its groups.

        Raises:
            Unreachable: nobody answered within `timeout` seconds.
            Refused: whoever answered is no node of this protocol.
        """
        answer = await self._call(address, "Status", pb.StatusRequest().SerializeToString(), timeout)
        return pb.StatusReply.FromString(answer)

    async def statuses(
        self, addresses: Iterable[str], *, timeout: float = _TIMEOUT
    ) -> dict[str, StatusReply | Unreachable | Refused]:
        """The same of many nodes at once, in the order given; who does not answer is a value here.

        Raises:
            BadTlsFiles: a TLS file does not serve.
        """

        async def one(address: str) -> StatusReply | Unreachable | Refused:
            try:
                return await self.status(address, timeout=timeout)
            except (Unreachable, Refused) as error:
                return error

        asked = list(dict.fromkeys(addresses))
        for address in asked:
            self._channel(address)
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(one(address)) for address in asked]
        return {address: answer.result() for address, answer in zip(asked, answers, strict=True)}

    async def initialise(self, address: str, cluster: ClusterId, voters: Sequence[Member]) -> None:
        """Have a waiting node write the bootstrap record. The same record again is answered alike.

        Raises:
            Unreachable: no answer came; the node may have written it.
            Refused: the node belongs to a cluster, or is not among the voters; nothing was changed.
        """
        request = pb.InitialiseRequest(cluster_id=cluster, voters=voters)
        await self._call(address, "Initialise", request.SerializeToString(), 10 * _TIMEOUT)

    async def snapshot(
        self, address: str, group: GroupId, *, covers: Index = 0, linearizable: bool = False
    ) -> SnapshotReply:
        """Have the node take a snapshot that reaches `covers`, and how far that is; to be asked until it is `done`.

        Args:
            address: the node.
            group: which of its groups.
            covers: an index; 0: what the node has applied now, and the reply says which index that is.
            linearizable: with `covers` 0: everything that was acknowledged anywhere before the call.

        Raises:
            Unreachable: no answer came.
            Refused: it has no such group or waits to be initialised; or it cannot tell at the moment what was
                acknowledged: nobody leads.
        """
        request = pb.SnapshotRequest(group=group, covers=covers, linearizable=linearizable)
        answer = await self._call(address, "Snapshot", request.SerializeToString(), 2 * _TIMEOUT)
        return pb.SnapshotReply.FromString(answer)

    async def manifest(self, address: str, group: GroupId) -> bytes:
        """The manifest of the group's newest snapshot on that node, as it lies on its disk.

        Raises:
            Absent: it has none.
            Unreachable, Refused: as `snapshot` does.
        """
        return await self._read(address, pb.ReadSnapshotRequest(group=group))

    async def piece(
        self, address: str, group: GroupId, snapshot: int, part: int, offset: int, length: int
    ) -> bytes:
        """Bytes of a part, counted from 1, of the snapshot with that id; not checked. Raises as `manifest` does."""
        request = pb.ReadSnapshotRequest(
            group=group, snapshot=snapshot, part=part, offset=offset, length=length
        )
        return await self._read(address, request)

    async def _read(self, address: str, request: pb.ReadSnapshotRequest) -> bytes:
        # The node spreads what it gives away over time: a piece may have to wait its turn.
        answer = await self._call(address, "ReadSnapshot", request.SerializeToString(), 5 * _TIMEOUT)
        return pb.ReadSnapshotReply.FromString(answer).content

    async def _call(self, address: str, method: str, request: bytes, timeout: float) -> bytes:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel(address).unary_unary(
            f"/raftlog.pb.Admin/{method}"
        )
        call = ask(request, timeout=timeout)
        try:
            return await call
        except GRPC_FAILURES as error:
            reason = await why(error, call)
            if isinstance(error, grpc.aio.AioRpcError) and error.code() in _SILENCE:
                raise Unreachable(address, reason) from None
            if isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.NOT_FOUND:
                raise Absent(f"{address}: {reason}") from None
            raise Refused(f"{address} refused: {reason}") from None

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = open_channel(address, self._tls, Limits())
        return channel


_SILENCE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
