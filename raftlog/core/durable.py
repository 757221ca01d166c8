"""What survives a crash besides the entries: the hard state, and what a snapshot stands for."""

import msgspec

from raftlog.core.ids import NOTHING, EntryId, Index, Micros, NodeId, Term
from raftlog.core.membership import Membership, MembershipAt


class HardState(msgspec.Struct, frozen=True, array_like=True):
    """What must survive a crash besides the log: term and vote before any promise, the commit index as a hint.

    Invariants: `term` never decreases; within a term `vote` is set at most once; `commit` is at most the last index
    that was durable when this was written, so a shorter log found at recovery is damage.
    """

    term: Term = 0
    vote: NodeId | None = None
    commit: Index = 0

    def newest(self, other: "HardState") -> "HardState":
        """The later of two that one node has written."""
        mine, theirs = ((each.term, each.vote is not None, each.commit) for each in (self, other))
        return self if mine >= theirs else other


class SnapshotMeta(msgspec.Struct, frozen=True):
    """What stands for a prefix of the log: its last entry, the membership in force there, the last log time.

    A snapshot of the state has one, and so has the place where a log begins, which may lie further back: entries are
    kept behind the snapshot for followers that were away.

    A fresh cluster's bootstrap record is the snapshot of the empty prefix: `last` is 0@0.
    """

    last: EntryId
    membership: MembershipAt
    log_time: Micros = 0


class TermRun(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of consecutive entries of one term, from `first` up to the next run."""

    first: Index
    term: Term


class Recovered(msgspec.Struct, frozen=True):
    """What storage found of one group at start: everything the core needs, and no entry bodies.

    Invariants: `base` covers the log up to and including `base.last`; `runs` describe the entries from
    `base.last.index + 1` to `last` (empty when there are none); `hard_state.commit <= last`.
    """

    hard_state: HardState
    base: SnapshotMeta
    """Where the log begins: right after it. The bootstrap record, or what was purged last."""
    runs: tuple[TermRun, ...]
    last: Index
    memberships: tuple[MembershipAt, ...]
    """Membership entries after the base, oldest first."""
    last_log_time: Micros
    """The log time of the last entry, or of the base."""
    snapshot: EntryId | None = None
    """The newest durable snapshot of the state, at or after the base; None: it is the base."""
    impaired: bool = False
    """Something this node may have acknowledged had to be given up as damaged (D10); its log ends before that."""
    fenced: str = ""
    """Why the state this node had may not be shown to anybody; empty: it may."""


def fresh(membership: Membership) -> Recovered:
    """What a node finds right after it was initialised with `membership`."""
    base = SnapshotMeta(NOTHING, MembershipAt(0, membership))
    return Recovered(HardState(), base, (), 0, (), 0)
