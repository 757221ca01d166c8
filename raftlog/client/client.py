"""The asyncio client of a cluster."""

import asyncio
from collections.abc import Sequence
from random import Random
from types import TracebackType
from typing import Self

from raftlog.client.calls import Calls
from raftlog.client.engine import ANY_CLUSTER, Engine
from raftlog.client.limits import Limits
from raftlog.client.ordered import OrderedEngine
from raftlog.client.pipeline import Pipeline
from raftlog.clock import SystemClock
from raftlog.core.ids import META_GROUP, ClusterId, GroupId, Index
from raftlog.transport.client_frames import Level
from raftlog.transport.link import Dialer

USER_MACHINE = 1


class Client(Calls):
    """Calls machines on a cluster, whichever node leads it.

        async with Client(["10.0.0.1:7001", "10.0.0.2:7001"]) as client:
            await client.call(Counter.add, 3)

    Any node will do: it keeps a stream to one, follows hints to the leader, and goes to the next when one fails. With a
    session (the default) a command whose answer was lost is sent again and still applied once. Concurrent calls travel
    together. Belongs to the event loop it was entered on.

    Invariants: one task per link end, all in one TaskGroup that ends with the block; nothing is sent after it.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        dialer: Dialer | None = None,
        random: Random | None = None,
        deadline: float = 10.0,
        session: bool = True,
        follow: bool = True,
        group: GroupId = META_GROUP,
        cluster_id: ClusterId = ANY_CLUSTER,
        limits: Limits | None = None,
    ) -> None:
        """A client of the nodes at `addresses` (`host:port`); one is enough to find the others by.

        `deadline`: seconds for each call. `dialer`: by default plain gRPC, closed with the client; one that is given
        stays open. `session=False`: a command whose answer is lost is `CallUnknown` at once. `follow=False`: speak to
        the given addresses only, whoever leads. `cluster_id`: refuse nodes of any other cluster (0: that
        of whichever answers first).
        """
        super().__init__(
            self._running, deadline=deadline, level=Level.LINEARIZABLE, machine=USER_MACHINE, version=1
        )
        self._addresses = tuple(addresses)
        self._dialer = dialer
        self._own_dialer: Dialer | None = None
        self._random = random or Random(SystemClock().entropy())
        self._session = session
        self._follow = follow
        self._group = group
        self._cluster_id = cluster_id
        self._limits = limits
        self._engine: Engine | None = None
        self._tasks = asyncio.TaskGroup()
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            raise RuntimeError("a client is entered once: make another")
        if self._dialer is None:
            self._dialer = self._own_dialer = self._default_dialer()
        self._engine = Engine(
            self._addresses,
            self._dialer,
            self._random,
            group=self._group,
            cluster_id=self._cluster_id,
            session=self._session,
            follow=self._follow,
            limits=self._limits,
        )
        await self._tasks.__aenter__()
        self._runner = self._tasks.create_task(self._engine.run(), name="raftlog client")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._engine is not None, "left without being entered"
        assert self._runner is not None, "left without being entered"
        try:
            await self._engine.close()
        finally:
            self._runner.cancel()
            try:
                # The group is to see a cancellation, which may be its own doing; the block's errors are not its affair
                # and must not reach the caller wrapped into a group.
                cancelled = isinstance(error, asyncio.CancelledError)
                await self._tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
            finally:
                if self._own_dialer is not None:
                    await self._own_dialer.close()

    def pipeline(self) -> Pipeline:
        """Commands in order: `async with client.pipeline() as pipeline:`. It ends before the client does."""
        return Pipeline(
            self._ordered_engine,
            self._tasks,
            deadline=self._deadline,
            machine=self._machine,
            version=self._version,
        )

    @property
    def applied(self) -> Index:
        """Answers so far reflect the group's log up to here at least."""
        return self._running().applied

    def _running(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the client has not been entered: write `async with Client(...) as client:`")
        return self._engine

    def _ordered_engine(self) -> OrderedEngine:
        self._running()
        assert self._dialer is not None, "a client that was entered has a dialer"
        return OrderedEngine(
            self._addresses,
            self._dialer,
            Random(self._random.getrandbits(64)),
            group=self._group,
            cluster_id=self._cluster_id,
            follow=self._follow,
            limits=self._limits,
        )

    def _default_dialer(self) -> Dialer:
        from raftlog.transport.grpc_link import (
            GrpcDialer,
        )  # not before it is needed: importing gRPC takes long

        return GrpcDialer()
