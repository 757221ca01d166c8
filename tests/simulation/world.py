"""Three whole nodes on the ports' in-memory twins, under one seed and in virtual time."""

import asyncio
from collections.abc import Callable, Mapping
from random import Random

from raftlog.core.ids import META_GROUP, Boot, ClusterId, GroupId, NodeId
from raftlog.core.membership import Member, Membership
from raftlog.core.settings import Settings
from raftlog.failpoints import INERT, FailpointCrash, Failpoints, OnHit
from raftlog.machine.contract import StateMachine
from raftlog.node import Node
from raftlog.node.retention import Retention
from raftlog.replay import Replays
from raftlog.service import Service
from raftlog.storage import DiskError, Identity, Wal
from raftlog.storage.restored import load_restored
from raftlog.storage.snapshots import PART_SIZE
from raftlog.testing.bulk import SimBulk
from raftlog.testing.clock import SimClock
from raftlog.testing.disk import SimDisk
from raftlog.testing.link import SimLinkServer
from raftlog.testing.loop import SimLoop
from raftlog.testing.network import SimNetwork, Weather
from raftlog.testing.offload import Inline
from raftlog.testing.transport import SimTransport
from raftlog.transport.handshake import Identity as WireIdentity

CLUSTER = ClusterId(77)
SEGMENT = 64 << 10


