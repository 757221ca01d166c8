"""What the core asks of its driver: one `Ready` per batch of inputs, its fields in the order to perform them.

The driver owes exactly this:

1. send `messages` at once;
2. hand `base`, `hard_state` and `entries`, in this order, to storage as one write; writes complete in the order they
   were handed over;
3. when that write and all earlier ones are synced, send `messages_after_sync` and, if there was a write, call
   `Raft.storage_done` with its `hard_state` and the id of its last entry (a Ready that writes nothing counts as synced
   once all earlier writes are);
4. read each of `loads` and answer it with `Raft.entries_loaded`;
5. restore the state machine from the snapshot `install` stands for, before anything else is applied; where the node is
   fenced, every other snapshot of the group must be gone for good before it is let out;
6. apply `apply`, in order and in batches of its own choosing, and report progress with `Raft.applied`;
7. answer `reads` once the state machine has applied up to their index;
8. get the snapshot that `fetch` names and report it with `Raft.snapshot_fetched` or `Raft.fetch_failed`;
9. once `healed` is set, let storage forget that this node was impaired;
10. once `fenced` is set, have storage remember it, or forget it where it is empty, in order with the writes;
11. once `snapshot_wanted` is set, take a snapshot soon, for a peer that has lost its state;
12. show `events` to people.

It may start the next Ready before the write of this one is done.
"""

from enum import Enum
from typing import TypeAlias

import msgspec

from raftlog.core.digests import Difference
from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.entry import Entry
from raftlog.core.ids import EntryId, Index, Micros, NodeId, RequestId, Term
from raftlog.core.membership import Membership
from raftlog.core.message import Message


class IndexRange(msgspec.Struct, frozen=True):
    """Consecutive indexes, both ends included."""

    first: Index
    last: Index


class Load(msgspec.Struct, frozen=True):
    """Read entries `first` to `last` from disk for a follower that needs them; stop at `max_bytes`, but give one."""

    peer: NodeId
    first: Index
    last: Index
    max_bytes: int


class Missing(Enum):
    """Why entries could not be loaded."""

    COMPACTED = "compacted"
    """A snapshot has replaced them."""
    DAMAGED = "damaged"
    """They are unreadable; storage has reported where."""


class Fetch(msgspec.Struct, frozen=True):
    """Get the state at `last`, or a later one, from `peer` or from anybody else who has it.

    At most one is under way: the next is asked for after this one was reported.
    """

    peer: NodeId
    last: EntryId
    only: bool = False
    """From `peer` and nobody else: its state is that of a quorum."""


class ReadReleased(msgspec.Struct, frozen=True):
    """A linearizable read may be answered from the state at `index` or later."""

    id: RequestId
    index: Index


class ReadRefused(msgspec.Struct, frozen=True):
    """A read that this node can no longer vouch for; ask `leader` (None: nobody is known)."""

    id: RequestId
    leader: NodeId | None


Read: TypeAlias = ReadReleased | ReadRefused


class RoleChanged(msgspec.Struct, frozen=True):
    """The node took another role, term or leader."""

    role: str
    term: Term
    leader: NodeId | None
    reason: str


class PeerImpaired(msgspec.Struct, frozen=True):
    """A follower cannot be served from this node's log."""

    peer: NodeId
    reason: str


class MessageRefused(msgspec.Struct, frozen=True):
    """A message that no correct peer of this group sends, or whose entries fail their checksum. Nothing was changed."""

    sender: NodeId
    reason: str


class Healed(msgspec.Struct, frozen=True):
    """An impaired node has again all it may ever have acknowledged: it votes and campaigns."""

    at: Index


class PeerFull(msgspec.Struct, frozen=True):
    """A follower's disk has no space for further commands, or has space again."""

    peer: NodeId
    full: bool


class SnapshotContradicts(msgspec.Struct, frozen=True):
    """A fetched snapshot that cannot be of this group's history: some node has lost or changed what was decided."""

    at: EntryId
    reason: str


class MembershipChanged(msgspec.Struct, frozen=True):
    """Another membership is in force: from entry `at` on, or, where that was overwritten, again.

    Shown once more when it is decided. A joint one is half of a change, whose other half follows by itself.
    """

    at: Index
    membership: Membership
    decided: bool


class LeftGroup(msgspec.Struct, frozen=True):
    """This node was a member, and what is decided up to `at` does not name it any more: it does not campaign.

    It may be stopped once it hears no leader either; a leader that has added it again speaks to it.
    """

    at: Index


