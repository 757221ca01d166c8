"""One process's part of the cluster: its groups, and the log, the network and the clock they share."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Self

import msgspec

from raftlog.clock import Clock
from raftlog.core.entry import Command
from raftlog.core.ids import META_GROUP, Boot, ClusterId, GroupId, Index, Micros, NodeId
from raftlog.core.membership import Membership
from raftlog.core.message import Message
from raftlog.core.settings import Settings
from raftlog.core.status import Status
from raftlog.failpoints import INERT, FailpointCrash, FailpointError, Failpoints
from raftlog.machine.contract import StateMachine
from raftlog.machine.result import Kind, Result, refusal
from raftlog.node.calls import Done
from raftlog.node.limits import Limits
from raftlog.node.offload import Offload, Threads
from raftlog.node.reads import ReadDone
from raftlog.node.replica import Replica
from raftlog.node.retention import Retention
from raftlog.node.snapshotting import Making
from raftlog.node.trouble import DiskHealth
from raftlog.node.writer import Writer
from raftlog.replay import Replays
from raftlog.storage import DiskError, Identity, Wal
from raftlog.storage.snapshots import Manifest, SnapshotId
from raftlog.storage.snapshots.manifest import encode as encode_manifest
from raftlog.transport.bulk import Bulk, ManifestWanted, NoBulk, PieceWanted, Wanted
from raftlog.transport.client_frames import Level
from raftlog.transport.codec import (
    decode_frame,
    encode_forward,
    encode_forward_reply,
    encode_message,
    lane_of,
)
from raftlog.transport.events import OnEvent
from raftlog.transport.frames import BadFrame, Forward, ForwardReply
from raftlog.transport.port import Lane, Transport

_commands = msgspec.msgpack.Decoder(list[Command])


class Node:
    """A member of a cluster, entered with `async with`; runs as a process of its own or inside any asyncio program.

    It owns the log and the transport and closes both on leaving. What a crash or a failed sync leaves undecided is
    decided by recovery at the next start. A defect, or a disk that fails a sync, cancels the body of the `async with`
    and comes out of it as an ExceptionGroup: such a node has stopped promising anything.

    Invariants: everything is decided in `_pump`, which awaits nothing; what the outside hands in between two pumps
    waits in bounded queues.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        boot: Boot,
        wal: Wal,
        transport: Transport,
        bulk: Bulk | None = None,
        clock: Clock,
        machines: Mapping[GroupId, Callable[[], StateMachine]],
        settings: Settings | None = None,
        limits: Limits | None = None,
        retention: Retention | None = None,
        offload: Offload | None = None,
        replays: Replays | None = None,
        on_event: OnEvent = lambda text, fields: None,
        on_health: Callable[[bool], None] = lambda serving: None,
        failpoints: Failpoints = INERT,
    ) -> None:
        """`machines` gives, per group in the log, what makes a fresh machine: most often the class itself.

        Without `bulk` snapshots neither go to peers nor come from them. Without `replays`, and for machines that cannot
        be imported, they are made of the state in use, which holds up the loop.

        Raises:
            ValueError: the log has a group without a machine.
        """
        if identity.cluster is None:
            raise ValueError(f"node {identity.node:016x} waits to be initialised: there is no log to run yet")
        if missing := [group for group in wal.groups() if group not in machines]:
            raise ValueError(f"no machine was given for the groups {missing} of this log")
        self.boot = boot
        self.failpoints = failpoints
        self.clock = clock
        self.wal = wal
        self.limits = limits or Limits()
        self.settings = settings or Settings()
        self.bulk = bulk or NoBulk()
        self.offload = offload or Threads()
        self.replays = replays
        self.writer = Writer(
            wal,
            max_bytes=self.limits.write,
            on_done=self.kick,
            on_event=on_event,
            failpoints=failpoints,
        )
        self._id = identity.node
        self._cluster_id = identity.cluster
        self._transport = transport
        self._on_event = on_event
        self._on_health = on_health
        self._woken = asyncio.Event()
        self._inbox_bytes = {Lane.URGENT: 0, Lane.BULK: 0}
        self._members: Membership | None = None
        self._serving = False
        self._draining = False
        self._idle: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Micros = 0
        self._tasks = asyncio.TaskGroup()
        self._aside: set[asyncio.Task[None]] = set()
        self._replicas = {
            group: Replica(
                self,
                node=identity.node,
                group=group,
                recovered=wal.recovered(group),
                machine=machines[group],
                settings=self.settings,
                limits=self.limits,
                retention=retention or Retention(),
                random=Random(clock.entropy()),
                on_event=on_event,
            )
            for group in wal.groups()
        }
        self.disk = DiskHealth(self, self._replicas, on_event)

    # -- life

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._transport.bind(self)
        self.bulk.serve(self)
        for replica in self._replicas.values():
            replica.restoring.begin()
        self._writing = self._tasks.create_task(self.writer.run(), name="writer")
        self._pumping = self._tasks.create_task(self._run(), name="pump")
        self.kick()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draining = True
        try:
            await self.bulk.close()
            await self._transport.close()
            for task in self._aside:
                task.cancel()
            self._pumping.cancel()
            for replica in self._replicas.values():
                replica.close()
            self.writer.close()
            await self._tasks.__aexit__(kind, error, trace)
            if self.failpoints.armed:
                await self.failpoints.hit("node.before_log_close", FailpointError)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self.offload.close()
            if self.replays is not None:
                self.replays.close()
            await self.wal.close()

    async def drain(self, grace: float) -> None:
        """Refuse new commands and reads, and wait until those under way are answered, `grace` seconds at most."""
        if self.failpoints.armed:
            await self.failpoints.hit("node.before_drain", FailpointError)
        self._draining = True
        self._idle = asyncio.Event()
        self.kick()
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            self._on_event("gave up waiting for calls under way", {"grace_seconds": grace})

    # -- what the service asks (see raftlog.service.requests)

    @property
    def cluster_id(self) -> ClusterId:
        """The cluster this node belongs to."""
        return self._cluster_id

    def serves(self, group: GroupId) -> bool:
        """Whether this node has the group."""
        return group in self._replicas

    def refusals(self, group: GroupId, commands: Sequence[Command]) -> Mapping[int, Result]:
        """The refusals of those commands that must not enter the log, by position."""
        return self._replicas[group].applying.applier.refusals(commands)

    def check(self, group: GroupId, command: Command) -> Result | None:
        """Why a command can never succeed, in words, or None."""
        return self._replicas[group].applying.applier.check(command)

    def submit(self, group: GroupId, commands: Sequence[Command], done: Done) -> None:
        """Propose, or forward, the commands as one batch; `done` gets one result per command, once."""
        if self._draining:
            done([_CLOSING] * len(commands))
            return
        self._replicas[group].submit(tuple(commands), done)  # theirs to change again once this returns
        self.kick()

    def read(self, group: GroupId, level: Level, done: ReadDone) -> None:
        """Call `done` once local state may answer queries of this level, or with the refusal."""
        if level is Level.LOCAL:
            done(None)
        elif self._draining:
            done(_CLOSING)
        else:
            self._replicas[group].read(done)
            self.kick()

    def query(self, group: GroupId, machine: int, body: bytes) -> Result:
        """Answer one query from local state."""
        return self._replicas[group].query(machine, body)

    def leader(self, group: GroupId) -> str:
        """Client address of the group's leader when that is another node, else empty."""
        return self._replicas[group].leader_address or ""

    def applied(self, group: GroupId) -> Index:
        """Local state reflects the group's log up to here."""
        return self._replicas[group].applying.applier.applied.index

    # -- what operators ask

    @property
    def serving(self) -> bool:
        """Whether every group has replayed what was committed at start and knows a leader."""
        return self._serving

    def groups(self) -> tuple[GroupId, ...]:
        """Every group, sorted."""
        return tuple(self._replicas)

    def status(self, group: GroupId = META_GROUP) -> Status:
        """Everything an outside checker needs about one group."""
        return self._replicas[group].status()

    @property
    def impairments(self) -> tuple[str, ...]:
        """What keeps this node from writing, applying or reading its log, one sentence each."""
        holes = tuple(f"the log has a hole: {hole}" for hole in self.wal.damage)
        troubles = (replica.applying.trouble for replica in self._replicas.values())
        states = (replica.snapshotting.trouble for replica in self._replicas.values())
        doubts = (doubt for replica in self._replicas.values() for doubt in replica.doubts)
        of_state = (trouble for trouble in (*troubles, *states) if trouble is not None)
        return (*holes, *self.disk.sentences, *of_state, *doubts)

    def newest_snapshot(self, group: GroupId) -> Manifest | None:
        """The newest durable one of a group; none of one whose state is not to be trusted."""
        replica = self._replicas.get(group)
        trusted = replica is not None and not replica.raft.fenced
        return self.wal.snapshots.newest(group) if trusted else None

    def snapshot_soon(self, group: GroupId, covers: Index) -> Making:
        """Have one taken that reaches `covers`, which is applied here, unless there is one; and how far that is."""
        snapshotting, newest = self._replicas[group].snapshotting, self.newest_snapshot(group)
        if (newest is None or newest.meta.last.index < covers) and not snapshotting.making.writing:
            snapshotting.ask()
            self.kick()
        return snapshotting.making

    # -- the transport delivers

    def receive(self, peer: NodeId, lane: Lane, frame: bytes) -> None:
        """Note a frame; dropped, as a network may, when too much has not been looked at yet."""
        if self._inbox_bytes[lane] + len(frame) > self.limits.inbox and self._inbox_bytes[lane]:
            return
        try:
            if self.failpoints.armed and self.failpoints.fails("node.before_receive"):
                return
            self._deliver(peer, frame)
        except FailpointCrash as crash:
            self.start(_raise(crash))  # the transport is not to blame: the node ends
            return
        except BadFrame as problem:
            self._on_event(f"dropped a frame: {problem}", {"peer": f"{peer:016x}"})
            return
        self._inbox_bytes[lane] += len(frame)
        self.kick()

    def _deliver(self, peer: NodeId, encoded: bytes) -> None:
        frame = decode_frame(encoded)
        replica = self._replicas.get(frame.group)
        if replica is None:
            raise BadFrame(f"this node has no group {frame.group}")
        match frame:
            case Forward():
                refused = _CLOSING if self._draining else None
                replica.forwarded(peer, frame, _decode_commands(frame), refused)
            case ForwardReply():
                replica.forward_answered(peer, frame)
            case _ if frame.sender != peer:
                raise BadFrame(f"it claims to come from {frame.sender:016x}")
            case _:
                replica.receive(frame)

    async def give(self, wanted: Wanted) -> bytes | None:
        """See `raftlog.transport.bulk.Source`."""
        snapshots = self.wal.snapshots
        match wanted:
            case ManifestWanted(group=group):
                newest = self.newest_snapshot(group)
                if newest is None:
                    return None
                snapshots.given(newest, self.clock.monotonic())
                return encode_manifest(newest)
            case PieceWanted():
                manifest = snapshots.find(SnapshotId(wanted.snapshot))
                if manifest is None or wanted.part > len(manifest.parts):
                    return None
                if self.newest_snapshot(manifest.group) is None:
                    return None
                snapshots.given(manifest, self.clock.monotonic())
                try:
                    return await snapshots.piece(manifest, wanted.part, wanted.offset, wanted.length)
                except DiskError:
                    return None  # dropped meanwhile, or unreadable: another node may have it

    # -- what replicas ask

    def kick(self) -> None:
        """Have the pump run once more, after everything else that is ready now."""
        self._woken.set()

    def send(self, frame: Message | Forward | ForwardReply, to: NodeId) -> bool:
        """Encode and queue a frame; False when it was dropped."""
        if self.failpoints.armed and self.failpoints.fails("node.before_send"):
            return False
        match frame:
            case Forward():
                encoded = encode_forward(frame)
            case ForwardReply():
                encoded = encode_forward_reply(frame)
            case _:
                encoded = encode_message(frame)
        return self._transport.send(to, lane_of(frame), encoded)

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of this node: when it fails, the node does."""
        self._tasks.create_task(work)

    def start_aside(self, work: Coroutine[object, object, None]) -> None:
        """The same for what may take long: leaving the node cancels it."""
        task = self._tasks.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    # -- the pump

    async def _run(self) -> None:
        if self.failpoints.armed:
            await self.failpoints.hit("node.before_first_pump", FailpointError)
        while True:
            await self._woken.wait()
            self._woken.clear()
            self._pump()
            if self._woken.is_set():
                await asyncio.sleep(0)  # waiting for an event that is set lets nobody else run

    def _pump(self) -> None:
        now = self.clock.monotonic()
        self._inbox_bytes[Lane.URGENT] = self._inbox_bytes[Lane.BULK] = 0
        self.writer.deliver()
        self.disk.look(now)
        for replica in self._replicas.values():
            replica.pump(now)
        self._meet_members()
        self._arm(now)
        self._tell()

    def _meet_members(self) -> None:
        """Connect to the members of group 0, which every other group draws from."""
        members = self._replicas[META_GROUP].membership
        if members is not self._members:
            self._members = members
            addresses = {m.id: m.peer_address for m in members.members if m.id != self._id}
            self._transport.connect(addresses)
            self.bulk.connect(addresses)

    def _arm(self, now: Micros) -> None:
        """Set the timer for the earliest deadline; one that moved further away is left to fire for nothing."""
        due = min(replica.deadline for replica in self._replicas.values())
        if self._timer is not None and now < self._timer_at <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = max(due, now)
        self._timer = asyncio.get_running_loop().call_later((self._timer_at - now) / 1e6, self._due)

    def _due(self) -> None:
        # A timer may fire a little early (uvloop counts in milliseconds): whoever comes next must arm a new one.
        self._timer = None
        self.kick()

    def _tell(self) -> None:
        up = not self._draining and not self.disk.hangs
        serving = up and all(replica.serving for replica in self._replicas.values())
        if serving != self._serving:
            self._serving = serving
            self._on_health(serving)
        if self._idle is not None and all(replica.idle for replica in self._replicas.values()):
            self._idle.set()


_CLOSING = refusal(Kind.FAILED, "this node is shutting down; ask another")


async def _raise(error: BaseException) -> None:
    raise error


def _decode_commands(forward: Forward) -> list[Command]:
    try:
        return _commands.decode(forward.commands)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"a forward without commands: {error}") from None
