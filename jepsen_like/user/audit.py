"""Runs the log of a finished run through the machine again and looks at every command from all sides."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jepsen_like.sim.verdict import Violation
from jepsen_like.user.place import told
from jepsen_like.user.steps import Look, Step, Stepping, noted, raised, stepping, written
from jepsen_like.user.watched import INSTEAD
from jepsen_like.user.words import LOOK, command_text, difference, result_text
from raftlog.core.entry import Entry, EntryKind, decode_commands
from raftlog.machine.applier import Applier
from raftlog.machine.contract import ApplyStopped, Context, StateMachine
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import Machine
from raftlog.testing.sealed import Unsealed, sealed

Invariant = Callable[[Sequence[Any]], object]
"""The user's own: given machines between two commands, it raises (or answers False) if something does not hold."""


class Audit:
    """One log, run in this process as a replica would, sealed off from real clocks and entropy.

    - A declared error leaves the state as it was.
    - No command raises what it does not declare, or reaches for the real world.
    - After every command the user's invariant holds.
    - A replica restored from a snapshot before any entry goes on like the one that lived through it, and what
      `capture` gave stays as it was.
    - The answers are those that the nodes of the run gave (`live`: their running digests by index).
    """

    def __init__(
        self,
        make: Callable[[], StateMachine],
        *,
        invariant: Invariant | None = None,
        faults: bool = False,
        live: Mapping[int, int] | None = None,
    ) -> None:
        self._make = make
        self._invariant = invariant
        self._faults = faults
        self._live = live or {}
        self._look = Look()
        self._before: int | None = None
        self._log: Sequence[Entry] = ()
        self._view: tuple[object, bytes] | None = None
        """What a snapshot before the present entry would write, later, and what it has to be."""
        self.steps: list[Step] = []
        """What every command did, to be compared with another process."""
        self.found: Violation | None = None
        """The first thing that does not hold."""

    def run(self, log: Sequence[Entry]) -> Violation | None:
        """Run a whole log, from its first entry; the first thing that does not hold, or None."""
        self._log = log
        with sealed():
            lived = Applier(stepping(self._make, self._around))
            self._before = self._look.state(lived.machine)
            restored = self._restored(lived)
            for entry in log:
                if self._look.every == 1 or entry.index % self._look.every == 0:
                    restored = self._restored(lived)
                try:
                    self._entry(lived, restored, entry)
                except ApplyStopped as stop:
                    self._blame("fault", f"{stop}: a node that meets it cannot go on")
                if self.found is not None:
                    break
        return self.found

    def _entry(self, lived: Applier, restored: Applier, entry: Entry) -> None:
        answers = lived.apply(entry)
        self._check_view(lived, entry)
        if self.found is not None:
            return
        again = restored.apply(entry)
        if answers != again or (self._look.every == 1 and not _alike(lived, restored)):
            self._restored_differs(lived, restored, entry, answers, again)
        elif self._live.get(entry.index, lived.digest) != lived.digest:
            what = self._command(lived, entry, len(answers) - 1)
            self._blame(
                "determinism",
                f"the nodes of the run answered otherwise than the same log does now, up to {what}: {LOOK}",
            )

    def _check_view(self, lived: Applier, entry: Entry) -> None:
        """A view is written beside later commands, and holds what was there when it was captured."""
        machine, taken = _inner(lived), self._view
        if taken is not None and self.found is None and b"".join(machine.write(taken[0])) != taken[1]:
            name, after = type(machine).__name__, entry.index
            self._blame(
                "restore",
                f"what {name}.capture() gave before entry {after} is changed by entry {after}: return a copy",
            )
        own = not isinstance(machine, Machine) or type(machine).capture is not Machine.capture
        if own and self._look.every == 1:
            view = machine.capture()
            self._view = view, b"".join(machine.write(view))
        else:
            self._view = None

    def _restored_differs(
        self, lived: Applier, restored: Applier, entry: Entry, answers: list[Result], again: list[Result]
    ) -> None:
        """It is the snapshot's fault only if a replica that lives through the same log once more does not differ."""
        twin, third = self._applier(), answers
        for each in self._log[: entry.index]:
            third = twin.apply(each)
        if third != answers or not _alike(lived, twin):
            said = self._difference(lived, twin, entry, answers, third)
            self._blame("determinism", f"{said} on another replica with the same log: {LOOK}")
        else:
            said = self._difference(lived, restored, entry, answers, again)
            self._blame(
                "restore",
                f"{said} on a replica restored from a snapshot before it:"
                " something is kept that the snapshot does not hold",
            )

    def _difference(
        self, lived: Applier, other: Applier, entry: Entry, answers: list[Result], others: list[Result]
    ) -> str:
        machine = _inner(lived)
        unequal = [at for at, pair in enumerate(zip(answers, others, strict=True)) if pair[0] != pair[1]]
        if not unequal:
            what = self._command(lived, entry, len(answers) - 1)
            said = difference(machine, written(lived.machine), written(other.machine))
            return f"{what} leaves another state{said}"
        body = decode_commands(entry.payload)[unequal[0]].body
        one, two = (result_text(machine, body, noted(each[unequal[0]])) for each in (answers, others))
        return f"{self._command(lived, entry, unequal[0])} answers {one}, but {two}"

    def _applier(self) -> Applier:
        return Applier(stepping(self._make, lambda machine, body, context, run: run()))

    def _restored(self, lived: Applier) -> Applier:
        applier = self._applier()
        try:
            applier.restore(lived.write(lived.capture()))
        except Exception as error:  # noqa: BLE001 - whatever the user's restore raises is a finding
            self._blame("restore", f"the state after entry {lived.applied.index} cannot be restored: {error}")
        return applier

    def _around(
        self, machine: StateMachine, body: bytes, context: Context, run: Callable[[], Result]
    ) -> Result:
        if self.found is not None:
            return run()
        what = command_text(machine, body, context.index, context.ordinal)
        failed: Exception | None = None
        try:
            result = run()
        except Exception as error:  # noqa: BLE001 - noted, and raised again below
            result, failed = raised(error), error
            self._raised(what, error)
        state = self._state(machine, what)
        if result.kind in (Kind.ERROR, Kind.BAD_COMMAND) and None not in (state, self._before):
            if state != self._before:
                self._blame(
                    "rollback",
                    f"{what} changed the state and then raised {result_text(machine, body, noted(result))}:"
                    " a declared error means that nothing happened, so raise it before changing anything",
                )
        self._before = state
        self._check(machine, what)
        self.steps.append(Step(context.index, context.ordinal, body, noted(result), state))
        if failed is not None:
            raise failed
        return result

    def _raised(self, what: str, error: Exception) -> None:
        if isinstance(error, Unsealed):
            self._blame("sealed", f"{what}: {error}; {INSTEAD}")
        elif not self._faults:
            self._blame("fault", f"{what} raised {told(error)}")

    def _state(self, machine: StateMachine, what: str) -> int | None:
        if not self._look.due():
            return None
        try:
            return self._look.state(machine)
        except Exception as error:  # noqa: BLE001 - whatever the user's capture raises is a finding
            self._blame("restore", f"after {what} the state cannot be saved: {error}")
            return None

    def _check(self, machine: StateMachine, what: str) -> None:
        if self._invariant is not None and self.found is None:
            if (problem := violated(self._invariant, [machine])) is not None:
                self._blame("invariant", f"after {what}: {problem}")

    def _command(self, lived: Applier, entry: Entry, ordinal: int) -> str:
        if entry.kind is not EntryKind.COMMANDS:
            return f"entry {entry.index}"
        body = decode_commands(entry.payload)[ordinal].body
        return command_text(_inner(lived), body, entry.index, ordinal)

    def _blame(self, oracle: str, problem: str) -> None:
        if self.found is None:
            self.found = Violation(oracle, problem)


def _inner(applier: Applier) -> StateMachine:
    """The user's machine in an applier of this module."""
    assert isinstance(applier.machine, Stepping), f"runs {applier.machine}"
    return applier.machine.inner


def _alike(one: Applier, other: Applier) -> bool:
    return written(one.machine) == written(other.machine)


def violated(invariant: Invariant, machines: Sequence[StateMachine]) -> str | None:
    """What an invariant says of these machines; None if it holds.

    Raises:
        Unsealed: it reached for the real world.
    """
    try:
        return "the invariant answered False" if invariant(machines) is False else None
    except Unsealed:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the user's invariant raises means that it does not hold
        return told(error)