class Host:
    """One node's disk, and the node while it runs."""

    def __init__(self, world: "World", id: NodeId) -> None:
        self.id = id
        self.name = f"h{id}"
        self.disk = SimDisk(world.random, latency=world.latency)
        self.disk.lies_about = lambda name: world.lying
        self.node: Node | None = None
        self.boots = 0
        self.rules = ""
        """What the failpoints of the next start are armed with."""
        self.on_hit: OnHit | None = None
        self.failpoints = INERT
        """Those of the present start."""
        self.repair = False
        """Whether its next start goes on after damage."""
        self._world = world
        self._life: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._stop = asyncio.Event()

    async def bootstrap(self, membership: Membership) -> None:
        """Initialise the disk as `raftlog init` does."""
        identity = Identity(self.id, None)
        await Wal.bootstrap(
            self.disk,
            identity=identity,
            cluster_id=self._world.cluster,
            groups=dict.fromkeys(self._world.groups, membership),
            restored=await load_restored(self.disk),
            segment_size=SEGMENT,
            entropy=self._world.clock.entropy,
            failpoints=self._armed(),
        )

    def _armed(self) -> Failpoints:
        world = self._world

        def lose_power(name: str) -> None:
            world.note(self.name, f"loses power at {name}", {})
            world.network.crash(self.name)
            self.disk.power_off()

        self.failpoints = Failpoints(
            self.rules, on_hit=self.on_hit, crash=lose_power, stall=world.loop.spend, random=world.random
        )
        return self.failpoints

    @property
    def ended(self) -> bool:
        """Whether the node has ended by itself and was not buried yet."""
        return self._life is not None and self._life.done()

    async def start(self) -> None:
        """Start the node and wait until it runs."""
        assert self._life is None, f"{self.name} runs already"
        self.boots += 1
        self._up.clear()
        self._stop.clear()
        self._life = asyncio.get_running_loop().create_task(self._live(), name=self.name)
        up = asyncio.get_running_loop().create_task(self._up.wait())
        await asyncio.wait((up, self._life), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._life.done():
            self._life.result()

    async def _live(self) -> None:
        world = self._world
        boot = Boot(world.clock.entropy())
        wal = await Wal.open(
            self.disk,
            identity=Identity(self.id, world.cluster),
            segment_size=SEGMENT,
            entropy=world.clock.entropy,
            failpoints=self._armed(),
            repair=self.repair,
            part_size=world.part_size,
        )
        transport = SimTransport(world.network, WireIdentity(self.id, world.cluster, boot), f"{self.name}:1")
        node = Node(
            identity=Identity(self.id, world.cluster),
            boot=boot,
            wal=wal,
            transport=transport,
            bulk=SimBulk(world.network, transport.door, transport.address),
            offload=Inline(),
            replays=world.replays,
            retention=world.retention,
            clock=world.clock,
            machines=dict.fromkeys(world.groups, world.machine),
            settings=world.settings,
            on_event=lambda text, fields: world.note(self.name, text, fields),
            failpoints=self.failpoints,
        )
        service = Service(node)
        async with (
            node,
            SimLinkServer(
                world.network, f"{self.name}:2", lambda link, peer: service.serve_link(link)
            ) as links,
        ):
            self.node = node
            self._up.set()
            await self._stop.wait()
            await node.drain(1.0)
            await links.close(1.0)

    async def crash(self) -> None:
        """Lose power: what was not synced is kept or lost by chance, nobody is told anything."""
        assert self._life is not None, f"{self.name} does not run"
        self._world.note(self.name, "crashes", {})
        self._world.network.crash(self.name)
        self.disk = self.disk.after_crash()
        self.disk.lies_about = lambda name: self._world.lying
        self.node = None
        self._life.cancel()
        await asyncio.wait((self._life,))
        if not self._life.cancelled() and (error := self._life.exception()) is not None:
            _only_of_the_disk(error)
        self._life = None

    def forget(self) -> None:
        """The node has ended by itself."""
        self.node = self._life = None

    async def death(self) -> BaseException:
        """Wait until the node has failed by itself, as a process would by ending; what it died of."""
        assert self._life is not None, f"{self.name} does not run"
        await asyncio.wait((self._life,))
        error = self._life.exception()
        assert error is not None, f"{self.name} stopped in good order"
        self.node = self._life = None
        self.disk = self.disk.after_kill()
        return error

    async def stop(self) -> None:
        """Stop in good order."""
        if self._life is None:
            return
        self._stop.set()
        await self._life
        self.node = self._life = None


def _only_of_the_disk(error: BaseException) -> None:
    """A node whose disk has no power may say so while it dies; anything else is a defect."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            _only_of_the_disk(each)
    elif not isinstance(error, DiskError | asyncio.CancelledError | FailpointCrash):
        raise error


class World:
    """The hosts, the network between them and everything that chance decides."""

    def __init__(
        self,
        seed: int,
        *,
        machine: Callable[[], StateMachine],
        weather: Weather,
        nodes: int = 3,
        settings: Settings | None = None,
        retention: Retention | None = None,
        lying: bool = False,
        cluster: ClusterId = CLUSTER,
        replays: Replays | None = None,
        groups: tuple[GroupId, ...] = (META_GROUP,),
    ) -> None:
        """`lying`: syncs return and do nothing."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop), "a world needs virtual time"
        self.random = Random(seed)
        self.loop = loop
        loop.early = self.random.choice((0, 400, 1_000))
        self.clock = SimClock(loop, Random(self.random.getrandbits(64)))
        self.network = SimNetwork(Random(self.random.getrandbits(64)), loop, weather)
        self.settings = settings or Settings()
        self.retention = retention or Retention()
        self.machine = machine
        self.lying = lying
        self.replays = replays
        self.groups = groups
        self.cluster = cluster
        self.part_size = PART_SIZE
        """Of the snapshots of nodes yet to be started."""
        self.log: list[str] = []
        self.hosts = [Host(self, NodeId(n)) for n in range(1, nodes + 1)]

    def latency(self, operation: str, size: int) -> float:
        """What a disk operation takes: a sync now and then is slow."""
        if operation != "sync":
            return 0.0
        return self.random.choice((0.0002, 0.0003, 0.0005, 0.002, 0.02))

    async def start(self) -> None:
        """Initialise every node and start it."""
        for host in self.hosts:
            await host.bootstrap(self.membership)
            await host.start()

    @property
    def membership(self) -> Membership:
        """All hosts, as voters."""
        members = tuple(Member(host.id, host.name, f"{host.name}:1", f"{host.name}:2") for host in self.hosts)
        return Membership(voters=tuple(host.id for host in self.hosts), members=members)

    async def stop(self) -> None:
        """Stop every node in good order."""
        for host in self.hosts:
            await host.stop()

    def note(self, host: str, text: str, fields: Mapping[str, object]) -> None:
        """Remember what happened, for the report of a failure."""
        self.log.append(f"{self.loop.time():.6f} {host} {text} {dict(fields)}")
