"""A read-only picture of one node's part of a group, for operators and for outside checkers."""

import msgspec

from raftlog.core.durable import TermRun
from raftlog.core.ids import GroupId, Index, NodeId, Term
from raftlog.core.membership import Membership


class PeerStatus(msgspec.Struct, frozen=True):
    """A follower as its leader sees it."""

    id: NodeId
    mode: str
    match_index: Index
    next_index: Index


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Invariants: `snapshot <= applied <= min(committed, durable)`, `durable <= last` and `committed <= last`."""

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
    digest: int
    runs: tuple[TermRun, ...]
    """Where each term begins in the retained log; the first run is the base's."""
    membership: Membership
    membership_index: Index
    peers: tuple[PeerStatus, ...]
    """Empty unless leading."""
