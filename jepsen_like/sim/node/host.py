"""One simulated machine: its disk and its clock, and the node's process while it runs."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jepsen_like.sim.image import Image
from jepsen_like.sim.node.images import Kept, image_of
from jepsen_like.sim.node.ledger import Ledger
from jepsen_like.sim.node.observed import ObservedNode
from jepsen_like.sim.node.shelf import Shelf
from jepsen_like.sim.node.transfers import ObservedBulk, Unhurried
from jepsen_like.sim.plan import Snapshotting
from jepsen_like.sim.verdict import Violation
from raftlog.core.ids import META_GROUP, Boot, Micros, NodeId
from raftlog.core.membership import Membership
from raftlog.failpoints import INERT, Action, FailpointCrash, FailpointError, Failpoints, Rule
from raftlog.failpoints import Crash as CrashAction
from raftlog.node.retention import Retention
from raftlog.service import Service
from raftlog.storage import DiskError, DiskFull, Identity, LogDamaged, StorageRefused, Wal, load_or_create
from raftlog.testing.clock import EPOCH, SimClock
from raftlog.testing.disk import Operation, SimDisk
from raftlog.testing.link import SimLinkServer
from raftlog.testing.platter import Event, Removed, Renamed
from raftlog.testing.transport import SimTransport
from raftlog.transport.handshake import Identity as WireIdentity
from raftlog.transport.limits import Limits

if TYPE_CHECKING:
    from jepsen_like.sim.node.world import World

DRAIN = 1.0
"""Seconds that a stopping node gives the calls under way."""
STALLED = 3.0
"""Seconds after which a piece of a snapshot that has not come is asked for again."""


class Life:
    """One process: from its start to its end."""

    def __init__(self, failpoints: Failpoints) -> None:
        self.failpoints = failpoints
        self.task: asyncio.Task[None] | None = None
        self.up = asyncio.Event()
        self.stop = asyncio.Event()
        self.dead = False
        """It was killed, or its machine lost power: what is left of it only unwinds."""
        self.excuse: Micros | None = None
        """A fault was done to it that it may end of; how long it is down then."""


class Host:
    """A machine that a node lives on.

    Invariants: at most one life at a time; `node` is None unless it runs; a host that is `lost` never runs a node
    again; what was done to the disk itself (stalls, slowness, no space) outlives the process.
    """

    def __init__(self, world: "World", name: str, id: NodeId) -> None:
        self.world = world
        self.name = name
        self.id = id
        self.clock = SimClock(
            world.loop, world.draw(f"entropy of {name}"), start=world.plan.started, wall=EPOCH
        )
        self._lots = world.draw(f"latency of {name}")
        self.disk = self._new_disk()
        self.node: ObservedNode | None = None
        self.ledger: Ledger | None = None
        self.lost = ""
        """Why it will never run again."""
        self.wiped = False
        """Its disk is an empty one: what starts there is a stranger."""
        self.forsaken = False
        """It is left broken at the end of the run: nobody starts it again."""
        self.damaged = False
        """Something it had synced was changed behind its back, and has not come back."""
        self._hurt = False
        """The same, and no node has started from it since."""
        self._lacks = False
        """It came back impaired, and checkers were told."""
        self._scars: frozenset[str] = frozenset()
        """The files it was done to, as long as somebody may rely on them."""
        self._shelf: Shelf | None = None
        """While its node runs."""
        self.rules: dict[str, Rule] = {}
        """Failpoints to be armed at each start until they have struck, and in the present life."""
        self.outage: dict[str, Micros] = {}
        """How long a crash at a failpoint lasts."""
        self.still: set[int] = set()
        """Faults that hold its process, which end with the process; so do those that keep it from reading."""
        self.hung: set[int] = set()
        self.stalls: set[int] = set()
        self.slow: dict[int, Micros] = {}
        self.full: set[int] = set()
        self._known: set[int] = set()
        """The snapshots it ever had, by id."""
        self._boots = 0
        self._life: Life | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether a process is there, be it only starting or stopping."""
        return self._life is not None

    @property
    def peer_address(self) -> str:
        """Where nodes find it."""
        return f"{self.name}:1"

    @property
    def client_address(self) -> str:
        """Where clients find it."""
        return f"{self.name}:2"

    # -- the disk

    def _new_disk(self) -> SimDisk:
        return SimDisk(
            self.world.draw(f"disk of {self.name}"),
            latency=self._latency,
            observer=self._happened,
        )

    def _happened(self, event: Event) -> None:
        self.world.chronicle.disk(self.name, event)
        if self._shelf is None:
            return
        try:
            self._shelf.happened(event)
            if isinstance(event, Removed | Renamed):
                self._if_whole_again()
        except AssertionError as violation:
            self.world.broke(violation)

    def _latency(self, operation: Operation, size: int) -> float:
        if operation != "sync":
            return 0.0
        if self.slow:
            self.world.effects.count("slow-sync")
            return max(self.slow.values()) / 1e6
        return self._lots.choice(self.world.plan.sync) / 1e6

    def settle_disk(self) -> None:
        """Let the disk be as its faults want it."""
        self.disk.capacity = 0 if self.full else None
        if self.stalls:
            self.disk.hold("sync")
        else:
            if self.disk.waiting("sync"):
                self.world.effects.count("stalled-sync")
            self.disk.release("sync")

    def _replace(self, disk: SimDisk) -> None:
        """The same machine's disk as the next process finds it."""
        for _ in range(self.disk.failures):
            self.world.effects.count("io-error")
        self.disk = disk
        self.settle_disk()

    def hurt(self, scars: Sequence[str]) -> None:
        """These files were damaged while no node ran here."""
        self.damaged = self._hurt = True
        self._scars = frozenset(scars)

    def erase(self) -> None:
        """The disk is gone; an empty one takes its place."""
        self.lost, self.wiped = "its disk was wiped", True
        self._die()
        self.disk.power_off()
        self._replace(self._new_disk())

    # -- life

    async def bootstrap(self, membership: Membership) -> None:
        """Initialise the disk as `raftlog init` does, again and again where a failpoint stops it half-way."""
        while True:
            failpoints = self._failpoints(lambda name: self.disk.power_off())
            try:
                identity = await load_or_create(self.disk, _Named(self.clock, self.id), failpoints=failpoints)
                if identity.cluster is None:
                    await Wal.bootstrap(
                        self.disk,
                        identity=identity,
                        cluster_id=self.world.cluster,
                        groups={META_GROUP: membership},
                        segment_size=self.world.plan.segment,
                        entropy=self.clock.entropy,
                        failpoints=failpoints,
                    )
                break
            except (FailpointCrash, DiskError):
                self.disk = self.disk.after_crash()
        self.ledger = Ledger(image_of(self.disk.platter))
        self.world.checker.prepared(self.id, self.ledger.durable, ())

    def start(self) -> None:
        """Start the process; does nothing when there is one, or when the host is lost or left for dead."""
        if self._life is not None or (self.lost and not self.wiped) or self.forsaken:
            return
        if self._boots:
            self.world.restarts += 1
            self.world.chronicle.count("event/restart")
        self._boots += 1
        self.world.chronicle.note(self.name, "start", "starts")
        life = self._life = Life(INERT)
        life.failpoints = self._failpoints(lambda name: self._crash_at(life, name))
        life.task = self.world.loop.create_task(
            self._live(life), name=self.name, context=self.world.loop.context_of(self.name)
        )
        life.task.add_done_callback(lambda task: self._ended(life, task))

    async def _live(self, life: Life) -> None:
        if self._ending is not None:
            await asyncio.wait((self._ending,))
        world, disk, failpoints = self.world, self.disk, life.failpoints
        boot = Boot(self.clock.entropy())
        identity = await load_or_create(disk, self.clock, failpoints=failpoints)
        if identity.cluster is None:
            self._waits(identity)
            await life.stop.wait()
            return
        wal = await Wal.open(
            disk,
            identity=identity,
            segment_size=world.plan.segment,
            entropy=self.clock.entropy,
            failpoints=failpoints,
            part_size=world.plan.snapshot.part,
            repair=True,
        )
        self._back(image_of(disk.platter))
        node = self._node(wal, identity, boot, life)
        if self._lacks and self.ledger is not None and not self.ledger.durable.impaired:
            self.healed()  # the disk had said so when the process died, and nobody had heard
        service = Service(node)
        async with (
            node,
            SimLinkServer(
                world.network, self.client_address, lambda link, peer: service.serve_link(link)
            ) as links,
        ):
            self.node = node
            life.up.set()
            await life.stop.wait()
            await node.drain(DRAIN)
            await links.close(DRAIN)

    def _node(self, wal: Wal, identity: Identity, boot: Boot, life: Life) -> ObservedNode:
        world = self.world
        assert identity.cluster is not None, "a node that waits runs no log"
        assert self.ledger is not None, "a disk that was read has a ledger"
        transport = SimTransport(
            world.network,
            WireIdentity(identity.node, identity.cluster, boot),
            self.peer_address,
            on_failure=lambda error: self._fails(life, error),
        )
        snapshots = world.plan.snapshot
        bulk = ObservedBulk(
            world.network,
            transport.door,
            self.peer_address,
            limits=Limits(stall_timeout=STALLED, bulk_rate=snapshots.rate),
            count=world.chronicle.count,
        )
        return ObservedNode(
            world,
            self.ledger,
            self.healed,
            identity=identity,
            boot=boot,
            wal=wal,
            transport=transport,
            bulk=bulk,
            offload=Unhurried(self._lots, snapshots.takes),
            retention=retention(snapshots),
            clock=self.clock,
            machines={META_GROUP: world.machine},
            settings=world.plan.settings,
            on_event=self._say,
            failpoints=life.failpoints,
        )

    def _say(self, text: str, fields: Mapping[str, object]) -> None:
        if not text.startswith("role: "):
            if text.startswith("its disk is full"):
                self.world.effects.count("no-space")
            if text.startswith("fenced"):
                self.world.broke(
                    Violation("I5", f"{self.name} takes equal states for different ones: {text}")
                )
            if text.startswith("a snapshot could not be written"):
                self.world.effects.count("snapshot-not-written")
            return self.world.chronicle.note(self.name, "event", text, detail=str(dict(fields)))
        role, term = text.removeprefix("role: "), fields["term"]
        leader = fields["leader"]
        following = f", following n{int(str(leader), 16)}" if leader and role == "follower" else ""
        self.world.chronicle.note(self.name, "role", f"{role} in term {term}{following}: {fields['reason']}")
        if role == "leader":
            self.world.led(self.name, int(str(term)))
        return None

    def _waits(self, identity: Identity) -> None:
        """A fresh directory: the node is nobody until an operator makes it a member."""
        if not self.wiped:
            self.world.broke(Violation("D11", f"{self.name} waits to be initialised and was not wiped"))
        self.world.effects.count("stranger")
        if identity.node == self.id:
            self.world.broke(Violation("D11", f"{self.name} came back from an empty disk under its old id"))

    def _back(self, found: Image) -> None:
        """Recovery is done: all that was promised must be there, or the disk says that it is not."""
        if self.ledger is not None:
            try:
                self.ledger.survives_as(self.name, found, damaged=self._hurt)
            except Violation as violation:
                self.world.broke(violation)
        if self._hurt:
            self.world.effects.count("damage-impairs" if found.impaired else "damage-mended")
        if self._hurt and found.impaired and self.ledger is not None:
            self.world.checker.damaged(self.id, self.ledger.durable.copy())
            self._lacks = True
        self._hurt = False
        self.ledger = Ledger(found)
        try:
            self._shelf = Shelf(self.disk.platter, self._shelved)
            self._if_whole_again()
        except AssertionError as violation:
            self.world.broke(violation)

    def _shelved(self, kept: Sequence[Kept]) -> None:
        """These snapshots are on the disk for good."""
        assert self.ledger is not None, "a disk that was read has a ledger"
        for each in kept:
            if each.manifest.id.value not in self._known:
                self._known.add(each.manifest.id.value)
                self.world.checker.kept(self.id, each.snapshot)
                new = self.world.states.kept(self.name, each)
                self.world.chronicle.count("event/snapshot-taken" if new else "event/snapshot-fetched")
        self.ledger.keep(kept[-1].snapshot if kept else None)

    def healed(self) -> None:
        """The disk says that nothing is missing any more."""
        assert self.ledger is not None, "a node that runs has a ledger"
        self.ledger.healed()
        self._lacks = False
        self.world.checker.healed(self.id)
        self.world.chronicle.count("event/impaired-healed")
        self._if_whole_again()

    def _if_whole_again(self) -> None:
        """Damage is over when all that was promised is here again, and nobody can come upon what is left of it."""
        assert self.ledger is not None, "a disk that was read has a ledger"
        scars = self._scars & self.disk.platter.names.keys()
        if not self.damaged or self._hurt or scars or self.ledger.durable.impaired:
            return
        self.damaged = False
        if self._scars:
            self.world.chronicle.count("event/snapshot-replaced")
        self._scars = frozenset()
        self.world.atlas.repaired(self.name)
        self.world.chronicle.note(self.name, "heal", "has again all it ever promised")

    # -- ends

    def stop(self) -> None:
        """Have the process end in good order."""
        if self._life is not None:
            self._life.stop.set()

    async def buried(self) -> None:
        """Wait until nothing of a dead process is left."""
        if self._ending is not None:
            await asyncio.wait((self._ending,))
            await asyncio.sleep(0)

    async def ended(self) -> None:
        """Wait until there is no process."""
        while (life := self._life) is not None and life.task is not None:
            await asyncio.wait((life.task,))
            await asyncio.sleep(0)

    def kill(self) -> None:
        """The process dies at once; the page cache survives."""
        self._die()
        self._replace(self.disk.after_kill())

    def lose_power(self) -> None:
        """The machine goes dark: what no sync covered is kept or lost by chance."""
        self._die()
        before = self.disk.platter
        self._replace(self.disk.after_crash())
        if before.undecided and before.fingerprint() != self.disk.platter.fingerprint():
            self.world.effects.count("lost-writes")
        if self.ledger is not None and not self._hurt and not self.lost:
            self._check_survival()

    def _check_survival(self) -> None:
        """Durable is what survives, now and not only if the node starts again."""
        assert self.ledger is not None, "a host that was bootstrapped has a ledger"
        try:
            found = image_of(self.disk.platter)
            self.ledger.survives_as(self.name, found)
            self.ledger.durable, self.ledger.written = found, found.copy()
            self.world.checker.crashed(self.id)
        except (LogDamaged, StorageRefused) as refused:
            self.world.broke(
                Violation("recovery", f"{self.name} lost power, and its log is refused: {refused}")
            )
        except AssertionError as violation:
            self.world.broke(violation)
        self.ledger = Ledger(self.ledger.durable)

    def _die(self) -> None:
        self.still.clear()
        self.hung.clear()
        self.world.effects.still.discard(self.name)
        self.world.effects.hung.discard(self.name)
        self.world.loop.resume(self.name)
        self.world.network.crash(self.name)
        life, self._life = self._life, None
        if self.node is not None:
            self.node.bury()
        self.node = self._shelf = None
        if life is not None and life.task is not None:
            life.dead = True
            self._ending = life.task
            life.task.cancel()

    def _ended(self, life: Life, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._life is life:
            self._life = self.node = self._shelf = None
            self._replace(self.disk.after_kill())
        if error is not None:
            self._judge(life, list(_leaves(error)))
        elif not life.dead:
            self.world.chronicle.note(self.name, "crash", "has ended in good order")

    def _judge(self, life: Life, errors: list[BaseException]) -> None:
        """Whether the process may have ended like that."""
        expected: tuple[type[BaseException], ...] = (FailpointCrash, asyncio.CancelledError)
        if life.dead or life.excuse is not None or life.failpoints.fired:
            expected += (DiskError, FailpointError)
        if self.wiped:
            expected += (DiskFull,)  # an empty directory without space for an identity: it says so and ends
        if self._hurt and self.full:
            expected += (DiskFull,)  # mending a log takes a new segment
        refused = [error for error in errors if isinstance(error, LogDamaged | StorageRefused)]
        if refused and self.damaged:
            self.lost = str(refused[0])
            self.world.effects.count("damage-refused")
            return self.world.chronicle.note(self.name, "crash", f"stays down: {refused[0]}")
        for error in errors:
            if not isinstance(error, expected):
                oracle = "recovery" if error in refused else "assertion"
                problem = Violation(oracle, f"{self.name} ends: {type(error).__name__}: {error}")
                problem.__cause__ = error
                return self.world.broke(problem)
        if not life.dead:
            self.world.chronicle.note(self.name, "crash", f"ends by itself: {errors[0]}")
            self.world.later(self._outage(life), self.start)
        return None

    def _outage(self, life: Life) -> Micros:
        fired = [self.outage[name] for name in life.failpoints.fired if name in self.outage]
        return max([life.excuse or 0, *fired], default=0) or 500_000

    def excuse(self, down: Micros) -> None:
        """A fault was done that the process may end of."""
        if self._life is not None:
            self._life.excuse = down

    def _fails(self, life: Life, error: BaseException) -> None:
        """What arrived made the node fail: its process ends."""
        if isinstance(error, FailpointCrash) or life.dead:
            return
        self.world.broke(error)

    # -- failpoints

    def arm(self, rules: tuple[Rule, ...], down: Micros) -> None:
        """Arm rules in this life and, until they have struck, in the next ones."""
        for rule in rules:
            self.rules[rule.name] = rule
            self.outage[rule.name] = down
        if self._life is not None:
            self._life.failpoints.arm(rules)

    def disarm(self) -> None:
        """No failpoint strikes any more."""
        for name in list(self.rules):
            if self._life is not None:
                self._life.failpoints.disarm(name)
        self.rules.clear()

    def _failpoints(self, crash: Callable[[str], None]) -> Failpoints:
        world = self.world
        return Failpoints(
            tuple(self.rules.values()),
            on_hit=self._hit if world.watches_failpoints else None,
            crash=crash,
            stall=world.loop.spend,
            random=self._lots,
        )

    def _hit(self, name: str, action: Action | None) -> None:
        self.world.chronicle.count(f"failpoint/{name}")
        if action is None:
            return
        self.world.chronicle.count(f"failpoint/{name}/{type(action).__name__.lower()}")
        self.world.chronicle.note(self.name, "event", f"failpoint {name}: {action}")
        if isinstance(action, CrashAction):
            self.rules.pop(name, None)

    def _crash_at(self, life: Life, name: str) -> None:
        """See `Failpoints`: the power is gone before this returns."""
        if self._life is life:
            self.world.chronicle.note(self.name, "crash", f"loses power at {name}")
            down = self.outage.get(name, 500_000)
            self.lose_power()
            self.world.later(down, self.start)


def retention(policy: Snapshotting) -> Retention:
    """A plan's policy as a node takes it; entries of a run have a kilobyte, more or less."""
    if not policy.entries:
        return Retention()
    return Retention(entries=policy.entries, keep_entries=policy.keep, most_bytes=policy.most << 10)


class _Named:
    """A clock whose first word of entropy is the id that the host's node shall have."""

    def __init__(self, clock: SimClock, id: NodeId) -> None:
        self._clock = clock
        self._id = id

    def monotonic(self) -> Micros:
        """See `Clock.monotonic`."""
        return self._clock.monotonic()

    def wall(self) -> Micros:
        """See `Clock.wall`."""
        return self._clock.wall()

    def entropy(self) -> int:
        """The id."""
        return self._id


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
