"""All machines of a core run: feeds their cores what time, network, disks and clients bring, and does what they ask."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from jepsen_like.sim.core.archive import Archive
from jepsen_like.sim.core.clock import Clock
from jepsen_like.sim.core.host import (
    NEVER,
    Answer,
    Broken,
    Busy,
    Done,
    Host,
    Process,
    Refused,
    Replaced,
    Ticket,
)
from jepsen_like.sim.core.oracle import Oracle
from jepsen_like.sim.core.registers import Registers
from jepsen_like.sim.core.store import Store
from jepsen_like.sim.core.timeline import Timeline
from jepsen_like.sim.core.trace import Trace
from jepsen_like.sim.core.wires import Wire, Wires
from jepsen_like.sim.events import event_text
from jepsen_like.sim.happening import Kind
from jepsen_like.sim.image import Image, Write
from jepsen_like.sim.invariants import Checker
from jepsen_like.sim.invariants.answers import Answers
from jepsen_like.sim.invariants.conduct import Conduct
from jepsen_like.sim.invariants.view import View
from jepsen_like.sim.links import Link
from jepsen_like.sim.notation import KINDS, entry_text, hard_text, message_text, node_text
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Violation
from raftlog.core.change import Change
from raftlog.core.durable import HardState, SnapshotMeta, fresh
from raftlog.core.entry import Entry
from raftlog.core.ids import NOTHING, Boot, GroupId, Micros, NodeId, RequestId
from raftlog.core.membership import Member, Membership, MembershipAt
from raftlog.core.message import Message
from raftlog.core.raft import Raft
from raftlog.core.ready import (
    Busy as CoreBusy,
)
from raftlog.core.ready import (
    ChangeRefused,
    Event,
    Fenced,
    IndexRange,
    LeftGroup,
    Load,
    MembershipChanged,
    Missing,
    NoSpace,
    NotLeader,
    Proposed,
    Read,
    ReadRefused,
    ReadReleased,
    Ready,
    RoleChanged,
    StatesDiffer,
    TransferBegun,
    TransferEnded,
    Unfenced,
)

GROUP = GroupId(7)
TICKS = 3
ROOM = 3_000
"""Bytes of commands that a full disk still takes."""
"""At one moment: a lone voter that resigns stands for election again at once, and no change needs more."""
_KIND_NAMES = {kind: name for name, kind in KINDS.items()}


def membership_of(plan: Plan) -> Membership:
    """The plan's nodes: voters first, learners last."""
    ids = [NodeId(number) for number in range(1, plan.voters + plan.learners + 1)]
    members = tuple(Member(id, f"n{id}", "", "") for id in ids)
    return Membership(tuple(ids[: plan.voters]), (), tuple(ids[plan.voters :]), members)


class Leak(AssertionError):
    """A fault did not do what it says: the run shows nothing."""