class TransferEnded(msgspec.Struct, frozen=True):
    """A hand-over is over: the node is no leader any more, or leads on and takes proposals again."""

    target: NodeId
    reason: str


class StatesDiffer(msgspec.Struct, frozen=True):
    """The state here and another node's were found to differ. Who is right is for a quorum to say."""

    difference: Difference


class Fenced(msgspec.Struct, frozen=True):
    """A quorum contradicts the state here: it is shown to nobody, and replaced."""

    reason: str


class Unfenced(msgspec.Struct, frozen=True):
    """The state here is again that of a quorum."""

    at: Index


Event: TypeAlias = (
    RoleChanged
    | PeerImpaired
    | PeerFull
    | MessageRefused
    | Healed
    | SnapshotContradicts
    | MembershipChanged
    | LeftGroup
    | TransferEnded
    | StatesDiffer
    | Fenced
    | Unfenced
)


class Ready(msgspec.Struct, frozen=True):
    """A batch of effects. See the module for what the driver owes."""

    messages: tuple[Message, ...] = ()
    base: SnapshotMeta | None = None
    """From now on the log begins right after this. When it is no entry of the log, the whole log goes."""
    hard_state: HardState | None = None
    entries: tuple[Entry, ...] = ()
    """To be written from `entries[0].index` on, replacing whatever stood there and after it."""
    messages_after_sync: tuple[Message, ...] = ()
    loads: tuple[Load, ...] = ()
    install: SnapshotMeta | None = None
    """The state machine is to be that of this fetched snapshot; `apply` goes on right after it."""
    apply: IndexRange | None = None
    """Committed and durable here; given once. Bodies come from `Raft.recent` or, if that is None, from storage."""
    reads: tuple[Read, ...] = ()
    fetch: Fetch | None = None
    healed: bool = False
    fenced: str | None = None
    """The mark that keeps a wrong state from being shown after a restart; empty: take it away."""
    snapshot_wanted: bool = False
    events: tuple[Event, ...] = ()

    @property
    def marks(self) -> bool:
        """Whether something about the node itself has to reach the disk; no input reports that it has."""
        return self.healed or self.fenced is not None

    @property
    def writes(self) -> bool:
        """Whether anything has to reach the disk."""
        return self.hard_state is not None or bool(self.entries) or self.base is not None


class Proposed(msgspec.Struct, frozen=True):
    """The entry is in the leader's log. It is decided only when it is applied with this term."""

    id: EntryId


class NotLeader(msgspec.Struct, frozen=True):
    """Nothing was appended: this node does not lead."""

    leader: NodeId | None


class Busy(msgspec.Struct, frozen=True):
    """Nothing was appended: too much is undecided or unapplied already, or the leader is handing over. Try again after
    `retry_after`."""

    retry_after: Micros


class NoSpace(msgspec.Struct, frozen=True):
    """Nothing was appended: the disks of these nodes are full, and without them no majority can store a command."""

    nodes: tuple[NodeId, ...]
    retry_after: Micros


Proposal: TypeAlias = Proposed | NotLeader | Busy | NoSpace


class Refusal(Enum):
    """Why a change of the membership was not begun."""

    TOO_EARLY = "too early"
    """The leader has not decided an entry of its own term yet, or is handing over: try again."""
    UNDER_WAY = "under way"
    """Another change is not through yet: try again."""
    OVERTAKEN = "overtaken"
    """The membership is not the one the change was made for: look again."""
    IMPOSSIBLE = "impossible"
    """It does not fit the membership."""
    LAGGING = "lagging"
    """Who is to be promoted has not caught up: try again, ask for its promotion when it is ready, or force it."""
    UNSAFE = "unsafe"
    """Those in contact could not decide anything under it: mend nodes first, or force it."""


class ChangeRefused(msgspec.Struct, frozen=True):
    """Nothing was appended."""

    reason: Refusal
    says: str


ChangeProposal: TypeAlias = Proposed | NotLeader | ChangeRefused


class TransferBegun(msgspec.Struct, frozen=True):
    """The leader takes no proposals until `target` leads or `TransferEnded` says that it leads on."""

    target: NodeId


class TransferRefused(msgspec.Struct, frozen=True):
    """The leader goes on as before."""

    says: str


TransferAnswer: TypeAlias = TransferBegun | TransferRefused | NotLeader
