"""Applies what is committed, in slices of a few milliseconds, and starts over where this node's resources gave out."""

from collections.abc import Callable, Sequence

from raftlog.clock import Clock
from raftlog.core.entry import Command, Entry
from raftlog.core.ids import GroupId, Index, Micros
from raftlog.failpoints import INERT, FailpointError, Failpoints
from raftlog.machine.applier import Applier, Faulted, Rebuilt, SlowCommand
from raftlog.machine.contract import ApplyStopped, StateMachine
from raftlog.machine.result import Result
from raftlog.transport.events import OnEvent

SLICE: Micros = 4_000
"""How long applying may hold the loop at a stretch."""
RETRY: Micros = 5_000_000
"""How long a state that could not go on is left alone before it is built anew from the log."""


class Applying:
    """One group's applier with what has been handed to it.

    Invariants: `wanted` never decreases; entries are begun in order, each once per state built; a state that is half
    changed, or older than one that was shown before, is shown to nobody (`presentable`).
    """

    def __init__(
        self,
        make: Callable[[], StateMachine],
        group: GroupId,
        clock: Clock,
        on_event: OnEvent,
        failpoints: Failpoints = INERT,
    ) -> None:
        self._clock = clock
        self._failpoints = failpoints
        self._on_event = on_event
        self.wanted: Index = 0
        """Everything up to here may be applied."""
        self._ahead: list[Entry] = []
        """Entries at hand, in reverse order."""
        self._begun: Entry | None = None
        self._retry_at: Micros | None = None
        self._stop: ApplyStopped | None = None
        """Why it is left alone."""
        self.lost: Index | None = None
        """What comes next and cannot be read: nothing more is applied until it can be."""
        self._furthest: Index = 0
        """How far any state of this process has come."""
        self._awaited: Index | None = None
        """The snapshot whose state is being restored: nothing is applied before it is here."""
        self.refused = ""
        """Why the snapshot that is here cannot be restored by this node."""
        self.held_up = ""
        """Why the state that is waited for does not come."""
        self.applier = Applier(
            make, group=group, clock=clock.monotonic, on_slow=self._slow, on_fault=self._faulted
        )

    @property
    def next(self) -> Index:
        """The first entry it has neither applied nor at hand."""
        held = self._begun.index if self._begun is not None else self.applier.applied.index
        return (self._ahead[0].index if self._ahead else held) + 1

    @property
    def hungry(self) -> bool:
        """Whether it wants entries that it does not have."""
        idle = not self.stopped and self._awaited is None and not self._ahead and self._begun is None
        return idle and self.next <= self.wanted

    @property
    def busy(self) -> bool:
        """Whether it could go on right now."""
        return not self.stopped and (bool(self._ahead) or self._begun is not None)

    @property
    def stopped(self) -> bool:
        """Whether this node cannot apply at the moment."""
        return self.lost is not None or self._retry_at is not None or bool(self.refused)

    @property
    def trouble(self) -> str | None:
        """Why nothing is applied at the moment, in one sentence; None while all is well."""
        if self.lost is not None:
            return f"applying has stopped: entry {self.lost} cannot be read"
        if self.refused:
            return f"the state cannot be restored: {self.refused}"
        if self._stop is not None:
            return str(self._stop)
        return self.held_up or None

    @property
    def presentable(self) -> bool:
        """Whether queries may be asked of the state: it goes on from everything it has shown before."""
        here = not self.stopped and self._awaited is None
        return here and self.applier.applied.index >= self._furthest

    @property
    def whole(self) -> bool:
        """Whether the state stands between two entries and may be captured."""
        return self.presentable and self._begun is None

    def await_state(self, index: Index) -> None:
        """The state after `index` comes from a snapshot: drop what is at hand and wait for it."""
        self._ahead.clear()
        self._begun = None
        self._awaited = index
        self.refused = self.held_up = ""
        if self.lost is not None and self.lost <= index:
            self.lost = None
        self._furthest = max(self._furthest, index)
        self.wanted = max(self.wanted, index)

    def restored(self, index: Index, rebuilt: Rebuilt) -> bool:
        """That state is here; False when another one is waited for by now."""
        if index != self._awaited:
            return False
        self._awaited = None
        self.held_up = ""
        self.applier.install(rebuilt)
        return True

    def begin_anew(self) -> None:
        """The log begins with the first entry: apply it to the machine's first state."""
        self._ahead.clear()
        self._begun = self._awaited = None
        if self.applier.applied.index:
            self.applier.reset()

    def not_restored(self, reason: str) -> None:
        """It cannot be had: nothing more is applied until another one is there."""
        self.refused = reason

    def give_up(self, index: Index) -> None:
        """The entry at `index` comes next and cannot be read."""
        self.lost = index

    def found(self, index: Index) -> None:
        """The entry at `index` can be read again."""
        if self.lost == index:
            self.lost = None

    def feed(self, entries: Sequence[Entry]) -> None:
        """Hand over the entries from `next` on."""
        assert entries[0].index == self.next, f"fed {entries[0].id} where {self.next} is next"
        self._ahead[:0] = reversed(entries)

    def step(
        self, deadline: Micros, commands_of: Callable[[Entry], Sequence[Command] | None]
    ) -> tuple[Entry, Sequence[Result]] | None:
        """Apply the next entry, or go on with it; its results once it is done, None while it is not.

        After `ApplyStopped` it is `stopped`, and `retry` builds the state anew from the log.
        """
        try:
            if self._begun is None:
                self._check_failpoint(self._ahead[-1])
                self._begun = self._ahead.pop()
                self.applier.begin(self._begun, commands_of(self._begun))
            results = self.applier.advance(deadline)
        except ApplyStopped as stop:
            self._ahead.clear()
            self._begun = None
            self._stop = stop
            self._retry_at = self._clock.monotonic() + RETRY
            self._on_event(str(stop), {"retry_in_seconds": RETRY // 1_000_000})
            return None
        if results is None:
            return None
        done, self._begun = self._begun, None
        self._furthest = max(self._furthest, done.index)
        return done, results

    def _check_failpoint(self, entry: Entry) -> None:
        if self._failpoints.armed and self._failpoints.fails("applying.before_entry"):
            cause = FailpointError("injected at the failpoint applying.before_entry")
            raise ApplyStopped(entry.index, 0, "none", cause)

    def retry(self, now: Micros) -> bool:
        """Build the state anew if it is time; True when applying begins again from the first state."""
        if self._retry_at is None or now < self._retry_at:
            return False
        if self._failpoints.armed:
            self._failpoints.hit_now("applying.before_rebuild")
        self._retry_at = self._stop = None
        self.applier.reset()
        return True

    def _slow(self, slow: SlowCommand) -> None:
        who = (
            f"command {slow.method}"
            if slow.count == 1
            else f"one or more of {slow.count} commands {slow.method}"
        )
        self._on_event(
            f"{who} took {slow.took / 1000:.1f} ms and held up everyone behind it",
            {"index": slow.index, "ordinal": slow.ordinal},
        )

    def _faulted(self, fault: Faulted) -> None:
        self._on_event(
            f"{fault.method} raised {type(fault.cause).__name__}: {fault.cause}; every replica answers machine_fault",
            {"index": fault.index, "ordinal": fault.ordinal},
        )
