"""A follower as the leader sees it: what it has, what to send next, and how much is under way."""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from raftlog.core.ids import Index, Micros


class Mode(Enum):
    """How entries are sent to a follower."""

    PROBE = "probe"
    """Where its log agrees is unknown: one message at a time."""
    REPLICATE = "replicate"
    """It follows: messages are pipelined up to a bound in bytes."""
    SNAPSHOT = "snapshot"
    """What it needs next is compacted here: only a snapshot can help."""


@dataclass(slots=True)
class Progress:
    """The leader's account of one follower.

    Invariants: `match_index < next_index`; `match_index` never falls within a leadership and is durable at the
    follower; `inflight_bytes` is the sum over `inflight`, and only `REPLICATE` has any.
    """

    next_index: Index
    heard_at: Micros
    """When it last answered anything: what check-quorum counts."""
    match_index: Index = 0
    mode: Mode = Mode.PROBE
    probing: bool = False
    """A probe is under way; the next one waits for an answer or for a heartbeat's."""
    loading: bool = False
    """Entries for it are being read from disk."""
    offered: Index | None = None
    """The first snapshot offered since it needed one: what follows it is kept for this follower."""
    offered_round: int = 0
    """The newest heartbeat when a snapshot was offered last: only answers to later ones tell that it was lost."""
    applied: Index = 0
    digest: int = 0
    """What its last heartbeat answer said it had applied, and the digest of its state there."""
    impaired: bool = False
    """What it needs is unreadable here; nothing is sent until the log is repaired."""
    full: bool = False
    """Its disk has no space for further commands: it is sent only what a term needs to open."""
    acked_round: int = 0
    moved_at: Micros = 0
    """When something under way was last acknowledged, or first sent."""
    inflight: deque[tuple[Index, int]] = field(default_factory=deque)
    """Last index and bytes of each message sent and not yet acknowledged, oldest first."""
    inflight_bytes: int = 0

    def may_send(self, max_inflight: int) -> bool:
        """Whether another message with entries may leave now."""
        if self.loading or self.impaired or self.mode is Mode.SNAPSHOT:
            return False
        return not self.probing if self.mode is Mode.PROBE else self.inflight_bytes < max_inflight

    def sent(self, last: Index, size: int, now: Micros) -> None:
        """Entries up to `last` have left, optimistically assumed to arrive while replicating."""
        if not self.inflight:
            self.moved_at = now
        if self.mode is Mode.PROBE:
            self.probing = True
            return
        assert last >= self.next_index, f"sent up to {last}, but {self.next_index} was next"
        self.next_index = last + 1
        self.inflight.append((last, size))
        self.inflight_bytes += size

    def accepted(self, match: Index, now: Micros) -> bool:
        """The follower durably agrees up to `match`; True when that is news."""
        while self.inflight and self.inflight[0][0] <= match:
            self.inflight_bytes -= self.inflight.popleft()[1]
        news = match > self.match_index
        if news:
            self.moved_at = now
        self.match_index = max(self.match_index, match)
        self.next_index = max(self.next_index, match + 1)
        if self.mode is Mode.PROBE:
            self.mode, self.probing = Mode.REPLICATE, False
        return news

    def caught_up(self) -> None:
        """What comes after `match_index` is in the log again, or still: no snapshot is needed any more."""
        assert self.mode is Mode.SNAPSHOT, f"it is in {self.mode}"
        self.mode, self.probing, self.offered = Mode.REPLICATE, False, None

    def rejected(self, prev: Index, agrees: Index) -> bool:
        """The follower has no match at `prev` and at best one at `agrees`; False when the refusal is out of date."""
        if prev <= self.match_index or self.mode is Mode.SNAPSHOT:
            return False
        if self.mode is Mode.PROBE and prev != self.next_index - 1:
            return False
        self.probe_from(max(min(prev, agrees + 1), self.match_index + 1))
        return True

    def stalled(self, now: Micros, patience: Micros) -> bool:
        """Whether nothing under way has been acknowledged for `patience`; says so at most once in that time."""
        if not (self.probing or self.inflight) or now - self.moved_at < patience:
            return False
        self.moved_at = now
        return True

    def probe_from(self, next_index: Index) -> None:
        """Stop pipelining and find out where the logs agree, starting at `next_index`."""
        assert next_index > self.match_index, f"next {next_index} must lie beyond match {self.match_index}"
        self.mode, self.probing, self.next_index = Mode.PROBE, False, next_index
        self.inflight.clear()
        self.inflight_bytes = 0

    def has_space(self, again: bool) -> bool:
        """What its last heartbeat answer says of its disk; True when that is news.

        What it has dropped meanwhile shows as what a network has lost does: it is asked, and refuses.
        """
        news = self.full is again
        self.full = not again
        return news

    def needs_snapshot(self) -> None:
        """What comes next is compacted."""
        self.probe_from(self.next_index)
        self.mode = Mode.SNAPSHOT

    @property
    def answered(self) -> bool:
        """Whether it has answered this leadership at all."""
        return self.match_index > 0 or self.acked_round > 0

    @property
    def needed_from(self) -> Index:
        """The first index it may still ask for."""
        return (self.match_index if self.offered is None else max(self.offered, self.match_index)) + 1
