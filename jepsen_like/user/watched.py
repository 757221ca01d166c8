"""Stands around a user's machine in every node of a run and sees what a replica alone can see."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jepsen_like.sim.verdict import Violation
from jepsen_like.user.place import told
from jepsen_like.user.probe import ANSWER, BODIES
from raftlog.core.entry import Command
from raftlog.machine.contract import Context, StateMachine
from raftlog.machine.result import Result
from raftlog.testing.sealed import Unsealed

Blame = Callable[[Violation], None]

INSTEAD = "machines have context.log_time and context.random"
"""What to use in the place of clocks and chance."""
SMALL = 1 << 16
"""Bytes of a state up to which it is compared before and after each query."""


class Watched(StateMachine):
    """Hands everything on to `inner` and changes nothing of it. Made by `watched`, which knows the class's values.

    Reports exceptions that no `errors=` declares, what reached for the real world, and queries that changed the state.
    """

    def __init__(self, inner: StateMachine, blame: Blame, faults: bool) -> None:
        self.inner = inner
        self._blame = blame
        self._faults = faults
        self._small = True

    def apply(self, command: bytes, context: Context) -> Result:
        """See `StateMachine.apply`."""
        if command in BODIES:
            return ANSWER
        try:
            return self.inner.apply(command, context)
        except BaseException as error:
            self._raised(command, context.index, context.ordinal, error)
            raise

    def apply_run(
        self, commands: Sequence[Command], context: Context, results: list[Result], end: int
    ) -> None:
        """See `StateMachine.apply_run`: the user's own way to run many, unless one of them is not theirs."""
        if any(each.body in BODIES for each in commands[len(results) : end]):
            super().apply_run(commands, context, results, end)
            return
        try:
            self.inner.apply_run(commands, context, results, end)
        except BaseException as error:
            self._raised(commands[len(results)].body, context.index, len(results), error)
            raise

    def _raised(self, body: bytes, index: int, ordinal: int, error: BaseException) -> None:
        what = name_command(self.inner, body, index, ordinal)
        if isinstance(error, Unsealed):
            self._blame(Violation("sealed", f"{what}: {error}; {INSTEAD}"))
        elif isinstance(error, MemoryError | RecursionError | OSError) or not isinstance(error, Exception):
            self._blame(
                Violation("fault", f"{what} raised {told(error)}: a node that meets it stops applying")
            )
        elif not self._faults:
            self._blame(
                Violation(
                    "fault",
                    f"{what} raised {told(error)}: mend it, declare it with errors=, or allow it with"
                    " machine_faults=True",
                )
            )

    def query(self, query: bytes) -> Result:
        """See `StateMachine.query`."""
        if query in BODIES:
            return ANSWER
        before = self._state()
        try:
            result = self.inner.query(query)
        except Exception as error:
            name = self.inner.method_of(query)
            if isinstance(error, Unsealed):
                self._blame(Violation("sealed", f"{name}: {error}"))
            elif not self._faults:
                self._blame(Violation("fault", f"the query {name} raised {told(error)}"))
            raise
        if before is not None and self._state() != before:
            self._blame(
                Violation(
                    "query",
                    f"{self.inner.method_of(query)} is a query and changed the state of the one node that ran it:"
                    " make it a command",
                )
            )
        return result

    def _state(self) -> bytes | None:
        """The state as bytes while that is cheap."""
        if not self._small:
            return None
        state = b"".join(self.inner.write(self.inner.capture()))
        self._small = len(state) <= SMALL
        return state

    def capture(self) -> object:
        """See `StateMachine.capture`."""
        return self.inner.capture()

    def write(self, view: Any) -> Iterator[bytes]:
        """See `StateMachine.write`."""
        return self.inner.write(view)

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`."""
        self.inner.restore(chunks, version)

    def check(self, body: bytes, *, query: bool = False) -> str | None:
        """See `StateMachine.check`."""
        return None if body in BODIES else self.inner.check(body, query=query)

    def method_of(self, body: bytes) -> str:
        """See `StateMachine.method_of`."""
        return "the simulator's probe" if body in BODIES else self.inner.method_of(body)


def watched(
    make: Callable[[], StateMachine], blame: Blame, *, faults: bool = False
) -> Callable[[], StateMachine]:
    """A way to make watched machines. `faults` allows undeclared exceptions, which replicas survive alike."""
    sample = make()
    values = {"name": sample.name, "version": sample.version, "checked_from": sample.checked_from}
    kind: Callable[[StateMachine, Blame, bool], StateMachine] = type("Watched", (Watched,), values)
    return lambda: kind(make(), blame, faults)


def name_command(machine: StateMachine, body: bytes, index: int, ordinal: int) -> str:
    """`Bank.transfer (entry 17, command 0)`."""
    return f"{machine.method_of(body)} (entry {index}, command {ordinal})"
