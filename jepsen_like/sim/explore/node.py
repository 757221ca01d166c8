"""One node of an explored world: its core at rest, its disk, and what an input makes of both."""

from collections.abc import Hashable, Sequence
from typing import Final

import msgspec

from jepsen_like.sim.explore import laws
from jepsen_like.sim.explore.copier import (
    LATER,
    NOW,
    PAUSE,
    STILL,
    WALL,
    check,
    copy,
    named,
    rest,
    settings,
)
from jepsen_like.sim.explore.scope import Disk, Past, Scope
from jepsen_like.sim.notation import changes, entry
from jepsen_like.sim.verdict import Violation
from raftlog.core.durable import HardState, Recovered, SnapshotMeta, TermRun, fresh
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import NOTHING, Boot, GroupId, Index, NodeId, RequestId
from raftlog.core.membership import MembershipAt, decode_membership
from raftlog.core.message import AppendRequest, Message
from raftlog.core.raft import Raft
from raftlog.core.ready import Load, MessageRefused, ReadRefused, ReadReleased, Ready
from raftlog.core.roles.leader import Leader
from raftlog.core.settings import Settings

GROUP: Final = GroupId(7)
THEN = NOW + PAUSE
"""When an ordinary input comes."""


class Write(msgspec.Struct, frozen=True):
    """One batch for the disk; `after` are the messages that wait for its sync."""

    hard: HardState | None
    entries: tuple[Entry, ...]
    after: tuple[Message, ...]

    @property
    def bears(self) -> bool:
        """Whether it writes anything, or only waits its turn."""
        return self.hard is not None or bool(self.entries)


class Node:
    """A node between two inputs. Nothing in it ever changes: an input works on a copy.

    A node that is down does what a node does that is given no input, and loses what a crash loses; so a crash and the
    restart are one input, and being down for a while is being given none.
    """

    __slots__ = (
        "asked",
        "boot",
        "committed",
        "core",
        "disk",
        "hard",
        "id",
        "leads",
        "log",
        "memberships",
        "pending",
        "term",
    )

    def __init__(
        self,
        id: NodeId,
        boot: int,
        core: Raft,
        hard: HardState,
        disk: tuple[Entry, ...],
        pending: tuple[Write, ...],
        asked: int,
    ) -> None:
        self.id = id
        self.boot = boot
        self.core = core
        self.hard = hard
        """Term and vote that are durable."""
        self.disk = disk
        """Entries that are durable, from 1 on."""
        self.pending = pending
        """Writes under way, oldest first."""
        self.asked = asked
        """Reads begun in this boot."""
        self.log = disk
        """Entries, durable or under way."""
        for write in pending:
            self.log = performed(self.log, write)
        state = core._state
        self.term = state.term
        self.committed = state.committed
        self.memberships = tuple(state.memberships)
        self.leads = isinstance(core._role, Leader)

    def name(self) -> Hashable:
        """Equal for two nodes that will always behave alike, whatever happens around them."""
        return (self.id, self.boot, self.asked, self.hard, self.disk, self.pending, named(self.core))


def performed(entries: tuple[Entry, ...], write: Write) -> tuple[Entry, ...]:
    """A log after a write: its entries replace whatever stood at their first index and after it."""
    if not write.entries:
        return entries
    keep = write.entries[0].index - 1
    laws.hold(
        keep <= len(entries), "I3", f"a write from {write.entries[0].id} after {len(entries)} entries: a gap"
    )
    return entries[:keep] + write.entries


