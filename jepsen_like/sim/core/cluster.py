"""A hand-cranked cluster: real cores, modelled disks and network, and no step that nobody asked for."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import xxhash

from jepsen_like.sim.core.network import Network
from jepsen_like.sim.core.store import Store
from jepsen_like.sim.events import event_text
from jepsen_like.sim.image import Image, Snapshot, Write
from jepsen_like.sim.invariants import Checker
from jepsen_like.sim.notation import entry_text, hard_text, message_text, node_text
from raftlog.core.change import Change
from raftlog.core.durable import HardState, SnapshotMeta, fresh
from raftlog.core.entry import Entry
from raftlog.core.ids import NOTHING, Boot, GroupId, Index, Micros, NodeId, RequestId
from raftlog.core.membership import Membership, MembershipAt
from raftlog.core.message import Message
from raftlog.core.raft import Raft
from raftlog.core.ready import (
    ChangeProposal,
    Event,
    Fetch,
    IndexRange,
    Load,
    Missing,
    Proposal,
    Read,
    ReadRefused,
    ReadReleased,
    Ready,
    RoleChanged,
    TransferAnswer,
)
from raftlog.core.settings import MAX_VOTE_SPAN, Settings

GROUP = GroupId(7)
WALL: Micros = 1_700_000_000_000_000
"""The wall clock is this far ahead of virtual time."""


@dataclass(slots=True)
class Machine:
    """A state machine whose whole state is a digest of what it has applied."""

    applied: Index
    digest: int
    errs: bool = False
    """Its next entry has another effect than it has elsewhere."""
    wrong: bool = False
    """It is not what the log makes of a state machine."""

    def apply(self, entry: Entry) -> None:
        """Fold one entry in."""
        assert entry.index == self.applied + 1, f"applies {entry.id} after {self.applied}"
        if self.errs:
            self.digest, self.errs, self.wrong = self.digest + 1, False, True
        self.digest = xxhash.xxh3_64_intdigest(
            entry.payload, (self.digest ^ entry.index * 31 ^ entry.term) & (1 << 64) - 1
        )
        self.applied = entry.index


@dataclass(slots=True)
class Server:
    """One node: its disk, and while it runs its core and its state machine."""

    id: NodeId
    store: Store
    boot: int = 0
    core: Raft | None = None
    machine: Machine = field(default_factory=lambda: Machine(0, 0))
    disk_held: bool = False
    apply_held: bool = False
    loads_held: bool = False
    paused: bool = False
    unapplied: deque[IndexRange] = field(default_factory=deque)
    loads: deque[Load] = field(default_factory=deque)
    released: list[ReadReleased] = field(default_factory=list)
    """Reads that wait for the state machine."""
    fetch_held: bool = False
    fetch: Fetch | None = None
    """What is under way beside the messages."""
    snapshots: list[Snapshot] = field(default_factory=list)
    """All that it ever took or got, for whoever is to get an old one."""
    reads: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of a read."""

    node: NodeId
    id: RequestId
    answered_at: Index | None = None
    refused: bool = False

    @property
    def open(self) -> bool:
        """Whether it still waits."""
        return self.answered_at is None and not self.refused


