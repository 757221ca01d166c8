"""What came of a run of the main job: its figures, and the checks that decide about the exit code."""

import msgspec

from raftlog.core.ids import Micros, Term

FEWEST_KEYS = 5_000
KILL_WINDOW = (0.30, 0.70)
"""The leader must die after this share of the keys was acknowledged, and before that one."""


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the leader's process."""

    node: str
    pid: int
    acknowledged: int
    """Writes acknowledged when SIGKILL was sent."""
    term: Term
    """The term it led."""


class FailOver(msgspec.Struct, frozen=True, kw_only=True):
    """What followed."""

    leader: str
    term: Term
    silence: Micros
    """From the last acknowledgement before it to the first after it."""
    rejoined: Micros | None = None
    """From the restart of the killed process until it had applied what the leader had committed."""


class ReadBack(msgspec.Struct, frozen=True, kw_only=True):
    """Every acknowledged key, read linearizably through one node and compared."""

    node: str
    compared: int
    missing: int
    different: int
    seconds: float


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A write of unknown outcome, and what a read says that became of it."""

    key: str
    reason: str
    happened: bool | None
    """None: not resolved."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds from calling to the acknowledgement."""

    p50: Micros
    p99: Micros
    max: Micros


class Check(msgspec.Struct, frozen=True):
    """One condition of success."""

    what: str
    holds: bool
    detail: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `--json` prints. Times in microseconds where the type says `Micros`."""

    keys: int
    sources: dict[str, int]
    corpus_bytes: int
    callers: int
    acknowledged: int
    doubts: tuple[Doubt, ...]
    lost: int
    """Acknowledged keys that some node does not have, or has with another value."""
    seconds: float
    """Of writing, the fail-over included."""
    throughput: float
    """Acknowledged writes per second over all of `seconds`."""
    throughput_without_failover: float
    """The same without the silence of the fail-over."""
    latency: Latency
    kill: Kill | None
    failover: FailOver | None
    readbacks: tuple[ReadBack, ...]
    digests_agree: bool | None
    """Whether all replicas report the same digest of their state at the same index; None: not compared."""

    @property
    def unresolved(self) -> int:
        """Writes of which nobody knows whether they happened."""
        return sum(doubt.happened is None for doubt in self.doubts)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The conditions of success, each with its figures."""
        return (
            self._killed_in_time(),
            self._higher_term(),
            Check(
                f"at least {FEWEST_KEYS:,} keys written",
                self.acknowledged >= FEWEST_KEYS,
                f"{self.acknowledged:,} of {self.keys:,} acknowledged",
            ),
            Check(
                "every unknown outcome resolved",
                self.unresolved == 0,
                f"{self.unresolved} of {len(self.doubts)} left",
            ),
            self._nothing_lost(),
            self._rejoined(),
            Check(
                "all replicas are in the same state",
                self.digests_agree is True,
                "equal digests" if self.digests_agree else "digests differ or were not compared",
            ),
        )

    @property
    def ok(self) -> bool:
        """Whether the run was a success."""
        return all(check.holds for check in self.checks)

    def _killed_in_time(self) -> Check:
        low, high = KILL_WINDOW
        share = self.kill.acknowledged / self.keys if self.kill is not None and self.keys else 0.0
        detail = (
            f"{self.kill.node} (pid {self.kill.pid}) at {share:.0%}"
            if self.kill is not None
            else "it was not killed"
        )
        return Check(
            f"leader killed between {low:.0%} and {high:.0%} of the keys", low <= share <= high, detail
        )

    def _higher_term(self) -> Check:
        what = "a higher term followed"
        if self.kill is None or self.failover is None:
            return Check(what, False, "no fail-over was seen")
        before, after = self.kill.term, self.failover.term
        return Check(what, after > before, f"term {before} to {after}, {self.failover.leader} leads")

    def _nothing_lost(self) -> Check:
        compared = ", ".join(f"{back.compared:,} through {back.node}" for back in self.readbacks)
        everywhere = len(self.readbacks) == 3 and all(
            back.compared >= self.acknowledged for back in self.readbacks
        )
        detail = f"{self.lost} lost; compared {compared or 'nowhere'}"
        return Check("nothing acknowledged is missing on any node", everywhere and self.lost == 0, detail)

    def _rejoined(self) -> Check:
        rejoined = self.failover.rejoined if self.failover is not None else None
        what = "the killed node rejoined"
        return Check(
            what, rejoined is not None, "not seen" if rejoined is None else f"after {rejoined / 1e6:.1f} s"
        )


def as_json(summary: Summary) -> str:
    """The summary as one line of JSON, with the checks and the verdict."""
    figures = msgspec.to_builtins(summary)
    figures["checks"] = msgspec.to_builtins(summary.checks)
    figures["ok"] = summary.ok
    return msgspec.json.encode(figures).decode()