class Fleet:
    """Every input of every core goes through here, and after each of them the invariants are checked.

    An input is followed at once by all that its core asks for, as in the real driver; only syncs, loads and applying
    take their time.
    """

    def __init__(
        self, plan: Plan, timeline: Timeline, wires: Wires, trace: Trace, checker: Checker, oracle: Oracle
    ) -> None:
        self._plan = plan
        self._timeline = timeline
        self._wires = wires
        self._trace = trace
        self._checker = checker
        self._oracle = oracle
        self._chance = plan.random("disks").random
        self._disks = plan.random("disks")
        self._crashes = plan.random("crashes")
        self.membership = membership_of(plan)
        self._conduct = Conduct(self._newest, plan.settings.election_timeout)
        self._answers = Answers()
        random = plan.random("clocks")
        self.hosts: Mapping[NodeId, Host] = {
            node: self._host(node, random)
            for node in map(NodeId, range(1, plan.voters + plan.learners + plan.strangers + 1))
        }
        """Strangers last: they are told how the group began, as all who join are, and wait."""
        self.apply_takes: tuple[Micros, ...] = plan.random("apply").choice(
            ((0,), (0,), (50, 100, 500), (1_000, 5_000, 20_000))
        )
        """What a state machine takes to catch up; 0 is at once."""
        self.events = 0
        self.seen: Counter[tuple[str, type[Message]]] = Counter()
        """How often a node in a role was given a message."""
        self.counts: Counter[str] = Counter()
        """What else happened, by its name in the coverage registry."""
        self.closed: Mapping[Link, int] = {}
        """Links that faults have cut, by their own account: a message that gets through shows a network that leaks."""
        self.answer: Callable[[Ticket, Answer], None] = _nobody
        """Whom to give answers to clients."""
        self.takes_office: Callable[[Host], None] = lambda host: None
        """Whom to tell of a new leader, before anything that it says leaves it."""
        self.archive = Archive(plan.snapshot, timeline, wires, trace, checker, plan.random("snapshots"), self)

    def _newest(self, node: NodeId) -> Membership:
        """The newest membership in a node's log, as its disk has it."""
        return self.hosts[node].store.written.membership.membership

    def _host(self, node: NodeId, random: Random) -> Host:
        image = Image(SnapshotMeta(NOTHING, MembershipAt(0, self.membership)), HardState())
        clock = Clock(
            self._plan.started + random.randrange(1_000_000), wall_ahead=random.randrange(-500_000, 500_000)
        )
        return Host(node, node_text(node), clock, Store(image))

    # -- the life of a node

    def start_all(self) -> None:
        """Every process starts."""
        for host in self.hosts.values():
            self.boot(host)

    def boot(self, host: Host) -> None:
        """A process starts from what is durable on its disk."""
        assert host.process is None, f"{host.name} is up already"
        host.boots += 1
        recovered = host.store.open()
        image = host.store.durable
        if recovered.last == 0 and recovered.hard_state.term == 0:
            recovered = fresh(self.membership)
        core = Raft(
            node=host.id,
            group=GROUP,
            recovered=recovered,
            settings=self._plan.settings,
            random=self._plan.random(f"{host.name}/{host.boots}"),
            now=host.clock.monotonic(self._timeline.now),
        )
        host.process = process = Process(core, View(core), Registers(), host.boots)
        self.archive.restore(host, process)
        self.happens("start", host)
        if host.boots > 1:
            self.counts["event/restart"] += 1
        self._trace.tell(
            host.name, "start", f"{host.name} starts with {image.last}, {hard_text(image.hard_state)}"
        )
        self._checker.started(host.id, core, host.store)
        self._conduct.started(host.id, process.view, self._timeline.now)
        self._answers.started(host.id, process.view)
        # Its clock may have drifted past several deadlines of this core: the first tick says what time it is.
        self.settle(host, process)
        self.see_room(host)

    def crash(self, host: Host, *, power: bool) -> None:
        """A process dies. With the power, unsynced writes are lost, but for the first few that reached the disk."""
        process = host.process
        assert process is not None, f"{host.name} is down already"
        pending = len(host.store.pending)
        keeping = self._crashes.randrange(pending + 1) if power else pending
        self.happens("crash", host, keeping, pending)
        lost = f", {pending - keeping} of {pending} writes lost" if pending else ""
        self._trace.tell(host.name, "crash", f"{host.name} {'loses power' if power else 'is killed'}{lost}")
        host.process = None
        if host.store.crash(keeping):
            self.counts["effect/lost-writes"] += 1
        self._checker.crashed(host.id)
        if power:
            host.clock.reboot(self._plan.started, self._timeline.now)
        open_reads = [*process.reads.values(), *(ticket for _, ticket in process.released)]
        waiting = [ticket for at in process.proposals.values() for _, ticket in at]
        for ticket in open_reads + waiting:
            self.answer(ticket, Broken())

    def wipe(self, host: Host) -> None:
        """The disk is gone for good. What it had promised stays known to the checkers, who count on nothing new."""
        if host.process is not None:
            self.crash(host, power=True)
        host.wiped = True
        self.happens("wipe", host)

    @property
    def leader(self) -> Host | None:
        """Who leads in the highest term, as far as it knows itself."""
        leading = [
            (host.process.view.state.term, host)
            for host in self.hosts.values()
            if host.process is not None and host.process.core.leads
        ]
        return max(leading, key=lambda pair: pair[0])[1] if leading else None

    # -- inputs

    def see_room(self, host: Host) -> None:
        """Tell a node whether its disk has space, where that has changed; one that stands still learns it later."""
        process = host.process
        full = host.full_until > self._timeline.now
        if process is None or process.paused or full is (process.core.room is not None):
            return
        self.happens("room", host, full)
        process.core.disk_room(ROOM if full else None, host.clock.monotonic(self._timeline.now))
        self.settle(host, process)

    def campaign(self, host: Host) -> None:
        """Make a node ask for votes now."""
        process = _running(host)
        self.happens("campaign", host)
        process.core.campaign(host.clock.monotonic(self._timeline.now))
        self.settle(host, process)
        self._conduct.told(host.id, self._timeline.now)

    @property
    def membership_decided(self) -> MembershipAt:
        """The newest decided membership."""
        return self._checker.membership

    def possible(self) -> list[Membership]:
        """The memberships that are decided or may yet be."""
        return self._checker.possible()

    def change(self, host: Host, changes: Sequence[Change], *, force: bool, blind: bool) -> str:
        """Ask a leader for another membership; in a word what it answers."""
        process = _running(host)
        expected = None if blind else process.view.membership.index
        self.happens("change", host, force, blind)
        shows = host.clock.monotonic(self._timeline.now)
        answer = process.core.propose_membership(changes, shows, expected=expected, force=force)
        text = answer.reason.value if isinstance(answer, ChangeRefused) else "begun"
        assert not isinstance(answer, NotLeader), f"{host.name} does not lead"
        self.counts[f"event/change-{text.replace(' ', '-')}"] += 1
        self.settle(host, process)
        return text

    def transfer(self, host: Host, target: NodeId | None) -> str:
        """Ask a leader to hand over; in a word what it answers."""
        process = _running(host)
        self.happens("transfer", host, target or 0)
        answer = process.core.transfer(target, host.clock.monotonic(self._timeline.now))
        text = "begun" if isinstance(answer, TransferBegun) else "refused"
        self.counts[f"event/transfer-{text}"] += 1
        self.settle(host, process)
        return text

    def serve(self, ticket: Ticket) -> None:
        """A client's request has arrived at a running node that reads it."""
        host = self.hosts[ticket.host]
        process = _running(host)
        self.happens("serve", host, ticket.client, ticket.number)
        if ticket.payload is None:
            self._read(host, process, ticket)
        else:
            self._propose(host, process, ticket, ticket.payload)
        self.settle(host, process)

    def _propose(self, host: Host, process: Process, ticket: Ticket, payload: bytes) -> None:
        match process.core.propose(payload, host.clock.monotonic(self._timeline.now)):
            case Proposed(id):
                process.proposals.setdefault(id.index, []).append((id, ticket))
            case NotLeader(leader):
                self.answer(ticket, Refused(leader))
            case NoSpace(_, retry_after):
                self.counts["effect/no-space"] += 1
                self.answer(ticket, Busy(retry_after))
            case CoreBusy(retry_after):
                self.counts["event/busy"] += 1
                self.answer(ticket, Busy(retry_after))

    def _read(self, host: Host, process: Process, ticket: Ticket) -> None:
        process.asked += 1
        id = RequestId(Boot(host.id * 1_000_000 + process.boot), process.asked)
        process.reads[id] = ticket
        self.counts["event/read"] += 1
        self._checker.asked(id)
        process.core.read_index(id, host.clock.monotonic(self._timeline.now))

    def _arrive(self, message: Message, wire: Wire, epoch: int) -> None:
        host = self.hosts[message.to]
        process = host.process
        flight = self._timeline.serial
        if process is None or wire.cuts or wire.epoch != epoch:
            self._trace.note("lost", flight)
            self.counts["effect/lost-at-a-cut" if wire.cuts else "effect/lost-at-a-dead-end"] += 1
            if self._trace.watch is not None:
                self._tell_message(message, "lost", flight)
            return
        if wire.ends in self.closed:
            raise Leak(f"a message got from {wire.name}, which is cut: {message_text(message)}")
        if process.paused or process.hung:
            self.counts["effect/unread"] += 1
            process.unread.append((self._step, process, message, flight))
        else:
            self._step(process, message, flight)

    def _step(self, process: Process, message: Message, flight: int) -> None:
        host = self.hosts[message.to]
        self.events += 1
        self._trace.note("arrive", flight)
        if self._trace.watch is not None:
            self._tell_message(message, "arrive", flight)
        self.seen[process.view.role.name, type(message)] += 1
        now = self._timeline.now
        self._conduct.hears(message, now)
        self._answers.hears(message)
        process.core.step(message, host.clock.monotonic(now))
        self.settle(host, process)
        self._answers.heard(message)
        self._conduct.heard(message, now)

    def _tick(self, host: Host, process: Process, due: Micros) -> None:
        if host.process is not process or process.tick_at != due:
            return
        process.tick_at = process.tick_shows = NEVER
        if process.paused:
            return
        if not self._tick_if_due(host, process):
            self._wind(host, process)

    def _tick_if_due(self, host: Host, process: Process) -> bool:
        now, core = self._timeline.now, process.core
        shows = host.clock.monotonic(now)
        if core.deadline > shows:
            return False
        for _ in range(TICKS):
            self.happens("tick", host)
            self._conduct.ticks(host.id)
            core.tick(shows, host.clock.wall(now))
            self.settle(host, process)
            self._conduct.ticked(host.id, now)
            if core.deadline > shows:
                return True
        raise AssertionError(f"{host.name} is due at {core.deadline} again after {TICKS} ticks at {shows}")

    def _wind(self, host: Host, process: Process) -> None:
        """Put down the next tick, unless one that comes no later is put down already: it winds again."""
        deadline = process.core.deadline
        if deadline < process.tick_shows and not process.paused:
            now = self._timeline.now
            due = host.clock.true(deadline, now)
            process.tick_shows, process.tick_at = deadline, due
            self._timeline.at(due, self._tick, host, process, due)

    def rewind(self, host: Host) -> None:
        """The clock has changed its pace, or the node goes on after a pause: its tick must be put down anew."""
        if host.process is not None:
            host.process.tick_at = host.process.tick_shows = NEVER
            self._wind(host, host.process)

    # -- standing still

    def pause(self, host: Host) -> None:
        """Nothing runs at this node; what arrives waits."""
        _running(host).paused = True
        self.happens("pause", host)

    def resume(self, host: Host) -> None:
        """It goes on, first with what has piled up; nobody told it how long it stood."""
        process = _running(host)
        process.paused = False
        self.happens("resume", host)
        self._catch_up(host, process, process.waiting)
        self.see_room(host)
        self.rewind(host)
        if not process.hung:
            self._read_on(host, process)

    def hang(self, host: Host) -> None:
        """It reads nothing from the network any more."""
        _running(host).hung = True
        self.happens("hang", host)

    def unhang(self, host: Host) -> None:
        """It reads on, first what has piled up."""
        process = _running(host)
        process.hung = False
        self.happens("unhang", host)
        if not process.paused:
            self._read_on(host, process)

    def _read_on(self, host: Host, process: Process) -> None:
        self._catch_up(host, process, process.unread)

    def _catch_up(self, host: Host, process: Process, queue: Any) -> None:
        while queue and host.process is process:
            act, a, b, c = queue.popleft()
            act(a, b, c)

    def reach(self, ticket: Ticket) -> None:
        """A client's request gets to its node."""
        host = self.hosts[ticket.host]
        process = host.process
        if process is None:
            self.answer(ticket, Refused(None))
        elif process.paused or process.hung:
            process.unread.append((self._serve_late, process, ticket, None))
        else:
            self.events += 1
            self.serve(ticket)

    def _serve_late(self, process: Process, ticket: Ticket, _: None) -> None:
        self.events += 1
        self.serve(ticket)

    # -- performing Ready

    def settle(self, host: Host, process: Process) -> None:
        """Do what a node asks for until it asks for nothing more."""
        core, checker = process.core, self._checker
        before = checker.committed(host.id)
        checker.observe(host.id)
        self._conduct.acts(host.id, self._timeline.now)
        rounds = 0
        while core.has_ready:
            self._perform(host, process, core.ready())
            rounds += 1
            assert rounds < 10_000, f"{host.name} never stops asking"
        checker.settled(host.id)
        if core.deadline < process.tick_shows:
            self._wind(host, process)
        if self._trace.watch is not None and checker.committed(host.id) > before:
            self._trace.tell(host.name, "commit", f"{host.name} committed {checker.committed(host.id)}")

    def _perform(self, host: Host, process: Process, ready: Ready) -> None:
        checker, store = self._checker, host.store
        if ready.events:
            self._show(host, ready.events)
        for message in (*ready.messages, *ready.messages_after_sync):
            checker.made(message)
            self._conduct.made(message)
            self._answers.made(message)
        after = ready.messages_after_sync
        if ready.hard_state is not None or ready.entries or ready.base is not None:
            write = Write(ready.hard_state, ready.entries, after, ready.base)
            if checker.wrote(host.id, write):
                self.counts["event/conflict-truncated"] += 1
            self._send(ready.messages)
            store.write(write)
            self._conduct.wrote(host.id, self._timeline.now)
            if self._trace.watch is not None:
                self._trace.tell(host.name, "disk", f"{host.name} writes {_write_text(write)}")
            if not process.syncing:
                self._begin_sync(host, process)
        else:
            self._send(ready.messages)
            if after:
                if store.pending:
                    store.write(Write(None, (), after))
                else:
                    self._send(after)
        for load in ready.loads:
            self.counts["event/load-from-disk"] += 1
            takes = 100 + int(self._chance() * 2_000)
            if host.slow_until > self._timeline.now:
                takes = max(takes, host.latency)
            # What is read at once comes late: by then it may have been replaced, or compacted.
            early = self._read_for(host, load) if self._chance() < 0.5 else None
            due = max(self._timeline.now + takes, host.stalled_until)
            self._timeline.at(due, self._loaded, host, process, (load, early))
        if ready.install is not None:
            self.archive.install(host, process, ready.install)
        if ready.apply is not None:
            self._take_apply(host, process, ready.apply)
        for read in ready.reads:
            self._answer_read(host, process, read)
        if ready.fetch is not None:
            self.archive.fetch(host, process, ready.fetch)
        if ready.healed:
            self.archive.healed(host)

    def _send(self, messages: Sequence[Message]) -> None:
        checker, wires, trace = self._checker, self._wires, self._trace
        for message in messages:
            checker.sent(message)
            sender, to = self.hosts[message.sender], self.hosts[message.to]
            sender.sent += 1
            wire = wires.wire(sender.name, to.name)
            copies = wires.send(message, wire, self._arrive)
            trace.note("send", message, copies)
            if len(copies) != 1:
                self.counts[_fate(wire, copies)] += 1
            elif wire.extra:
                self.counts["effect/slowed"] += 1
            if trace.watch is not None:
                for _due, flight in copies or [(0, 0)]:
                    trace.tell(sender.name, "send", message_text(message), peer=to.name, flight=flight)
                if not copies:
                    self._tell_message(message, "lost")

    # -- the disk

    def _begin_sync(self, host: Host, process: Process) -> None:
        process.syncing = len(host.store.pending)
        now = self._timeline.now
        sync = self._plan.sync
        takes = sync[int(self._chance() * len(sync))]
        if host.slow_until > now:
            self.counts["effect/slow-sync"] += 1
            takes = max(takes, host.latency)
        if host.stalled_until > now:
            self.counts["effect/stalled-sync"] += 1
        self._timeline.at(max(now + takes, host.stalled_until), self._synced, host, process)

    def _synced(self, host: Host, process: Process, _: None = None) -> None:
        if host.process is not process:
            return
        if process.paused:
            self.counts["effect/waited"] += 1
            process.waiting.append((self._synced, host, process, None))
            return
        if host.stalled_until > self._timeline.now:
            self.counts["effect/stalled-sync"] += 1
            self._timeline.at(host.stalled_until, self._synced, host, process)
            return
        self.happens("synced", host, process.syncing)
        shows = host.clock.monotonic(self._timeline.now)
        for _write in range(process.syncing):
            write = host.store.sync()
            if self._trace.watch is not None and write.bears:
                self._trace.tell(host.name, "disk", f"{host.name} syncs {_write_text(write)}")
            self._checker.synced(host.id)
            self._send(write.after)
            if write.bears:
                self._conduct.synced(host.id)
                last = write.entries[-1].id if write.entries else None
                process.core.storage_done(write.hard_state, last, shows)
        process.syncing = 0
        self.settle(host, process)
        if host.store.pending and not process.syncing:
            self._begin_sync(host, process)

    def _read_for(self, host: Host, load: Load) -> tuple[Entry, ...] | None:
        """What the disk has of it. The log may have been cut since the load was asked for."""
        last = min(load.last, host.store.written.last.index)
        return host.store.read(load.first, last, load.max_bytes) if load.first <= last else None

    def _loaded(self, host: Host, process: Process, what: tuple[Load, tuple[Entry, ...] | None]) -> None:
        if host.process is not process:
            return
        if process.paused:
            process.waiting.append((self._loaded, host, process, what))
            return
        load, early = what
        self.happens("loaded", host, load.peer, load.first)
        found = early or self._read_for(host, load) or Missing.COMPACTED
        process.core.entries_loaded(load.peer, load.first, found, host.clock.monotonic(self._timeline.now))
        self.settle(host, process)

    # -- the state machine

    def _take_apply(self, host: Host, process: Process, span: IndexRange) -> None:
        process.unapplied.append(span)
        if process.applying:
            return
        takes = self.apply_takes[int(self._chance() * len(self.apply_takes))]
        if takes:
            process.applying = True
            self._timeline.at(self._timeline.now + takes, self._applied, host, process)
        else:
            self._apply(host, process)

    def _applied(self, host: Host, process: Process, _: None = None) -> None:
        if host.process is not process:
            return
        if process.paused:
            process.waiting.append((self._applied, host, process, None))
            return
        process.applying = False
        self.happens("apply", host)
        self._apply(host, process)
        self.settle(host, process)

    def _apply(self, host: Host, process: Process) -> None:
        machine, checker, node = process.machine, self._checker, host.id
        at = host.store.durable.at
        entry: Entry | None = None
        while process.unapplied:
            span = process.unapplied.popleft()
            for index in range(span.first, span.last + 1):
                entry = at(index)
                assert entry is not None, f"{host.name} is to apply {index}, which it does not have"
                effect = machine.apply(entry)
                checker.applied(node, index, machine.digest)
                answer = True
                if effect is not None:
                    answer = effect.answer
                    if effect.executed:
                        command = effect.command
                        checker.took_effect(node, command.client, command.sequence, index)
                        if effect.answer:
                            self._oracle.sets(command, index)
                    else:
                        self.counts["event/repetition-filtered"] += 1
                waiting = process.proposals.pop(index, None)
                for id, ticket in waiting or ():
                    mine = id.term == entry.term
                    self.answer(ticket, Done(set=answer) if mine else Replaced())
        if self._trace.watch is not None:
            self._trace.tell(host.name, "apply", f"{host.name} applied {machine.applied}")
        process.core.applied(machine.applied, machine.digest, host.clock.monotonic(self._timeline.now))
        checker.observe(node)
        if process.released:
            due = [ticket for index, ticket in process.released if index <= machine.applied]
            process.released = [pair for pair in process.released if pair[0] > machine.applied]
            for ticket in due:
                self.answer(ticket, Done(value=machine.values.get(ticket.key)))
        if entry is not None:
            self.archive.applied(host, process, entry)

    def _answer_read(self, host: Host, process: Process, read: Read) -> None:
        assert read.id in process.reads, f"{host.name} answers read {read.id} twice, or nobody asked"
        ticket = process.reads.pop(read.id)
        match read:
            case ReadReleased():
                self._checker.answered(host.id, read.id, read.index)
                if read.index > process.machine.applied:
                    process.released.append((read.index, ticket))
                else:
                    self.answer(ticket, Done(value=process.machine.values.get(ticket.key)))
            case ReadRefused():
                self.answer(ticket, Refused(read.leader))

    # -- telling

    def happens(self, what: str, host: Host, *values: int) -> None:
        self.events += 1
        self._trace.note(what, host.id, *values)

    def _show(self, host: Host, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, StatesDiffer | Fenced | Unfenced):
                raise Violation("I5", f"{host.name} takes equal states for different ones: {event}")
            self._count_event(event)
            if isinstance(event, RoleChanged) and event.role == "leader":
                self.takes_office(host)
            topic: Kind = "role" if isinstance(event, RoleChanged) else "event"
            self._trace.tell(host.name, topic, event_text(host.id, event))

    def _count_event(self, event: Event) -> None:
        match event:
            case MembershipChanged(membership=membership, decided=decided):
                kind = "joint" if membership.joint else "membership"
                self.counts[f"event/{kind}-{'decided' if decided else 'in-force'}"] += 1
            case LeftGroup():
                self.counts["event/left-group"] += 1
            case TransferEnded(reason=reason):
                self.counts["event/hand-over-failed" if "followed" in reason else "event/hand-over-done"] += 1
            case _:
                pass

    def _tell_message(self, message: Message, kind: Any, flight: int = 0) -> None:
        sender, to = node_text(message.sender), node_text(message.to)
        lane, peer = (to, sender) if kind == "arrive" else (sender, to)
        self._trace.tell(lane, kind, message_text(message), peer=peer, flight=flight)

    def coverage(self) -> dict[str, int]:
        """What happened, by the names of the coverage registry."""
        roles = {
            f"role/{role}/{_KIND_NAMES[kind]}": number for (role, kind), number in self.seen.items() if number
        }
        return roles | {name: number for name, number in self.counts.items() if number}


def _running(host: Host) -> Process:
    assert host.process is not None, f"{host.name} is down"
    return host.process


def _fate(wire: Wire, copies: Sequence[object]) -> str:
    if copies:
        return "effect/doubled"
    return "effect/lost-at-a-cut" if wire.cuts else "effect/lost"


def _nobody(ticket: Ticket, answer: Answer) -> None:
    raise AssertionError(f"nobody waits for the answer to {ticket}")


def _write_text(write: Write) -> str:
    parts = [] if write.base is None else [f"base {write.base.last}"]
    parts += [] if write.hard_state is None else [hard_text(write.hard_state)]
    return ", ".join(parts + [entry_text(entry) for entry in write.entries])