class Cluster:
    """Cores of one group, driven by hand.

    Nothing arrives before it is delivered, time stands still until it is moved, and writes complete at once unless a
    disk is held. After every input the invariants are checked. Everything follows from the seed and the calls made.
    """

    def __init__(
        self,
        membership: Membership,
        *,
        strangers: Sequence[NodeId] = (),
        settings: Settings | None = None,
        seed: int = 0,
        now: Micros = 10_000_000,
        say: Callable[[str, str], None] | None = None,
    ) -> None:
        self.membership = membership
        self.settings = Settings() if settings is None else settings
        self.seed = seed
        self.now = now
        self.say = say
        """Called with a topic (message, disk, commit, apply, role, read, event) and a line for people."""
        self.network = Network()
        self.servers = {
            node: Server(node, Store(Image(SnapshotMeta(NOTHING, MembershipAt(0, membership)), HardState())))
            for node in sorted({*membership.ids, *strangers})
        }
        """Strangers are told how the group began, as all who join are, and wait."""
        self.checker = Checker()
        self.outcomes: dict[RequestId, Outcome] = {}
        self.change_answer: ChangeProposal | None = None
        """What became of the last change of membership that was asked for."""
        self.transfer_answer: TransferAnswer | None = None
        self.events: list[tuple[NodeId, Event]] = []
        for node in self.servers:
            self._boot(node, started=now)

    # -- the life of a node

    def prepare(self, node: NodeId, image: Image, history: Sequence[Entry]) -> None:
        """Give a node a past: this disk, whose whole log was `history`. Its promises of old have run out."""
        server = self.servers[node]
        assert server.boot == 1, f"{node_text(node)} has already lived"
        machine = Machine(0, 0)
        for entry in history[: image.base.last.index]:
            machine.apply(entry)
        if image.base.last.index:
            image.keep(Snapshot(image.base, machine.digest))
        server.store, server.boot = Store(image), 0
        self.checker.prepared(node, image, history)
        self._boot(node, started=self.now - MAX_VOTE_SPAN)

    def _boot(self, node: NodeId, *, started: Micros) -> None:
        server = self.servers[node]
        server.boot += 1
        recovered = server.store.open()
        if recovered.last == 0 and recovered.hard_state.term == 0:
            recovered = fresh(recovered.base.membership.membership)
        server.core = Raft(
            node=node,
            group=GROUP,
            recovered=recovered,
            settings=self.settings,
            random=Random(f"{self.seed}/{node}/{server.boot}"),
            now=started,
        )
        server.machine = _machine(server.store.durable.snapshot)
        server.core.applied(server.machine.applied, server.machine.digest, started)
        self.checker.started(node, server.core, server.store)
        self._observe(server)

    def crash(self, node: NodeId, *, keeping: int = 0) -> None:
        """Stop a node at once; of its unsynced writes the first `keeping` survive."""
        server = self.servers[node]
        assert server.core is not None, f"{node_text(node)} is down already"
        server.core = None
        server.store.crash(keeping)
        self.checker.crashed(node)
        server.unapplied.clear()
        server.loads.clear()
        server.released.clear()
        server.fetch = None
        server.disk_held = server.apply_held = server.loads_held = server.fetch_held = server.paused = False
        for outcome in self.outcomes.values():
            outcome.refused |= outcome.node == node and outcome.open

    def restart(self, node: NodeId) -> None:
        """Start a stopped node from what is durable."""
        assert self.servers[node].core is None, f"{node_text(node)} is up already"
        self._boot(node, started=self.now)

    def damage(self, node: NodeId, index: Index) -> None:
        """Everything from entry `index` on is unreadable in a stopped node's log, and found to be so at its start."""
        server = self.servers[node]
        assert server.core is None, f"{node_text(node)} runs: stop it before its files are changed"
        self.checker.damaged(node, server.store.durable.copy())
        server.store.durable.damage(index)

    # -- snapshots

    def snapshot(self, node: NodeId) -> None:
        """Take a snapshot of what a node has applied; it is durable at once."""
        self.settle(node)
        server = self.servers[node]
        index = server.machine.applied
        self._keep(server, Snapshot(self._meta(server, index), server.machine.digest, server.machine.wrong))
        self.core(node).snapshot_taken(server.snapshots[-1].meta.last, self.now)
        self.settle(node)

    def _meta(self, server: Server, index: Index) -> SnapshotMeta:
        core, entry = self.core(server.id), server.store.durable.at(index)
        assert entry is not None, f"{node_text(server.id)} has nothing applied after its base"
        return SnapshotMeta(entry.id, core.membership_at(index), entry.log_time)

    def _keep(self, server: Server, snapshot: Snapshot) -> None:
        if not snapshot.state:  # of a machine that is known to be wrong
            self.checker.kept(server.id, snapshot)
        server.snapshots.append(snapshot)
        if self.core(server.id).wants_state:
            server.store.replace(snapshot)
        else:
            server.store.keep(snapshot)

    def compact(self, node: NodeId, index: Index | None) -> None:
        """Let a node's log begin after `index`; None: as far as those in contact with it allow."""
        server, core = self.servers[node], self.core(node)
        if index is None:
            index = min(core.snapshot_index, core.needed_from - 1)
        entry = server.store.written.at(index)
        if entry is not None:
            core.compact(index, entry.log_time, self.now)
        self.settle(node)

    def receive(self, node: NodeId, source: NodeId, index: Index | None = None) -> Snapshot | None:
        """Another node's newest snapshot, or that at `index`, is durable here; the core has not heard of it.

        None when the other has none, or nothing passes between the two.
        """
        server, other = self.servers[node], self.servers[source]
        found = other.store.durable.snapshot
        if index is not None:
            found = next(each for each in other.snapshots if each.meta.last.index == index)
        if found is None or other.core is None or (source, node) in self.network.cut:
            return None
        self._keep(server, found)
        return found

    def fetch(self, node: NodeId, source: NodeId | None = None, index: Index | None = None) -> None:
        """End a node's fetch, from whom it asked or from another; it fails where that one cannot help."""
        server = self.servers[node]
        assert server.fetch is not None, f"{node_text(node)} fetches nothing"
        wanted, server.fetch = server.fetch, None
        found = self.receive(node, source or wanted.peer, index)
        if found is None or found.meta.last.index < wanted.last.index:
            self.core(node).fetch_failed(self.now)
        else:
            self.core(node).snapshot_fetched(found.meta, found.digest, self.now)
        self.settle(node)

    def fetched_again(self, node: NodeId, index: Index) -> None:
        """A node's core is told again of a snapshot that it has heard of before."""
        server = self.servers[node]
        found = next(each for each in server.snapshots if each.meta.last.index == index)
        self.core(node).snapshot_fetched(found.meta, found.digest, self.now)
        self.settle(node)

    def fetch_fails(self, node: NodeId) -> None:
        """What a node fetches cannot be had."""
        self.servers[node].fetch = None
        self.core(node).fetch_failed(self.now)
        self.settle(node)

    def core(self, node: NodeId) -> Raft:
        """The core of a running node."""
        core = self.servers[node].core
        assert core is not None, f"{node_text(node)} is down"
        return core

    @property
    def up(self) -> list[NodeId]:
        """Nodes that run."""
        return [node for node, server in self.servers.items() if server.core is not None]

    # -- inputs

    def tick(self, node: NodeId) -> None:
        """Tell a node what time it is."""
        self.core(node).tick(self.now, self.now + WALL)
        self.settle(node)

    def campaign(self, node: NodeId) -> None:
        """Make a node ask for votes now."""
        self.core(node).campaign(self.now)
        self.settle(node)

    def propose(self, node: NodeId, payload: bytes) -> Proposal:
        """Propose at a node."""
        outcome = self.core(node).propose(payload, self.now)
        self.settle(node)
        return outcome

    def change(
        self, node: NodeId, changes: Sequence[Change], *, expected: Index | None = None, force: bool = False
    ) -> ChangeProposal:
        """Ask a node for a change of the membership."""
        answer = self.core(node).propose_membership(changes, self.now, expected=expected, force=force)
        self.change_answer = answer
        self.settle(node)
        return answer

    def transfer(self, node: NodeId, target: NodeId | None) -> TransferAnswer:
        """Ask a node to hand over."""
        answer = self.transfer_answer = self.core(node).transfer(target, self.now)
        self.settle(node)
        return answer

    def read(self, node: NodeId) -> RequestId:
        """Begin a linearizable read at a node."""
        server = self.servers[node]
        server.reads += 1
        id = RequestId(Boot(node * 1000 + server.boot), server.reads)
        self.outcomes[id] = Outcome(node, id)
        self.checker.asked(id)
        self.core(node).read_index(id, self.now)
        self.settle(node)
        return id

    def deliver(self, at: int, *, again: bool = False) -> None:
        """Let the message at this position of the network arrive; `again` leaves a copy under way."""
        message = self.network.flights[at] if again else self.network.flights.pop(at)
        server = self.servers.get(message.to)
        if server is None or server.core is None or not self.network.passes(message):
            self._tell("message", message, "  lost")
            return
        self._tell("message", message, "")
        server.core.step(message, self.now)
        self.settle(message.to)

    def sync(self, node: NodeId) -> None:
        """Complete the oldest write of a node, and all that waited for it."""
        self._sync_one(self.servers[node])
        self.settle(node)

    def room(self, node: NodeId, room: int | None) -> None:
        """Tell a node how many bytes of commands its disk has room for; None: enough."""
        self.core(node).disk_room(room, self.now)
        self.settle(node)

    def overtake(self, node: NodeId) -> None:
        """Term and vote of a node's pending writes become durable ahead of their entries."""
        server = self.servers[node]
        hard_state, messages = server.store.overtake()
        self.checker.synced(node)
        self._send(messages)
        self.core(node).hard_state_done(hard_state, self.now)
        self.settle(node)

    def load(self, node: NodeId, *, found: tuple[Entry, ...] | Missing | None = None) -> None:
        """Answer a node's oldest load, with what its disk has or with what was `found`."""
        server = self.servers[node]
        self._answer_load(server, server.loads.popleft(), found)
        self.settle(node)

    def apply(self, node: NodeId) -> None:
        """Let a node's state machine catch up."""
        self._apply_all(self.servers[node])
        self.settle(node)

    # -- time

    def stabilize(self, *, limit: int = 10_000) -> int:
        """Deliver everything that nothing holds back, until there is no more; how many messages that took."""
        for delivered in range(limit):
            at = self._next_delivery()
            if at is None:
                return delivered
            self.deliver(at)
        raise AssertionError(f"a message storm: {limit} messages were not the last")

    def _next_delivery(self) -> int | None:
        if not any(server.paused for server in self.servers.values()):
            return self.network.next_free()
        flights = self.network.flights
        return next(
            (
                at
                for at, message in enumerate(flights)
                if not self.network.holds(message) and not self.servers[message.to].paused
            ),
            None,
        )

    def wait(self, span: Micros) -> None:
        """Let time pass: every node is ticked when it is due, and messages take none."""
        end = self.now + span
        self.stabilize()
        while (due := self._next_deadline()) <= end:
            self.now = max(self.now, due)
            self._tick_due()
            self.stabilize()
        self.now = end
        for node in self._ticking:
            self.tick(node)
        self.stabilize()

    @property
    def _ticking(self) -> list[NodeId]:
        return [node for node in self.up if not self.servers[node].paused]

    def _next_deadline(self) -> Micros:
        return min((self.core(node).deadline for node in self._ticking), default=self.now + 1_000_000_000)

    def _tick_due(self) -> None:
        for node in self._ticking:
            if self.core(node).deadline <= self.now:
                self.tick(node)
                late = self.core(node).deadline
                assert late > self.now, f"{node_text(node)} is due at {late} again after a tick at {self.now}"

    # -- performing Ready

    def settle(self, node: NodeId) -> None:
        """Do what a node asks for until it asks for nothing more."""
        server = self.servers[node]
        core = self.core(node)
        self._observe(server)
        for _ in range(10_000):
            if core.has_ready:
                self._perform(server, core.ready())
            elif server.store.pending and not server.disk_held:
                self._sync_one(server)
            elif server.unapplied and not server.apply_held:
                self._apply_all(server)
            elif server.loads and not server.loads_held:
                self._answer_load(server, server.loads.popleft(), None)
            elif server.fetch is not None and not server.fetch_held:
                self._fetch_at_once(server, server.fetch)
            else:
                break
            self._observe(server)
        else:
            raise AssertionError(f"{node_text(node)} never stops asking")
        self.checker.settled(node)

    def _perform(self, server: Server, ready: Ready) -> None:
        for event in ready.events:
            self._event(server, event)
        write = Write(ready.hard_state, ready.entries, ready.messages_after_sync, ready.base)
        for message in ready.messages + ready.messages_after_sync:
            self.checker.made(message)
        if write.bears:
            self.checker.wrote(server.id, write)
        self._send(ready.messages)
        if ready.writes or (ready.messages_after_sync and server.store.pending):
            server.store.write(write)
            if self.say is not None and server.disk_held and write.bears:
                self.say("disk", f"{node_text(server.id)} writes {write_text(write)}")
        else:
            self._send(ready.messages_after_sync)
        server.loads.extend(ready.loads)
        if ready.install is not None:
            self._install(server, ready.install)
        if ready.apply is not None:
            server.unapplied.append(ready.apply)
        for read in ready.reads:
            self._read(server, read)
        if ready.fetch is not None:
            self._begin_fetch(server, ready.fetch)
        if ready.fenced is not None:
            server.store.fence(ready.fenced)
        if ready.snapshot_wanted and self.say is not None:
            self.say("event", f"{node_text(server.id)} is to take a snapshot")
        if ready.healed:
            server.store.heal()
            self.checker.healed(server.id)

    def _install(self, server: Server, meta: SnapshotMeta) -> None:
        snapshot = server.store.durable.snapshot
        assert snapshot is not None, f"{node_text(server.id)} is to restore {meta.last}, and has nothing"
        assert snapshot.meta == meta, f"{node_text(server.id)} is to restore {meta.last}, and has {snapshot}"
        server.machine = _machine(snapshot)
        server.unapplied.clear()
        self.core(server.id).applied(server.machine.applied, server.machine.digest, self.now)
        if self.say is not None:
            self.say("apply", f"{node_text(server.id)} restores the state at {meta.last}")
        self._release(server)

    def _begin_fetch(self, server: Server, fetch: Fetch) -> None:
        assert server.fetch is None, f"{node_text(server.id)} fetches {server.fetch} already, now {fetch}"
        server.fetch = fetch
        if self.say is not None:
            self.say(
                "event",
                f"{node_text(server.id)} fetches the state at {fetch.last} from {node_text(fetch.peer)}",
            )

    def _fetch_at_once(self, server: Server, wanted: Fetch) -> None:
        server.fetch = None
        found = self.receive(server.id, wanted.peer)
        if found is None or found.meta.last.index < wanted.last.index:
            self.core(server.id).fetch_failed(self.now)
        else:
            self.core(server.id).snapshot_fetched(found.meta, found.digest, self.now)

    def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.checker.sent(message)
            if not self.network.send(message):
                self._tell("message", message, "  lost")

    def _sync_one(self, server: Server) -> None:
        write = server.store.sync()
        if self.say is not None and write.bears:
            self.say("disk", f"{node_text(server.id)} syncs {write_text(write)}")
        self.checker.synced(server.id)
        self._send(write.after)
        if write.bears:
            assert server.core is not None
            last = write.entries[-1].id if write.entries else None
            server.core.storage_done(write.hard_state, last, self.now)

    def _apply_all(self, server: Server) -> None:
        core, machine = self.core(server.id), server.machine
        while server.unapplied:
            span = server.unapplied.popleft()
            for index in range(span.first, span.last + 1):
                entry = server.store.durable.at(index)
                assert entry is not None, (
                    f"{node_text(server.id)} is to apply {index}, which it does not have"
                )
                machine.apply(entry)
                if not machine.wrong:
                    self.checker.applied(server.id, index, machine.digest)
                core.applied(machine.applied, machine.digest, self.now)
        self._release(server)

    def _release(self, server: Server) -> None:
        applied = server.machine.applied
        due = [read for read in server.released if read.index <= applied]
        server.released = [read for read in server.released if read.index > applied]
        for read in due:
            self._answer(server, read)

    def _answer_load(self, server: Server, load: Load, found: tuple[Entry, ...] | Missing | None) -> None:
        entries = server.store.read(load.first, load.last, load.max_bytes)
        answer = found or entries or Missing.COMPACTED
        self.core(server.id).entries_loaded(load.peer, load.first, answer, self.now)

    def _read(self, server: Server, read: Read) -> None:
        if isinstance(read, ReadReleased):
            self.checker.answered(server.id, read.id, read.index)
        self._answer(server, read)

    def _answer(self, server: Server, read: Read) -> None:
        outcome, text = self.outcomes[read.id], "refused"
        match read:
            case ReadReleased():
                if read.index > server.machine.applied:
                    server.released.append(read)
                    return
                assert outcome.open, f"read {read.id} is answered twice"
                outcome.answered_at = read.index
                text = f"answered at {read.index}"
            case ReadRefused():
                assert outcome.open, f"read {read.id} is answered twice"
                outcome.refused = True
                if read.leader is not None:
                    text = f"refused, ask {node_text(read.leader)}"
        if self.say is not None:
            self.say("read", f"{node_text(server.id)} read {read.id.counter} {text}")

    def _event(self, server: Server, event: Event) -> None:
        self.events.append((server.id, event))
        if self.say is None:
            return
        topic = "role" if isinstance(event, RoleChanged) else "event"
        self.say(topic, event_text(server.id, event))

    # -- watching

    def _observe(self, server: Server) -> None:
        before = self.checker.committed(server.id)
        self.checker.observe(server.id)
        after = self.checker.committed(server.id)
        if self.say is not None and after > before:
            self.say("commit", f"{node_text(server.id)} committed {after}")

    def _tell(self, topic: str, message: Message, end: str) -> None:
        if self.say is not None:
            self.say(topic, message_text(message) + end)


def _machine(snapshot: Snapshot | None) -> Machine:
    if snapshot is None:
        return Machine(0, 0)
    return Machine(snapshot.meta.last.index, snapshot.digest, wrong=bool(snapshot.state))


def write_text(write: Write) -> str:
    """`base 3@1, term 2 vote n1, 4@2=x`."""
    parts = [] if write.base is None else [f"base {write.base.last}"]
    parts += [] if write.hard_state is None else [hard_text(write.hard_state)]
    return ", ".join(parts + [entry_text(entry) for entry in write.entries])
