"""One group on one node: feeds the core its inputs and performs what it asks, in the order it asks."""

from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from random import Random
from typing import Protocol

from raftlog.clock import Clock
from raftlog.core.durable import Recovered
from raftlog.core.entry import Command, Entry, encode_commands
from raftlog.core.ids import Boot, GroupId, Index, Micros, NodeId
from raftlog.core.membership import Membership
from raftlog.core.message import Message
from raftlog.core.raft import Raft
from raftlog.core.ready import (
    Busy,
    IndexRange,
    Load,
    Missing,
    NoSpace,
    NotLeader,
    Proposed,
    ReadRefused,
    ReadReleased,
    Ready,
)
from raftlog.core.settings import Settings
from raftlog.core.status import Status
from raftlog.failpoints import Failpoints
from raftlog.machine.contract import StateMachine
from raftlog.machine.result import Kind, Result, refusal
from raftlog.node.applying import SLICE, Applying
from raftlog.node.calls import Batch, Done, InLog, Proposals, Queue, batches
from raftlog.node.fetching import Fetching
from raftlog.node.forwards import Arrivals, Forwards, reply_to
from raftlog.node.limits import Limits
from raftlog.node.offload import Offload
from raftlog.node.reading import Reading
from raftlog.node.reads import ReadDone, Reads
from raftlog.node.refusals import Refusals, refuse_all
from raftlog.node.restoring import Restoring
from raftlog.node.retention import Retention
from raftlog.node.snapshotting import Snapshotting
from raftlog.node.telling import difference_text, tell
from raftlog.node.writer import Writer
from raftlog.replay import Replays
from raftlog.storage import DiskError, Wal
from raftlog.transport.bulk import Bulk
from raftlog.transport.events import OnEvent
from raftlog.transport.frames import Forward, ForwardReply

GATHER_BEHIND = 32
"""Commands under way from which on later ones gather instead of following at once."""
GATHER_AT_MOST: Micros = 20_000
"""How long they do: on a network with long ways, entries still follow each other closely."""
PUT_OFF_AT_MOST = 16
"""Entries a follower may leave unapplied for the sake of an acknowledgement."""
FORWARD_PATIENCE = 5
"""Election timeouts after which an unanswered forward is given up."""