class Turn:
    """What one input makes of a node; raises `Violation` where a law of a single node is broken."""

    __slots__ = (
        "asked",
        "before",
        "boot",
        "core",
        "disk",
        "given",
        "hard",
        "pending",
        "promptness",
        "reads",
        "sent",
        "syncs",
    )

    def __init__(self, before: Node, disk: Disk) -> None:
        self.before = before
        self.boot = before.boot
        self.core = copy(before.core)
        self.hard = before.hard
        self.disk = before.disk
        self.pending = list(before.pending)
        self.asked = before.asked
        self.promptness = disk
        self.syncs = 0
        """Writes that have completed by themselves."""
        self.given: set[Entry] = set()
        """Entries that the input has brought."""
        self.sent: list[Message] = []
        self.reads: list[tuple[RequestId, Index | None]] = []
        """Reads that ended, each with the index it was released at, or None."""

    # -- inputs

    def deliver(self, message: Message) -> None:
        """A message arrives."""
        if isinstance(message, AppendRequest):
            self.given.update(message.entries)
        self.core.step(message, THEN)
        self._settle()
        laws.follows(self.core, message)

    def lose_patience(self) -> None:
        """An election timeout goes by without a word: a leader resigns, everyone else campaigns."""
        self.core.tick(LATER, LATER + WALL)
        rest(self.core)
        self._settle()

    def beat(self) -> None:
        """A heartbeat is due."""
        self.core.tick(THEN, THEN + WALL)
        self._settle()

    def propose(self, payload: bytes) -> None:
        """A client's command."""
        self.core.propose(payload, THEN)
        self._settle()

    def change(self, words: Sequence[str]) -> None:
        """Somebody wants another membership, whoever is alive."""
        self.core.propose_membership(changes(words), THEN, force=True)
        self._settle()

    def read(self) -> RequestId:
        """A client's linearizable read."""
        self.asked += 1
        id = RequestId(Boot(self.before.id * 1000 + self.boot), self.asked)
        self.core.read_index(id, THEN)
        self._settle()
        return id

    def sync(self) -> None:
        """The oldest write under way completes."""
        self._sync_one()
        self._settle()

    def crash(self, keeping: int) -> None:
        """The node stops and starts again; of its writes under way the first `keeping` have reached the disk."""
        for write in self.pending[:keeping]:
            self._perform_write(write)
        self.pending.clear()
        self.boot += 1
        self.asked = 0
        state = self.before.core._state
        self.core = started(self.before.id, self.hard, self.disk, state.memberships[0], state.settings)
        self._settle()

    # -- the driver's part

    def end(self) -> Node:
        """The node after it."""
        rest(self.core)
        after = Node(
            self.before.id, self.boot, self.core, self.hard, self.disk, tuple(self.pending), self.asked
        )
        laws.step(self.before, after)
        return after

    def _settle(self) -> None:
        for _ in range(200):
            if self.core.has_ready:
                self._perform(self.core.ready())
            elif self.pending and self._completes(self.pending[0]):
                self.syncs += 1
                self._sync_one()
            else:
                return
        raise Violation("storm", f"n{self.before.id} never stops asking")

    def _completes(self, write: Write) -> bool:
        """Whether a write completes by itself."""
        match self.promptness:
            case "prompt":
                return True
            case "entries":
                return not write.entries
            case "held":
                return not write.bears

    def _perform(self, ready: Ready) -> None:
        for event in ready.events:
            if isinstance(event, MessageRefused):
                raise Violation(
                    "refused", f"n{self.before.id} refuses what n{event.sender} says: {event.reason}"
                )
        asked = [part for part in (ready.base, ready.install, ready.fetch) if part is not None]
        assert not asked, f"no scope has snapshots, but a core asks for {asked}"
        for message in ready.messages + ready.messages_after_sync:
            laws.made(self.before.id, message, self.core._state.term)
        self._send(ready.messages)
        if ready.writes:
            self._check_write(ready)
        if not (ready.writes or self.pending):
            self._send(ready.messages_after_sync)
        elif ready.writes or ready.messages_after_sync:
            self.pending.append(Write(ready.hard_state, ready.entries, ready.messages_after_sync))
        for load in ready.loads:
            self.core.entries_loaded(load.peer, load.first, self._read(load), THEN)
        if ready.apply is not None:
            self._apply(ready.apply.last)
        for read in ready.reads:
            match read:
                case ReadReleased():
                    self.reads.append((read.id, read.index))
                case ReadRefused():
                    self.reads.append((read.id, None))

    def _read(self, load: Load) -> tuple[Entry, ...]:
        """Entries from the disk: from `first` on while they fit, but one at least."""
        taken: list[Entry] = []
        room = load.max_bytes
        for made in self.disk[load.first - 1 : load.last]:
            room -= made.size
            if room >= 0 or not taken:
                taken.append(made)
        return tuple(taken)

    def _check_write(self, ready: Ready) -> None:
        laws.writes(self.before.id, self.core, ready.entries, ready.hard_state, len(self.disk), self.given)

    def _sync_one(self) -> None:
        write = self.pending.pop(0)
        self._perform_write(write)
        self._send(write.after)
        if write.bears:
            last = write.entries[-1].id if write.entries else None
            self.core.storage_done(write.hard, last, THEN)

    def _perform_write(self, write: Write) -> None:
        if write.hard is not None:
            laws.hard_state(self.before.id, self.hard, write.hard)
            self.hard = write.hard
        self.disk = performed(self.disk, write)

    def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            laws.sent(message, self.hard, self.disk)
        self.sent.extend(messages)

    def _apply(self, last: Index) -> None:
        laws.hold(last <= len(self.disk), "I8", f"n{self.before.id} applies {last}, durable {len(self.disk)}")
        self.core.applied(last, None, THEN)  # no digests: what they say would only multiply the states


def started(
    id: NodeId, hard: HardState, disk: Sequence[Entry], membership: MembershipAt, knobs: Settings
) -> Raft:
    """A core that starts from this disk."""
    if not disk and hard.term == 0:
        recovered = fresh(membership.membership)
    else:
        runs: list[TermRun] = []
        for made in disk:
            if not runs or runs[-1].term != made.term:
                runs.append(TermRun(made.index, made.term))
        log_time = disk[-1].log_time if disk else 0
        changes = tuple(
            MembershipAt(made.index, decode_membership(made.payload))
            for made in disk
            if made.kind is EntryKind.MEMBERSHIP
        )
        recovered = Recovered(
            hard, SnapshotMeta(NOTHING, membership), tuple(runs), len(disk), changes, log_time
        )
    core = Raft(node=id, group=GROUP, recovered=recovered, settings=knobs, random=STILL, now=NOW)
    check(core)
    return core


def first(scope: Scope, id: NodeId) -> Node:
    """A node as the scope begins: fresh, or with the past that it gives it."""
    past = scope.pasts[id - 1] if scope.pasts else Past()
    disk = tuple(entry(f"{index}@{term}", GROUP) for index, term in enumerate(past.log, 1))
    hard = HardState(past.term, past.vote, past.commit)
    core = started(id, hard, disk, MembershipAt(0, scope.membership), settings(scope.max_append))
    rest(core)
    turn = Turn(Node(id, 1, core, hard, disk, (), 0), "prompt")
    turn._settle()
    return turn.end()
