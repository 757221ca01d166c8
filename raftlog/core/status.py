"""A read-only picture of one node's part of a group, for operators and for outside checkers."""

import msgspec

from raftlog.core.digests import Difference
from raftlog.core.durable import TermRun
from raftlog.core.ids import GroupId, Index, NodeId, Term
from raftlog.core.membership import Membership


class PeerStatus(msgspec.Struct, frozen=True):
    """A follower as its leader sees it."""

    id: NodeId
    mode: str
    match_index: Index
    next_index: Index
    applied: Index = 0
    """What its last heartbeat answer said it had applied, and the digest of its state there."""
    digest: int = 0
    full: bool = False
    """Its disk has no space for further commands."""
    ready: bool = False
    """A learner that has caught up: it could be promoted."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Invariants: `first - 1 <= snapshot <= applied <= committed, durable <= last`."""

    node: NodeId
    group: GroupId
    role: str
    term: Term
    vote: NodeId | None
    leader: NodeId | None
    first: Index
    last: Index
    committed: Index
    applied: Index
    durable: Index
    snapshot: Index
    """Of the newest durable snapshot; the log may begin earlier, at `first`."""
    impaired: bool
    """It gave up damaged entries that it may have acknowledged: no vote until it has them again."""
    full: bool
    """Its disk has no space for further commands."""
    slow: bool
    """Its disk took an election timeout over a write, or is at one that long, and was not prompt since."""
    fenced: str
    """Why its state is shown to nobody, though its log is sound; empty: it is not fenced."""
    differs: tuple[Difference, ...]
    """Whose state is known not to be the same: of a leader all such followers, of a follower its leader."""
    digest: int
    runs: tuple[TermRun, ...]
    """Where each term begins in the retained log; the first run is the base's."""
    membership: Membership
    membership_index: Index
    """Which entry set it; 0 for the bootstrap record."""
    decided_index: Index = 0
    """Which entry set the newest decided membership: the one in force, or the one before it."""
    is_member: bool = True
    """Whether this node is, or may be, a member of the group."""
    transferring: NodeId | None = None
    """To whom it is handing leadership over."""
    peers: tuple[PeerStatus, ...]
    """Empty unless leading."""
