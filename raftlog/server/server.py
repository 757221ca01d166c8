"""One node as a server: its data directory, its port, and the node itself once there is a log to run."""

import asyncio
import os
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Never, Self

import grpc.aio
from grpc_reflection.v1alpha import reflection

from raftlog import __version__
from raftlog.clock import Clock, SystemClock
from raftlog.core.ids import META_GROUP, Boot, ClusterId, GroupId, NodeId
from raftlog.core.membership import Membership
from raftlog.machine.typed import Machine
from raftlog.node import Node
from raftlog.pb import admin_pb2, client_pb2, raft_pb2  # noqa: F401 - server reflection finds them by their names
from raftlog.replay import Processes, Replays
from raftlog.server.address import Address, why_not_bound
from raftlog.server.health import SERVICE as HEALTH
from raftlog.server.health import Health
from raftlog.server.options import ServeOptions
from raftlog.server.rpc import ADMIN, LOG, AdminRpc, LogRpc
from raftlog.service import (
    AdminService,
    AlreadyInitialised,
    GroupStatus,
    NodeStatus,
    PeerProgress,
    Service,
    SnapshotService,
)
from raftlog.storage import (
    Disk,
    DiskError,
    Identity,
    LocalDisk,
    StorageRefused,
    Wal,
    keep_machine,
    load_or_create,
)
from raftlog.storage.identity import initialised
from raftlog.storage.restored import Restored, load_restored
from raftlog.transport.events import OnEvent, ignore
from raftlog.transport.grpc_bulk import GrpcBulk
from raftlog.transport.grpc_options import server_options
from raftlog.transport.grpc_peer import GrpcTransport
from raftlog.transport.handshake import NO_CLUSTER, PROTOCOL_VERSION
from raftlog.transport.handshake import Identity as PeerIdentity
from raftlog.transport.limits import Limits

PEER = "raftlog.pb.Peer"
_SERVICES = ("", LOG, ADMIN, PEER)
_STOP_SECONDS = 0.5


class CannotServe(Exception):
    """The server did not start; the sentence says why and what to do."""


