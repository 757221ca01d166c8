"""A node that is looked at: a real one, whose every decision, write and message is checked as it happens."""

from collections.abc import Callable
from typing import Any, Protocol

from jepsen_like.sim.image import Write
from jepsen_like.sim.invariants import Checker
from jepsen_like.sim.node.chronicle import Chronicle
from jepsen_like.sim.node.ledger import Ledger
from raftlog.core.ids import META_GROUP, GroupId, NodeId
from raftlog.core.message import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    NotAMember,
    PreVoteRequest,
    PreVoteResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from raftlog.core.raft import Raft
from raftlog.core.ready import Ready
from raftlog.node import Node
from raftlog.node.writer import Writer, Written
from raftlog.transport.frames import Forward, ForwardReply

_KINDS: dict[type[Message | Forward | ForwardReply], str] = {
    PreVoteRequest: "pre-vote",
    PreVoteResponse: "pre-vote-answer",
    VoteRequest: "vote",
    VoteResponse: "vote-answer",
    AppendRequest: "append",
    AppendAccepted: "accepted",
    AppendRejected: "rejected",
    Heartbeat: "heartbeat",
    HeartbeatAck: "heartbeat-ack",
    ReadIndexRequest: "read-request",
    ReadIndexResponse: "read-answer",
    SnapshotOffer: "offer",
    TimeoutNow: "timeout-now",
    NotAMember: "not-a-member",
    Forward: "forward",
    ForwardReply: "forward-answer",
}


class Observer(Protocol):
    """Who looks."""

    checker: Checker
    chronicle: Chronicle

    def broke(self, problem: BaseException) -> None:
        """Something does not hold."""
        ...


class ObservedNode(Node):
    """Looks and never touches: what a violation raises goes to the observer, not into the node.

    Many inputs make one turn of a node, so what holds of a single input (E22) is for the core tier to see.
    """

    def __init__(
        self, observer: Observer, ledger: Ledger, healed: Callable[[], None], **options: Any
    ) -> None:
        """`healed` is called when the disk says that the node is impaired no more."""
        super().__init__(**options)
        self._healed = healed
        self._observer = observer
        self._checker = observer.checker
        self._ledger = ledger
        self._buried = False
        self.writer = _ObservedWriter(
            self._handed_over,
            self._synced,
            self._went_ahead,
            wal=self.wal,
            max_bytes=self.limits.write,
            on_done=self.kick,
            on_event=options["on_event"],
            failpoints=self.failpoints,
        )
        self._checker.started(self._id, self.core, ledger)

    @property
    def core(self) -> Raft:
        """The core of the one group there is."""
        return self._replicas[META_GROUP].raft

    def bury(self) -> None:
        """The process is dead: what still unwinds of it decides nothing."""
        self._buried = True

    def campaign(self) -> None:
        """Ask for votes now."""
        self.core.campaign(self.clock.monotonic())
        self.kick()

    def send(self, frame: Message | Forward | ForwardReply, to: NodeId) -> bool:
        """See `Node.send`."""
        if not self._buried:
            self._observer.chronicle.sending(_KINDS[type(frame)], frame)
            if not isinstance(frame, Forward | ForwardReply):
                self._look(self._leaves, frame)
        return super().send(frame, to)

    def _pump(self) -> None:
        super()._pump()
        if not self._buried:
            self._look(self._observe)

    def _observe(self) -> None:
        self._checker.observe(self._id)
        core = self.core
        if not core.has_ready:
            self._checker.settled(self._id)
        state = core._state
        if state.digest or not state.applied:  # it is unknown while a state is being restored
            self._checker.applied(self._id, state.applied, state.digest)

    def _leaves(self, message: Message) -> None:
        if isinstance(message, AppendRequest) and message.entries:
            self._shows(message)
        self._checker.sent(message)

    def _shows(self, message: AppendRequest) -> None:
        """Entries exist once they leave, which is before their maker hands them to its own disk."""
        entries = message.entries
        at = len(entries)
        while at > 0 and entries[at - 1].term == message.term:
            at -= 1
        self._checker.observe(self._id)
        self._checker.known(entries[at:], entries[at - 1].term if at else message.prev.term)

    def _handed_over(self, ready: Ready) -> Write:
        write = Write(ready.hard_state, ready.entries, base=ready.base)
        if not self._buried:
            self._look(self._checks_write, write)
            if ready.install is not None:
                self._observer.chronicle.count("event/snapshot-installed")
            elif ready.base is not None:
                self._observer.chronicle.count("event/log-compacted")
        return write

    def _checks_write(self, write: Write) -> None:
        self._checker.observe(self._id)
        self._checker.wrote(self._id, write)
        self._ledger.hand_over(write)

    def _synced(self, write: Write, healed: bool, then: Callable[[], None]) -> None:
        if not self._buried:
            self._look(self._checks_sync, write)
            if healed:
                self._look(self._healed)
        then()

    def _checks_sync(self, write: Write) -> None:
        self._ledger.synced(write)
        self._checker.synced(self._id)

    def _went_ahead(self, write: Write) -> None:
        if not self._buried:
            self._look(self._checks_ahead, write)

    def _checks_ahead(self, write: Write) -> None:
        self._ledger.went_ahead(write)
        self._checker.synced(self._id)

    def _look(self, check: Callable[..., None], *subject: object) -> None:
        try:
            check(*subject)
        except AssertionError as problem:
            self._observer.broke(problem)


class _ObservedWriter(Writer):
    """Tells of every write when it is queued, and again when it is called durable."""

    def __init__(
        self,
        handed_over: Callable[[Ready], Write],
        synced: Callable[[Write, bool, Callable[[], None]], None],
        went_ahead: Callable[[Write], None],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._handed_over = handed_over
        self._synced = synced
        self._went_ahead = went_ahead

    def submit(self, replica: Written, ready: Ready) -> None:
        """See `Writer.submit`."""
        write = self._handed_over(ready)
        super().submit(_Watched(replica, write, self._synced, self._went_ahead), ready)


class _Watched:
    """Stands between the writer and the replica."""

    def __init__(
        self,
        replica: Written,
        write: Write,
        synced: Callable[[Write, bool, Callable[[], None]], None],
        went_ahead: Callable[[Write], None],
    ) -> None:
        self.group: GroupId = replica.group
        self._replica = replica
        self._write = write
        self._synced = synced
        self._went_ahead = went_ahead

    def went_ahead(self, ready: Ready) -> None:
        """See `Written.went_ahead`."""
        self._went_ahead(self._write)
        self._replica.went_ahead(ready)

    def written(self, ready: Ready) -> None:
        """See `Written.written`."""
        self._synced(self._write, ready.healed, lambda: self._replica.written(ready))
