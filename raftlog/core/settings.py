"""The handful of numbers a group runs with; none of them can switch off a guarantee."""

import msgspec

from raftlog.core.ids import Micros

MAX_VOTE_SPAN: Micros = 2_000_000
"""No heartbeat may ask for votes to be refused longer than this, and a restarted voter refuses votes for all of it:
it cannot remember which promise it gave, so it keeps the longest (D14)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in microseconds, sizes in bytes.

    Invariants: `heartbeat * 3 <= election_timeout`; sizes nest: `max_append <= max_inflight <= max_undecided`.
    """

    election_timeout: Micros = 1_000_000
    """A follower campaigns after one to two of these without a leader; a leader without a quorum for one resigns."""
    heartbeat: Micros = 100_000
    max_append: int = 256 * 1024
    """Bytes of entries in one append message, unless a single entry is larger."""
    max_inflight: int = 1024 * 1024
    """Bytes of entries sent to one follower and not yet acknowledged."""
    max_undecided: int = 32 * 1024 * 1024
    """Bytes of entries a leader has accepted and not yet applied; beyond it proposals are refused as busy."""
    max_recent: int = 16 * 1024 * 1024
    """Bytes of durable entries kept in memory for followers and for apply; older ones are read from disk."""

    def __post_init__(self) -> None:
        if self.heartbeat <= 0 or self.heartbeat * 3 > self.election_timeout:
            raise ValueError(
                f"heartbeat {self.heartbeat} us must be positive and at most a third of the election timeout"
                f" {self.election_timeout} us, or one lost heartbeat costs a leader its office"
            )
        if not 0 < self.max_append <= self.max_inflight <= self.max_undecided:
            raise ValueError("sizes must nest: 0 < max_append <= max_inflight <= max_undecided")

    @property
    def vote_span(self) -> Micros:
        """What this leader's heartbeats ask for: votes are refused at most as long as its followers stay patient."""
        return min(self.election_timeout, MAX_VOTE_SPAN)