class Server:
    """A member of a cluster behind a port; entered with `async with`, in any asyncio program.

        async with Server(ServeOptions(data_dir=Path("n1"), machine=Counter)) as server:
            print("listening at", server.address)
            await stop.wait()

    A fresh data directory only waits: it answers Admin.Status and refuses everything else until Admin.Initialise
    (`raftlog init`) gives it a cluster; then the node starts, in the same process. Leaving the block refuses new
    calls, waits until those under way are answered, and marks the end of the log.

    When the node fails (a failed sync, a broken invariant), the body is cancelled and the reason comes out of the
    `async with` in an ExceptionGroup. It has stopped promising anything by then; the next start decides what was kept.

    Invariants: `node` is set only while the identity has a cluster; Peer and Log refuse everything before.
    """

    def __init__(
        self, options: ServeOptions, *, clock: Clock | None = None, on_event: OnEvent = ignore
    ) -> None:
        """Nothing is touched before the `async with`.

        Args:
            options: what to serve, where.
            clock: time and entropy.
            on_event: told what happens, for the log of the program; must not block.

        Raises:
            CannotServe: Python was started with -O.
        """
        refuse_optimised()
        self.options = options
        self._clock = clock or SystemClock()
        self._on_event = on_event
        self._boot = Boot(self._clock.entropy())
        self._health = Health(_SERVICES)
        self._limits = Limits()
        self._stack = AsyncExitStack()
        self._tasks = asyncio.TaskGroup()
        self._initialising = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._node: Node | None = None
        self._restored: Restored | None = None
        self._running: asyncio.Task[None] | None = None
        self._disk: Disk
        self._identity: Identity
        self._transport: GrpcTransport
        self._log: LogRpc
        self._admin: AdminRpc
        self._address: Address

    # -- what the owner asks

    @property
    def address(self) -> Address:
        """Where it listens; the port is a real one."""
        return self._address

    @property
    def advertised(self) -> str:
        """Where others are told to reach it."""
        return str(self.options.advertise or self._address)

    @property
    def node_id(self) -> NodeId:
        """The node's identity, as old as its data directory."""
        return self._identity.node

    @property
    def waiting(self) -> bool:
        """Whether it still has to be initialised."""
        return self._identity.cluster is None

    @property
    def node(self) -> Node | None:
        """The running node: `submit`, `read` and `query` without a network in between. None while waiting."""
        return self._node

    # -- life

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open_directory(stack)
            server = self._open_port(stack)
            wal = None if self.waiting else await self._open_log()
            # What can fail for reasons of the world is behind us: from here on, errors come in a group.
            await stack.enter_async_context(self._tasks)
            await stack.enter_async_context(self._transport)
            if wal is not None:
                await self._start_node(wal)
            await server.start()
            stack.push_async_exit(self._stop)
            self._stack = stack.pop_all()
        self._health.set(ADMIN, serving=True)
        self._tell("waiting to be initialised" if self.waiting else "started")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def _open_directory(self, stack: AsyncExitStack) -> None:
        self._disk = self.options.disk_factory(self.options.data_dir)
        stack.push_async_callback(self._disk.close)
        points = self.options.failpoints
        self._identity = await load_or_create(self._disk, self._clock, failpoints=points)
        if self.waiting:
            self._restored = await load_restored(self._disk)
        if (
            not self.waiting or self._identity.machine
        ):  # a restored node has a machine before it has a cluster
            self._identity = await keep_machine(self._disk, self._identity, self.options.machine.name, points)

    def _open_port(self, stack: AsyncExitStack) -> grpc.aio.Server:
        """Everything that answers, on one port that is bound and not served yet."""
        identity = PeerIdentity(self.node_id, self._identity.cluster or NO_CLUSTER, self._boot)
        self._transport = GrpcTransport(
            identity,
            tls=self.options.tls,
            limits=self._limits,
            routes=self.options.routes,
            on_event=self._on_event,
        )
        self._bulk = GrpcBulk(
            self._transport.door,
            tls=self.options.tls,
            limits=self._limits,
            routes=self.options.routes,
            fail=self._transport.fail,
        )
        self._log = LogRpc(self._why_waiting(), self._fail)
        self._admin = AdminRpc(AdminService(self), self._why_waiting(), self._fail)
        server = grpc.aio.server(options=server_options(self._limits))
        stack.push_async_callback(server.stop, _STOP_SECONDS)
        server.add_generic_rpc_handlers(
            (
                self._transport.handlers(),
                self._bulk.handlers(),
                self._log.handlers(),
                self._admin.handlers(),
                self._health.handlers(),
            )
        )
        reflection.enable_server_reflection((LOG, ADMIN, PEER, HEALTH, reflection.SERVICE_NAME), server)
        self._address = self._bind(server)
        return server

    def _bind(self, server: grpc.aio.Server) -> Address:
        listen, tls = self.options.listen, self.options.tls
        try:
            if tls is None:
                port = server.add_insecure_port(str(listen))
            else:
                port = server.add_secure_port(str(listen), tls.server_credentials())
        except RuntimeError:
            reason = why_not_bound(listen)
            raise CannotServe(f"cannot listen at {listen}: {reason}; choose another --listen") from None
        return Address(listen.host, port)

    async def _stop(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer what is under way, then end the streams, then the node; the port closes last."""
        self._health.close()
        if self._node is not None and error is None:
            self._tell("stopping")
            await self._node.drain(self.options.drain_seconds)
        await self._log.close()
        self._stopping.set()
        if self._running is not None:
            await asyncio.wait([self._running])

    # -- the node

    async def _open_log(self) -> Wal:
        wal = await Wal.open(
            self._disk,
            identity=self._identity,
            entropy=self._clock.entropy,
            failpoints=self.options.failpoints,
            repair=True,
        )
        for damage in wal.damage:
            self._tell(
                "damaged: set aside as *.bad, and the rest is to come from other nodes", damage=str(damage)
            )
        return wal

    async def _start_node(self, wal: Wal) -> None:
        """Run the node until the server stops; returns once it runs."""
        node = Node(
            identity=self._identity,
            boot=self._boot,
            wal=wal,
            transport=self._transport,
            bulk=self._bulk,
            replays=self._replays(),
            clock=self._clock,
            machines=dict.fromkeys(wal.groups(), self.options.machine),
            settings=self.options.settings,
            retention=self.options.retention,
            on_event=self._on_event,
            on_health=self._tell_health,
            failpoints=self.options.failpoints,
        )
        started = asyncio.Event()
        self._running = self._tasks.create_task(self._run(node, started), name="node")
        await started.wait()

    def _replays(self) -> Replays | None:
        """Another process reads the node's files by their paths: it must not be a test's disk that they are on."""
        if type(self._disk) is LocalDisk:
            return Processes(self._disk.directory, entropy=self._clock.entropy)
        return None

    async def _run(self, node: Node, started: asyncio.Event) -> None:
        assert self._identity.cluster is not None, "a node runs in a cluster"
        self._transport.join(self._identity.cluster)
        async with node:
            self._node = node
            machine = self.options.machine
            self._log.open(Service(node, machine=machine if issubclass(machine, Machine) else None))
            self._admin.open(SnapshotService(node, self._bulk.give))
            self._health.set(PEER, serving=True)
            for impairment in self._impairments():
                self._tell(impairment)
            started.set()
            await self._stopping.wait()

    def _tell_health(self, serving: bool) -> None:
        if not self._health.closed:
            self._health.set("", LOG, serving=serving)
            self._tell("serving" if serving else "not serving: no leader is known")

    def _fail(self, error: BaseException) -> None:
        """Take the server down with `error`: a task of the group dies of it."""

        async def die() -> Never:
            raise error

        self._tasks.create_task(die(), name="service defect")

    # -- what operators ask (see raftlog.service.admin.Administration)

    def status(self) -> NodeStatus:
        """See `Administration.status`."""
        node = self._node
        return NodeStatus(
            node_id=self.node_id,
            boot=self._boot,
            cluster_id=self._identity.cluster or NO_CLUSTER,
            name=self.options.display_name,
            version=__version__,
            protocol_version=PROTOCOL_VERSION,
            pid=os.getpid(),
            peer_address=self.advertised,
            client_address=self.advertised,
            groups=tuple(self._group_status(node, group) for group in node.groups()) if node else (),
            impairments=self._impairments(),
            serving=node is not None and node.serving,
            retention=self.options.retention,
            restored=self._restored if self.waiting else None,
        )

    async def initialise(self, cluster_id: ClusterId, membership: Membership) -> NodeId:
        """See `Administration.initialise`. Goes on to its end when the caller goes away.

        Raises:
            AlreadyInitialised: as the port says.
            ValueError: this node is not among the voters.
            DiskError: the disk refused; the node waits as before.
        """
        work = self._tasks.create_task(self._initialise(cluster_id, membership), name="initialise")
        refused = await asyncio.shield(work)
        if refused is not None:
            raise refused
        return self.node_id

    async def _initialise(self, cluster_id: ClusterId, membership: Membership) -> Exception | None:
        """The refusal is returned: raised, it would take the server down."""
        async with self._initialising:
            if self.node_id not in membership.voters:
                return ValueError(
                    f"node {self.node_id:016x} is not among the voters of this record: ask it who it is"
                )
            if self._identity.cluster is not None:
                return self._why_initialised(cluster_id, membership)
            try:
                self._identity = await Wal.bootstrap(
                    self._disk,
                    identity=Identity(self.node_id, None, self.options.machine.name),
                    cluster_id=cluster_id,
                    groups={META_GROUP: membership},
                    restored=self._restored,
                    entropy=self._clock.entropy,
                    failpoints=self.options.failpoints,
                )
            except DiskError as error:
                return error
            except StorageRefused as error:
                if not await initialised(self._disk):
                    return AlreadyInitialised(str(error))  # its restored state is not whole, or not for this
                # An earlier try wrote the log and failed before it could say so: the next start reads it.
                return AlreadyInitialised(f"{error}. Start it again: it may be a member already")
            self._tell("initialised", cluster=f"{cluster_id:016x}", voters=len(membership.voters))
            await self._start_node(await self._open_log())
            return None

    def _why_initialised(self, cluster_id: ClusterId, membership: Membership) -> AlreadyInitialised | None:
        """None when the node has exactly this record already."""
        assert self._node is not None, "an initialised node runs"
        assert self._identity.cluster is not None, "a running node has a cluster"
        status = self._node.status(META_GROUP)
        same_record = status.membership_index == 0 and status.membership == membership
        if cluster_id == self._identity.cluster and same_record:
            return None
        who = f"node {self.node_id:016x} ({self.options.display_name})"
        return AlreadyInitialised(
            f"{who} belongs to cluster {self._identity.cluster:016x} already; nothing was changed"
        )

    def _group_status(self, node: Node, group: GroupId) -> GroupStatus:
        status = node.status(group)
        return GroupStatus(
            group=group,
            role=status.role,
            term=status.term,
            vote=status.vote,
            leader=status.leader,
            first=status.first,
            last=status.last,
            committed=status.committed,
            applied=status.applied,
            durable=status.durable,
            snapshot=status.snapshot,
            digest=status.digest,
            membership=status.membership,
            membership_index=status.membership_index,
            peers=tuple(
                PeerProgress(id=peer.id, mode=peer.mode, match=peer.match_index, next=peer.next_index)
                for peer in status.peers
            ),
            machine=self.options.machine.name,
        )

    # -- words

    def _impairments(self) -> tuple[str, ...]:
        armed = self.options.failpoints.rules
        found = (
            [f"failpoints are armed, so it fails on purpose: {'; '.join(map(str, armed))}"] if armed else []
        )
        if self._node is None:
            return tuple(found)
        found += self._node.impairments
        found += [
            f"group {group} neither votes nor leads until other nodes have told it what damage has cost it: {why}"
            for group in self._node.groups()
            if (why := self._node.wal.impairment(group))
        ]
        member = self._node.status(META_GROUP).membership.member(self.node_id)
        if member is not None and member.client_address != self.advertised:
            found.append(
                f"the cluster looks for this node ({member.name}) at {member.client_address}, and it advertises "
                f"{self.advertised}: start it there, or is this another node's data directory?"
            )
        return tuple(found)

    def _tell(self, text: str, **fields: object) -> None:
        self._on_event(text, {"node": f"{self.node_id:016x}", **fields})

    def _why_waiting(self) -> str:
        return (
            f"node {self.node_id:016x} ({self.options.display_name}) waits to be initialised and belongs to no "
            "cluster: run `raftlog init` with the addresses of all its nodes"
        )


def refuse_optimised() -> None:
    """The assertions are part of what keeps the log safe.

    Raises:
        CannotServe: Python was started with -O or PYTHONOPTIMIZE.
    """
    if not __debug__:
        raise CannotServe(
            "raftlog does not serve under python -O, because its assertions guard the log: start it without -O and "
            "without PYTHONOPTIMIZE"
        )
