"""What a state machine is: the raw contract, bytes in and a `Result` out, that every machine on a log fulfils."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any, ClassVar

from raftlog.core.entry import Command
from raftlog.core.ids import GroupId, Index, Micros
from raftlog.machine.result import Result


class Context:
    """Where and when a command runs: everything outside its own bytes that `apply` may depend on.

    One object is used for all commands: it is valid during the call only, so keep its values, never the object.
    """

    __slots__ = ("_drawn_for", "_random", "group", "index", "log_time", "ordinal", "version")

    def __init__(
        self, *, group: GroupId, index: Index = 1, ordinal: int = 0, log_time: Micros = 0, version: int = 1
    ) -> None:
        self.group = group
        self.index = index
        """Position of the entry that carries the command."""
        self.ordinal = ordinal
        """Position of the command in its entry, from 0. (index, ordinal) is the command's identity."""
        self.log_time = log_time
        """Microseconds since the Unix epoch; never decreases from command to command, equal on all replicas."""
        self.version = version
        """The version of the machine's vocabulary that the client spoke: old commands keep their old meaning."""
        self._random: Random | None = None
        self._drawn_for = -1

    @property
    def identity(self) -> int:
        """The command's identity as one number: index in the upper 48 bits, ordinal in the lower 16."""
        return self.index << 16 | self.ordinal

    @property
    def random(self) -> Random:
        """A generator seeded by the group and the command's identity, so that all replicas draw the same.

        Made when first asked for. Not promised: that `choice`, `shuffle` and the like draw the same under two
        versions of Python; only `random()` and `getrandbits()` do.
        """
        identity = self.identity
        if self._random is None or self._drawn_for != identity:
            self._random = Random(self.group << 64 | identity)
            self._drawn_for = identity
        return self._random


class StateMachine(ABC):
    """A deterministic program on the log. Most people want `Machine`, the typed form of this.

    Invariants, all of them the author's to keep: after the same commands every replica is in the same state and has
    given the same results; nothing else is read, no clock, no environment, no hash order, no random module.
    An exception that leaves `apply` becomes the fixed result `FAULT` and what was changed before it stands, except
    for MemoryError, RecursionError, OSError and what is not an `Exception`: those stop applying on that node.
    """

    name: ClassVar[str]
    """Written into snapshots: a snapshot of another machine is refused."""
    version: ClassVar[int] = 1
    """Of the vocabulary of commands and of the snapshot's layout; raise it when either changes."""
    checked_from: ClassVar[int] = 0
    """Bodies of at least this many bytes are shown to `check` before they enter the log. What is shorter cannot stop
    a replica, and `apply` answers it alike on all of them, whatever it says."""

    @abstractmethod
    def apply(self, command: bytes, context: Context) -> Result:
        """Run one command. A kind other than OK or ERROR is not the machine's to give, save `BAD_COMMAND`."""

    def apply_run(
        self, commands: Sequence[Command], context: Context, results: list[Result], end: int
    ) -> None:
        """Run the commands from `len(results)` up to `end`, all of one version, which `context` has already.

        Each result is appended at once, so an exception is that of the command at `len(results)`; the rest is then
        asked for anew. The same as `apply` one by one, which is all that most machines need.
        """
        for ordinal in range(len(results), end):
            context.ordinal = ordinal
            results.append(self.apply(commands[ordinal].body, context))

    @abstractmethod
    def query(self, query: bytes) -> Result:
        """Answer from the present state without changing it."""

    @abstractmethod
    def capture(self) -> object:
        """An immutable view of the whole state. Runs between two commands: it is paid for by every caller waiting."""

    @abstractmethod
    def write(self, view: Any) -> Iterator[bytes]:
        """The view in chunks (64 KiB to 1 MiB are good), equal for equal states: what has no order is sorted.

        Runs in another thread beside `apply`, so it must touch nothing but the view.
        """

    @abstractmethod
    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """Take the state that `write` of the given version wrote, in the chunks it was written in.

        Called at most once, on a new instance, possibly in another thread; when it raises, that instance is dropped.
        """

    def check(self, body: bytes, *, query: bool = False) -> str | None:
        """Why a command (or query) can never succeed, in one sentence, or None. Asked before it is proposed."""
        return None

    def method_of(self, body: bytes) -> str:
        """What to call a command in logs and reports."""
        return self.name


class ApplyStopped(Exception):
    """This node cannot go on applying: its resources, not the command's meaning, gave out at (index, ordinal).

    The state may be half changed; the way on is a new state from the last snapshot. Nothing is wrong with the log:
    the node goes on replicating and voting, and gives up leadership.
    """

    def __init__(self, index: Index, ordinal: int, method: str, cause: BaseException) -> None:
        super().__init__(
            f"applying stopped at command {ordinal} of entry {index} ({method}): {type(cause).__name__}: {cause}"
        )
        self.index = index
        self.ordinal = ordinal
        self.method = method
        self.cause = cause