class Surroundings(Protocol):
    """What a replica uses of its node."""

    clock: Clock
    wal: Wal
    writer: Writer
    boot: Boot
    bulk: Bulk
    offload: Offload
    replays: Replays | None
    failpoints: Failpoints

    def kick(self) -> None:
        """Have `pump` called soon."""
        ...

    def send(self, frame: Message | Forward | ForwardReply, to: NodeId) -> bool:
        """Encode and queue a frame; False when it was dropped."""
        ...

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the node; leaving the node waits for it."""
        ...

    def start_aside(self, work: Coroutine[object, object, None]) -> None:
        """The same for work that may take long: leaving the node cancels it."""
        ...


class Replica:
    """Drives one `Raft` and one `Applier`. Everything but loading from disk happens inside `pump`, without an await.

    So no input is ever interleaved with another, and what one decides still holds when it is performed.
    """

    def __init__(
        self,
        around: Surroundings,
        *,
        node: NodeId,
        group: GroupId,
        recovered: Recovered,
        machine: Callable[[], StateMachine],
        settings: Settings,
        limits: Limits,
        retention: Retention,
        random: Random,
        on_event: OnEvent,
    ) -> None:
        now = around.clock.monotonic()
        self.group = group
        self._around = around
        self._failpoints = around.failpoints
        self._node = node
        self._settings = settings
        self._limits = limits
        self._on_event = on_event
        self.raft = Raft(
            node=node, group=group, recovered=recovered, settings=settings, random=random, now=now
        )
        self.applying = Applying(machine, group, around.clock, on_event, around.failpoints)
        self.snapshotting = Snapshotting(around, group, self.raft, retention, machine, on_event)
        self.restoring = Restoring(around, group, self.raft, self.applying, self.snapshotting, on_event)
        self._reading = Reading(around, group, on_event)
        self._fetching = Fetching(around, node, group, self.raft, on_event)
        self._words = Refusals(node, self.raft, settings.heartbeat)
        self._inbox: deque[Message] = deque()
        self._queue = Queue(limits.queue)
        self._proposals = Proposals()
        self._forwards = Forwards(around.boot, limits.forwarded)
        self._arrivals = Arrivals()
        self._reads = Reads(around.boot, limits.reads)
        self._loaded: deque[tuple[Load, tuple[Entry, ...] | Missing]] = deque()
        self._feeding = False
        self._replay_to: Index = max(recovered.hard_state.commit, self.raft.snapshot_index)
        self._led = False
        self._renounced = False
        """It does not lead, since it cannot apply."""
        self._gathers_until: Micros = 0
        self._waits_until: Micros | None = None
        """Until when waiting commands are held back for a write in flight; None: none were since the last entry."""
        self._gathering: Micros | None = None
        """Until when commands are held back only to gather, if any are."""

    # -- from the outside; these only note what came

    def receive(self, message: Message) -> None:
        """A message for this group's core."""
        self._inbox.append(message)

    def submit(self, commands: Sequence[Command], done: Done, origin: NodeId | None = None) -> None:
        """Take commands for the log; `done` is called once, later or now."""
        parts = batches(commands, done, origin, self._limits.entry_target)
        if not self._queue.put(parts):
            done([self._words.busy("too many commands wait here already")] * len(commands))

    def read(self, done: ReadDone) -> None:
        """Take a linearizable read."""
        if self._reads.full:
            done(self._words.busy("too many reads wait here already"))
        else:
            self._reads.add(done)

    def query(self, machine: int, body: bytes) -> Result:
        """Answer a query from the present state; refused while that is half changed or being built anew."""
        if reason := self.raft.fenced:
            return self._words.fenced(reason)
        if not self.applying.presentable:
            return self._words.cannot_apply()
        return self.applying.applier.query(body, machine=machine)

    def forward_answered(self, sender: NodeId, reply: ForwardReply) -> None:
        """The leader's answer to commands passed on."""
        if self._failpoints.armed and self._failpoints.fails("forwards.before_answer"):
            return
        self._forwards.answered(sender, reply)

    # -- what others may ask

    @property
    def serving(self) -> bool:
        """Whether it has caught up with what it had committed when it started, and knows a leader."""
        if self.raft.fenced:
            return False
        caught_up = self.applying.presentable and self.applying.applier.applied.index >= self._replay_to
        return caught_up and self.raft.leader is not None

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not (self._queue or self._proposals or self._forwards or self._reads)

    @property
    def membership(self) -> Membership:
        """The membership in force."""
        return self.raft.membership

    @property
    def deadline(self) -> Micros:
        """When `pump` is due at the latest."""
        return self.raft.deadline if self._gathering is None else min(self.raft.deadline, self._gathering)

    def status(self) -> Status:
        """The core's status."""
        return self.raft.status()

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is wrong with its state, or may be, one sentence each."""
        reason = self.raft.fenced
        fenced = (f"fenced, it answers nobody until it has a peer's state: {reason}",) if reason else ()
        return fenced + tuple(
            f"{difference_text(each)}; a quorum has yet to say which is right" for each in self.raft.differs
        )

    @property
    def leader_address(self) -> str | None:
        """Client address of the leader when that is another node and known."""
        return self._words.leader_address

    # -- the pump

    def pump(self, now: Micros) -> None:
        """Take every input that has come, then perform what the core asks until it asks for nothing more."""
        raft = self.raft
        self.snapshotting.report(now)
        self._fetching.report(now)
        self.restoring.report(now)
        if (found := self._reading.take_found()) is not None:
            self.raft.readable(found, now)
            self.applying.found(found)
        if self._failpoints.armed and self._inbox and self._failpoints.fails("replica.before_step"):
            self._inbox.clear()
        while self._inbox:
            raft.step(self._inbox.popleft(), now)
        while self._loaded:
            load, entries = self._loaded.popleft()
            raft.entries_loaded(load.peer, load.first, entries, now)
            if raft.hole is not None and self.applying.lost is None:
                self.applying.give_up(
                    raft.hole
                )  # nothing more is handed out: whoever waits for it is to be told
        if now >= raft.deadline:
            raft.tick(now, self._around.clock.wall())
        self._retry_applying(now)
        self._propose(now)
        if (id := self._reads.ask()) is not None:
            if self._failpoints.armed:
                self._failpoints.hit_now("reads.before_ask")
            raft.read_index(id, now)
        self._perform_ready(now)
        if self._apply(now):
            self._propose(now)
            self._perform_ready(now)
        self._take_snapshot(now)
        self._forwards.give_up(now, raft.leader)

    def written(self, ready: Ready) -> None:
        """A Ready and all before it are durable."""
        if self._failpoints.armed and ready.messages_after_sync:
            self._failpoints.hit_now("replica.before_acknowledge")
        for message in ready.messages_after_sync:
            self._around.send(message, message.to)
        if ready.writes:
            if self._failpoints.armed:
                self._failpoints.hit_now("replica.before_storage_done")
            last = ready.entries[-1].id if ready.entries else None
            self.raft.storage_done(ready.hard_state, last, self._around.clock.monotonic())

    def went_ahead(self, ready: Ready) -> None:
        """Term and vote of a Ready and all before it are durable; its entries wait for space on the disk."""
        for message in ready.messages_after_sync:
            self._around.send(message, message.to)
        if ready.hard_state is not None:
            self.raft.hard_state_done(ready.hard_state, self._around.clock.monotonic())

    def close(self) -> None:
        """Answer everyone who still waits."""
        reason = "this node is shutting down"
        while self._queue:
            for batch in self._queue.take(self._limits.queue):
                batch.refuse(self._words.refused(f"{reason}; the command was not proposed"))
        self._give_up_proposals(f"{reason} before the command was decided")
        self._forwards.abandon()
        self._reads.abandon(self._words.refused(f"{reason}; ask another"))

    # -- proposing and forwarding

    def _propose(self, now: Micros) -> None:
        """Put waiting commands into entries if this node leads, else pass them to the leader or refuse them.

        The leader lets commands gather, up to one entry's worth, where that costs them little: while a write is in
        flight they could not be written anyway, and under load one entry for many is cheaper for everyone.
        """
        queue, target = self._queue, self._limits.entry_target
        self._gathering = None
        while queue:
            if not self.raft.leads:
                self._pass_on(queue.take(target), now)
            elif queue.size < target and self._waits_for_a_write(now):
                self._gathering = self._waits_until
                return
            elif queue.size < target and self._gathers(now):
                self._gathering = self._gathers_until
                return
            else:
                self._enter(queue.take(target), now)

    def _waits_for_a_write(self, now: Micros) -> bool:
        """Whether a write is in flight, and has not been for as long as to hold everything up.

        A leader whose disk hangs must go on proposing: that others have what it has not is what costs it its office.
        """
        if not self._around.writer.busy:
            return False
        if self._waits_until is None:
            self._waits_until = now + self._settings.heartbeat
        return now < self._waits_until

    def _gathers(self, now: Micros) -> bool:
        """Whether so much is under way that what comes next had better wait for an answer, but never long.

        Three entries: one being decided, one written, one applied and answered; measured, fewer leave processors idle
        and more cost each of them more than they give.
        """
        under_way = self._proposals
        return len(under_way) >= 3 and under_way.commands >= GATHER_BEHIND and now < self._gathers_until

    def _enter(self, parts: Sequence[Batch], now: Micros) -> None:
        self._waits_until = None
        commands = (
            parts[0].commands if len(parts) == 1 else [each for part in parts for each in part.commands]
        )
        if self._failpoints.armed and self._failpoints.fails("replica.before_propose"):
            refuse_all(parts, self._words.busy("a failpoint is armed"))
            return
        match self.raft.propose(encode_commands(commands), now):
            case Proposed(id=id):
                if self._failpoints.armed:
                    self._failpoints.hit_now("replica.after_propose")
                self._proposals.add(id, commands, parts)
                self._gathers_until = now + GATHER_AT_MOST
            case Busy(retry_after=retry_after):
                refuse_all(parts, self._words.busy("too much is undecided", retry_after))
            case NoSpace(nodes=nodes, retry_after=retry_after):
                refuse_all(parts, self._words.no_space(nodes, retry_after))
            case NotLeader():
                refuse_all(parts, self._words.not_leader())

    def _pass_on(self, parts: Sequence[Batch], now: Micros) -> None:
        leader = self.raft.leader
        refused = [part for part in parts if leader is None or part.origin is not None]
        refuse_all(refused, self._words.not_leader())
        ours = [part for part in parts if leader is not None and part.origin is None]
        if leader is None or not ours:
            return
        if self._forwards.full:
            refuse_all(ours, self._words.busy("too many commands are on their way to the leader"))
            return
        forward = self._forwards.make(
            self.group, ours, leader, now + FORWARD_PATIENCE * self._settings.election_timeout
        )
        points = self._failpoints
        kept_back = points.armed and points.fails("forwards.before_send")
        if kept_back or not self._around.send(forward, leader):
            self._forwards.unsent(forward.id, self._words.unreachable())
        elif points.armed:
            points.hit_now("forwards.after_send")

    def forwarded(
        self, sender: NodeId, forward: Forward, commands: Sequence[Command], refused: Result | None = None
    ) -> None:
        """Another node passes on commands of its clients; all of them are refused where `refused` says how.

        Whoever puts commands into the log asks its own machine first: the node that passed them on may run a later
        release, and a command that this one does not know would stop it, and every other like it, from applying.
        """
        if self._failpoints.armed and self._failpoints.fails("forwards.before_take"):
            return
        if not self._arrivals.first_time(sender, forward.id):
            return

        def answer(results: Sequence[Result]) -> None:
            if self._failpoints.armed and self._failpoints.fails("forwards.before_reply"):
                return
            self._around.send(reply_to(forward, results), sender)

        if refused is not None:
            answer([refused] * len(commands))
        elif unfit := self.applying.applier.refusals(commands):
            self._submit_without(unfit, commands, answer, sender)
        else:
            self.submit(commands, answer, sender)

    def _submit_without(
        self, unfit: Mapping[int, Result], commands: Sequence[Command], done: Done, origin: NodeId
    ) -> None:
        def together(results: Sequence[Result]) -> None:
            rest = iter(results)
            done(
                [
                    Result(Kind.FAILED, unfit[at].body) if at in unfit else next(rest)
                    for at in range(len(commands))
                ]
            )

        if fit := [command for at, command in enumerate(commands) if at not in unfit]:
            self.submit(fit, together, origin)
        else:
            together(())

    # -- performing

    def _perform_ready(self, now: Micros) -> None:
        if self.raft.has_ready:
            self._perform(self.raft.ready(), now)

    def _perform(self, ready: Ready, now: Micros) -> None:
        """The order is that of `raftlog.core.ready`."""
        if self._failpoints.armed:
            self._failpoints.hit_now("replica.before_perform")
        for message in ready.messages:
            self._around.send(message, message.to)
        if ready.writes or ready.marks or ready.messages_after_sync:
            if self._failpoints.armed:
                self._failpoints.hit_now("replica.before_submit")
            self._around.writer.submit(self, ready)
        for load in ready.loads:
            self._around.start_aside(self._load(load))
        if ready.install is not None:
            fetched = self._fetching.taken
            assert fetched is not None, "nothing was fetched, so nothing can be installed"
            assert fetched.meta == ready.install, f"{ready.install} is to be installed, fetched was {fetched}"
            self.restoring.install(fetched)
        if ready.apply is not None:
            self.applying.wanted = ready.apply.last
        for read in ready.reads:
            match read:
                case ReadReleased():
                    self._release(read)
                case ReadRefused():
                    self._reads.refused(read.id, self._words.not_leader(known=read.leader is not None))
        if ready.snapshot_wanted:
            self.snapshotting.ask()
        if ready.fetch is not None:
            self._fetching.begin(ready.fetch)
        for event in ready.events:
            tell(event, self.group, self._on_event)
        self._lead_changed()

    def _release(self, read: ReadReleased) -> None:
        if self._failpoints.armed and self._failpoints.fails("reads.before_release"):
            self._reads.refused(read.id, self._words.not_leader())
        else:
            self._reads.released(read.id, read.index)

    def _lead_changed(self) -> None:
        """Commands of a lost leadership may still be decided by the next leader: nobody can say yet."""
        if self._led and not self.raft.leads:
            self._give_up_proposals("this node lost its leadership before the command was decided")
        self._led = self.raft.leads

    def _give_up_proposals(self, reason: str) -> None:
        unknown = refusal(Kind.UNKNOWN, f"{reason}; it may have happened", leader=self._words.leader_address)
        for waiting in self._proposals.abandon():
            waiting.answer_all(unknown)

    # -- applying

    def _apply(self, now: Micros) -> bool:
        """Apply for one slice; whether the core may have something to say. What is left is for the next turn."""
        self._feed()
        if self._acknowledges_first():
            return False
        deadline = now + SLICE
        done = False
        while self.applying.busy:
            finished = self.applying.step(deadline, self._commands_of)
            if finished is not None:
                self._finish(*finished, now)
                done = True
                self._feed()
            if self._around.clock.monotonic() >= deadline:
                break
        if self.applying.stopped:
            self._renounce(now)
            return True
        if self._renounced and self.applying.presentable:
            self._renounced = False
            self.raft.allow_leading(True, "", now)
        if self.applying.busy:
            self._around.kick()
        if self.applying.presentable:
            if self._failpoints.armed and self._reads:
                self._failpoints.hit_now("reads.before_answer")
            self._reads.applied(self.applying.applier.applied.index)
            if self.raft.room is not None or self.raft.hangs:
                self._reads.give_up_beyond(self.raft.durable_index, self._words.lags_behind())
        return done

    def _acknowledges_first(self) -> bool:
        """A follower with a write in flight keeps the loop free for its end: the leader waits for that, not for this.

        The end of the write calls the pump again. With much to apply, or reads waiting for it, it applies at once.
        """
        if self.raft.leads or self._reads or not self._around.writer.busy:
            return False
        return self.applying.wanted - self.applying.applier.applied.index <= PUT_OFF_AT_MOST

    def _renounce(self, now: Micros) -> None:
        """Who cannot apply leads nobody, for nothing it decides could be answered, and vouches for no read."""
        if self.applying.lost is not None:
            self.raft.damaged(self.applying.lost, now)
        else:
            self._renounced = True
            self.raft.allow_leading(False, "it cannot apply what it decides", now)
        self._reads.abandon(self._words.cannot_apply())

    def _feed(self) -> None:
        """Get the next entries: from memory if they are recent, else from disk."""
        applying = self.applying
        if not applying.hungry or self._feeding:
            return
        want = IndexRange(applying.next, applying.wanted)
        entries = self.raft.recent(want.first, want.last, self._limits.apply)
        if entries is not None:
            applying.feed(entries)
        else:
            self._feeding = True
            self._around.start_aside(self._read_to_apply(want))

    async def _read_to_apply(self, want: IndexRange) -> None:
        entries = await self._reading.read(want.first, partial(self._entries_to_apply, want))
        self._feeding = False
        if self.applying.hungry and self.applying.next == want.first:  # no other state has come meanwhile
            match entries:
                case Missing.DAMAGED:
                    self._on_event(
                        f"cannot apply on: entry {want.first} cannot be read", {"group": self.group}
                    )
                    self.applying.give_up(want.first)
                case Missing.COMPACTED:
                    self.restoring.begin()
                case _:
                    self.applying.feed(entries)
        self._around.kick()

    async def _entries_to_apply(self, want: IndexRange) -> tuple[Entry, ...]:
        points, wal = self._failpoints, self._around.wal
        if points.armed:
            await points.hit("applying.before_read", DiskError)
        entries = await wal.read(self.group, want.first, want.last, max_bytes=self._limits.apply)
        if points.armed:
            await points.hit("applying.before_feed", DiskError)
        return entries

    def _commands_of(self, entry: Entry) -> Sequence[Command] | None:
        """The commands of an entry this node created need no decoding."""
        waiting = self._proposals.peek(entry.index)
        return waiting.commands if waiting is not None and waiting.term == entry.term else None

    def _finish(self, entry: Entry, results: Sequence[Result], now: Micros) -> None:
        if self._failpoints.armed:
            self._failpoints.hit_now("applying.before_report")
        self.snapshotting.applied(entry.size)
        if entry.index > self.raft.applied_index:
            self.raft.applied(entry.index, self.applying.applier.digest, now)
        waiting = self._proposals.take(entry.index)
        if waiting is not None:
            self._answer(waiting, entry, results)

    def _answer(self, waiting: InLog, entry: Entry, results: Sequence[Result]) -> None:
        if self._failpoints.armed and self._failpoints.fails("applying.before_answer"):
            waiting.answer_all(refusal(Kind.UNKNOWN, "a failpoint is armed; it may have happened"))
        elif waiting.term == entry.term:
            waiting.answer(results)
        else:
            waiting.answer_all(
                self._words.refused("another leader's entry took its place in the log; it did not happen")
            )

    def _retry_applying(self, now: Micros) -> None:
        if self.applying.retry(now):
            self.restoring.begin()

    # -- snapshots

    def _take_snapshot(self, now: Micros) -> None:
        trusted = not (self.raft.fenced or self.raft.wants_state)
        if trusted and self.snapshotting.due(now) and self.applying.whole:
            work = self.snapshotting.take(self.applying.applier, now)
            if work is not None:
                self._around.start_aside(work)

    # -- loading for followers

    async def _load(self, load: Load) -> None:
        entries = await self._reading.read(load.first, partial(self._entries_for, load))
        self._loaded.append((load, entries))
        self._around.kick()

    async def _entries_for(self, load: Load) -> tuple[Entry, ...]:
        points, wal = self._failpoints, self._around.wal
        if points.armed:
            await points.hit("loads.before_read", DiskError)
        entries = await wal.read(self.group, load.first, load.last, max_bytes=load.max_bytes)
        if points.armed:
            await points.hit("loads.before_answer", DiskError)
        return entries
