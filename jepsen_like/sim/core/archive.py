"""The snapshots of a core run: taken when they are due, written, fetched and restored in their own time."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Protocol

from jepsen_like.sim.core.host import Answer, Broken, Done, Host, Process, Ticket
from jepsen_like.sim.core.registers import Registers
from jepsen_like.sim.core.timeline import Timeline
from jepsen_like.sim.core.trace import Trace
from jepsen_like.sim.core.wires import Wires
from jepsen_like.sim.image import Snapshot
from jepsen_like.sim.invariants import Checker
from jepsen_like.sim.notation import node_text
from jepsen_like.sim.plan import Snapshotting
from raftlog.core.durable import SnapshotMeta
from raftlog.core.entry import Entry
from raftlog.core.ids import EntryId, Micros, NodeId
from raftlog.core.ready import Fetch

FAILS = 0.1
"""The share of fetches that break off."""
LATE = 5_000
"""A core hears of what was fetched up to so many microseconds after it is durable: a crash may come between."""


class Around(Protocol):
    """What it uses of its fleet."""

    counts: Counter[str]
    answer: Callable[[Ticket, Answer], None]

    @property
    def hosts(self) -> Mapping[NodeId, Host]:
        """Every machine there is."""
        ...

    def settle(self, host: Host, process: Process) -> None:
        """Do what a node asks for until it asks for nothing more."""

    def happens(self, what: str, host: Host, *values: int) -> None:
        """Count and trace it."""


class Archive:
    """A snapshot in the making is lost with its process; one that is whole is durable.

    Invariants: each host makes one at a time; what is restored is never changed, but a copy of it.
    """

    def __init__(
        self,
        policy: Snapshotting,
        timeline: Timeline,
        wires: Wires,
        trace: Trace,
        checker: Checker,
        random: Random,
        around: Around,
    ) -> None:
        self._policy = policy
        self._timeline = timeline
        self._wires = wires
        self._trace = trace
        self._checker = checker
        self._random = random
        self._around = around

    # -- taking

    def applied(self, host: Host, process: Process, last: Entry) -> None:
        """A host has applied everything up to `last`: capture the state if that is due, and write it beside."""
        every = self._policy.entries
        if not every or process.capturing or last.index - process.captured < every:
            return
        membership = process.core.membership_at(last.index)
        snapshot = Snapshot(
            SnapshotMeta(last.id, membership, last.log_time), process.machine.digest, process.machine.copy()
        )
        process.capturing, process.captured = True, last.index
        self._timeline.at(self._later(host), self._written, host, process, snapshot)

    def _written(self, host: Host, process: Process, snapshot: Snapshot) -> None:
        if self._waits(host, process, self._written, snapshot):
            return
        process.capturing = False
        at = snapshot.meta.last
        self._around.happens("snapshot", host, at.index)
        self._around.counts["event/snapshot-taken"] += 1
        self._tell(host, f"{host.name} has a snapshot at {at}")
        self._keep(host, snapshot)
        process.core.snapshot_taken(at, host.clock.monotonic(self._timeline.now))
        self._compact(host, process)
        self._around.settle(host, process)

    def _compact(self, host: Host, process: Process) -> None:
        """Keep what the plan says and what others in contact need, unless the log has grown too long for that."""
        core, log = process.core, host.store.written
        target = core.snapshot_index - self._policy.keep
        if len(log.entries) <= self._policy.most:
            target = min(target, core.needed_from - 1)
        entry = log.at(target)
        if entry is not None:
            self._around.counts["event/log-compacted"] += 1
            core.compact(target, entry.log_time, host.clock.monotonic(self._timeline.now))

    # -- fetching

    def fetch(self, host: Host, process: Process, fetch: Fetch) -> None:
        """Begin to get what a core asks for."""
        self._tell(host, f"{host.name} fetches the state at {fetch.last} from {node_text(fetch.peer)}")
        self._timeline.at(self._later(host), self._received, host, process, fetch)

    def _received(self, host: Host, process: Process, fetch: Fetch) -> None:
        if self._waits(host, process, self._received, fetch):
            return
        sources = self._sources(host, fetch.last)
        if not sources or self._random.random() < FAILS:
            self._around.happens("fetch-failed", host, fetch.last.index)
            self._around.counts["event/fetch-failed"] += 1
            process.core.fetch_failed(host.clock.monotonic(self._timeline.now))
            self._around.settle(host, process)
            return
        source = self._random.choice(sources)
        snapshot = source.store.durable.snapshot
        assert snapshot is not None, f"{source.name} has no snapshot"
        self._around.happens("fetched", host, source.id, snapshot.meta.last.index)
        self._tell(host, f"{host.name} has got the state at {snapshot.meta.last} from {source.name}")
        self._keep(host, snapshot)
        late = self._random.choice((0, LATE))
        self._timeline.at(
            self._timeline.now + self._random.randint(0, late), self._fetched, host, process, snapshot
        )

    def _fetched(self, host: Host, process: Process, snapshot: Snapshot) -> None:
        if self._waits(host, process, self._fetched, snapshot):
            return
        self._around.happens("heard", host, snapshot.meta.last.index)
        process.core.snapshot_fetched(
            snapshot.meta, snapshot.digest, host.clock.monotonic(self._timeline.now)
        )
        self._around.settle(host, process)

    def _sources(self, host: Host, wanted: EntryId) -> Sequence[Host]:
        return [
            other
            for other in self._around.hosts.values()
            if other is not host
            and other.process is not None
            and not (other.process.paused or other.process.hung)
            and other.store.durable.snapshot_index >= wanted.index
            and not self._wires.wire(host.name, other.name).cuts
            and not self._wires.wire(other.name, host.name).cuts
        ]

    def _keep(self, host: Host, snapshot: Snapshot) -> None:
        self._checker.kept(host.id, snapshot)
        host.store.keep(snapshot)

    # -- restoring

    def restore(self, host: Host, process: Process) -> None:
        """Give a starting process the state of its newest snapshot."""
        snapshot = host.store.durable.snapshot
        if snapshot is not None:
            process.machine, process.captured = _state(snapshot), snapshot.meta.last.index
            now = host.clock.monotonic(self._timeline.now)
            process.core.applied(process.machine.applied, process.machine.digest, now)

    def install(self, host: Host, process: Process, meta: SnapshotMeta) -> None:
        """Give a running process the state of the snapshot it has just fetched.

        What became of commands that were to be applied before that is unknown here.
        """
        snapshot = host.store.durable.snapshot
        assert snapshot is not None, f"{host.name} is to restore {meta.last}, and has nothing"
        assert snapshot.meta == meta, f"{host.name} is to restore {meta.last}, and has {snapshot.meta.last}"
        self._around.counts["event/snapshot-installed"] += 1
        self._tell(host, f"{host.name} restores the state at {meta.last}")
        machine = process.machine = _state(snapshot)
        process.captured = machine.applied
        process.unapplied.clear()
        for index in [index for index in process.proposals if index <= machine.applied]:
            for _, ticket in process.proposals.pop(index):
                self._around.answer(ticket, Broken())
        due = [ticket for index, ticket in process.released if index <= machine.applied]
        process.released = [pair for pair in process.released if pair[0] > machine.applied]
        for ticket in due:
            self._around.answer(ticket, Done(value=machine.values.get(ticket.key)))

    # -- damage

    def damage(self, host: Host, place: float) -> str:
        """The log of a stopped host is unreadable from somewhere on; in words what was lost, empty for nothing."""
        image = host.store.durable
        if not image.entries:
            return ""
        first = image.entries[min(int(place * len(image.entries)), len(image.entries) - 1)]
        last = image.last
        self._checker.damaged(host.id, image.copy())
        image.damage(first.index)
        self._around.happens("damage", host, first.index)
        return f"{host.name} loses {first.id} to {last}"

    def healed(self, host: Host) -> None:
        """An impaired host is whole again."""
        self._around.counts["event/impaired-healed"] += 1
        host.store.heal()
        self._checker.healed(host.id)

    # -- time and telling

    def _later(self, host: Host) -> Micros:
        return max(self._timeline.now + self._random.choice(self._policy.takes), host.stalled_until)

    def _waits(self, host: Host, process: Process, act: Callable[..., None], what: object) -> bool:
        """Whether this must not happen now: the process is gone, or stands still, or its disk does."""
        if host.process is not process:
            return True
        if process.paused:
            process.waiting.append((act, host, process, what))
            return True
        if host.stalled_until > self._timeline.now:
            self._timeline.at(host.stalled_until, act, host, process, what)
            return True
        return False

    def _tell(self, host: Host, text: str) -> None:
        if self._trace.watch is not None:
            self._trace.tell(host.name, "event", text)


def _state(snapshot: Snapshot) -> Registers:
    state = snapshot.state
    assert isinstance(state, Registers), f"a snapshot of {state}"
    return state.copy()
