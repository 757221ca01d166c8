"""Runs the committed log through a group's state machines, command by command, and knows how far it has come."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import xxhash

from raftlog.core.entry import Command, Entry, EntryKind, decode_commands
from raftlog.core.ids import META_GROUP, NOTHING, EntryId, GroupId, Index, Micros
from raftlog.machine.contract import ApplyStopped, Context, StateMachine
from raftlog.machine.pace import Pace
from raftlog.machine.result import Kind, Result, refusal
from raftlog.machine.sessions import Limits, Session, Sessions
from raftlog.machine.snapshot import FORMAT, MAGIC, Head, Reader, SnapshotRefused, write_stream

SESSIONS = 0
"""The number of the session table in every group."""
MACHINE = 1
"""The number of the user's machine in every group."""

FAULT = Result(Kind.FAULT)
NO_MACHINE = refusal(Kind.BAD_COMMAND, "no such machine in this group")
"""Its text is replicated and digested: it never changes."""

_AHEAD = 512
"""The most commands that are admitted together. Those that the slice has no time for are admitted anew in the next."""

_MIX = struct.Struct("<QQ")
_encode_results = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Faulted:
    """A command or query raised something undeclared: told to people on this node, never replicated."""

    index: Index
    """Of the entry; for a query, how far the state had come."""
    ordinal: int | None
    """None for a query."""
    method: str
    cause: Exception


@dataclass(frozen=True, slots=True)
class SlowCommand:
    """A command that held up everyone behind it.

    Among quick commands, which are timed together, it is one of those named. The 64 commands after it are timed alone:
    one that comes again soon is named exactly.
    """

    index: Index
    ordinal: int
    """Of the first command that was timed."""
    method: str
    """The names of all that were, each once."""
    took: Micros
    """All together."""
    count: int = 1
    """How many were timed together, from `ordinal` on."""


@dataclass(frozen=True, slots=True)
class View:
    """A whole state as it stood after one entry; immutable, so that it can be written beside further applying."""

    head: Head
    sessions: object
    machine: object


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A state that stands ready beside the present one."""

    sessions: Sessions
    machine: StateMachine
    at: EntryId
    log_time: Micros
    digest: int


class NewerVocabulary(Exception):
    """A command speaks a newer version of the machine than this node runs: upgrade the node."""


class Applier:
    """One group's state: the session table, the user's machine, and the position in the log they stand at.

    Entries come in order and without gaps, either whole (`apply`) or in slices (`begin`, then `advance` until it
    returns the results). Between two slices of one entry, queries may be asked, but nothing captured.

    Invariants: `applied.index`, `applied.term` and `log_time` never decrease but by `restore` or `reset`; equal logs
    give equal `digest` on every replica; after ApplyStopped only `restore` and `reset` are allowed, for the state may
    be half changed.
    """

    _sessions: Sessions
    _machine: StateMachine
    _applied: EntryId
    _log_time: Micros
    _digest: int
    _stopped: ApplyStopped | None
    _entry: Entry | None
    """The one begun and not finished."""
    _commands: Sequence[Command]
    _results: list[Result]

    def __init__(
        self,
        make: Callable[[], StateMachine],
        *,
        group: GroupId = META_GROUP,
        clock: Callable[[], Micros] = lambda: 0,
        slow_after: Micros = 20_000,
        on_slow: Callable[[SlowCommand], None] = lambda slow: None,
        on_fault: Callable[[Faulted], None] = lambda faulted: None,
        limits: Limits | None = None,
    ) -> None:
        """`make` gives a fresh machine in its first state: most often the class itself.

        `clock` (microseconds, monotonic) decides nothing but slices and reports. It is read after as many
        commands as would have taken 1 ms before, from 1 to 32: so long may a slice go on past its deadline, or once
        for as long as 32 commands take where quick ones turn slow.
        `limits` are for tests: all replicas must have the same.

        Raises:
            MachineRefused: the machine has state that a snapshot would lose.
        """
        self._make = make
        self._limits = limits
        self._group = group
        self._pace = Pace(clock, slow_after, self._slow)
        self._on_slow = on_slow
        self._on_fault = on_fault
        self._context = Context(group=group)
        self.reset()
        self._machine.capture()  # a state that no snapshot can hold is refused now, not after hours of work

    def reset(self) -> None:
        """Back to the state before the first entry."""
        self._stand(Rebuilt(Sessions(self._limits), self._make(), NOTHING, 0, 0))

    @property
    def group(self) -> GroupId:
        """The group whose log this is."""
        return self._group

    @property
    def applied(self) -> EntryId:
        """The last entry whose every effect is visible."""
        return self._applied

    @property
    def log_time(self) -> Micros:
        """The time of that entry."""
        return self._log_time

    @property
    def digest(self) -> int:
        """Running u64 over all entries and results up to `applied`: equal on all replicas, or one has diverged."""
        return self._digest

    @property
    def machine(self) -> StateMachine:
        """The user's machine as it stands. Change nothing."""
        return self._machine

    @property
    def sessions(self) -> Sessions:
        """The session table as it stands. Change nothing."""
        return self._sessions

    @property
    def stopped(self) -> ApplyStopped | None:
        """Why this state is given up, if it is."""
        return self._stopped

    def apply(self, entry: Entry, commands: Sequence[Command] | None = None) -> list[Result]:
        """Run a whole entry: one result per command, none for an entry of another kind.

        `commands` is the decoded payload, where the caller has it.

        Raises:
            ApplyStopped: this node cannot go on; see there.
        """
        self.begin(entry, commands)
        results = self.advance()
        assert results is not None, "without a deadline an entry is applied to its end"
        return results

    def begin(self, entry: Entry, commands: Sequence[Command] | None = None) -> None:
        """Start on an entry; nothing is run yet.

        Raises:
            ApplyStopped: the payload of a committed entry is not a sequence of commands.
        """
        assert self._stopped is None, f"group {self._group} has stopped applying: {self._stopped}"
        assert self._entry is None, f"entry {entry.id} begins while {self._entry} is half applied"
        assert entry.group == self._group, (
            f"entry {entry.id} of group {entry.group} came to group {self._group}"
        )
        assert entry.index == self._applied.index + 1, f"entry {entry.id} came after {self._applied}"
        assert entry.term >= self._applied.term, f"the term falls from {self._applied} to {entry.id}"
        assert entry.log_time >= self._log_time, f"log time falls from {self._log_time} to {entry.log_time}"
        context = self._context
        context.index = entry.index
        context.log_time = entry.log_time
        if entry.kind is not EntryKind.COMMANDS:
            commands = ()
        elif commands is None:
            commands = self._decode(entry)
        self._entry = entry
        self._commands = commands
        self._results = []

    def advance(self, deadline: Micros | None = None) -> list[Result] | None:
        """Run commands of the entry begun until its end, or until the clock has reached the deadline.

        Runs one command at least. The results once the entry is done, None while it is not.

        Raises:
            ApplyStopped: this node cannot go on; see there.
        """
        entry = self._entry
        assert entry is not None, f"no entry is begun after {self._applied}"
        results = self._results
        commands = self._commands
        if len(results) < len(commands) and not self._run(entry.index, commands, results, deadline):
            return None
        self._finish(entry, results)
        return results

    def _run(
        self, index: Index, commands: Sequence[Command], results: list[Result], deadline: Micros | None
    ) -> bool:
        """Run up to the end of the entry, which is True, or past the deadline; commands that are alike at once."""
        pace, count, over = self._pace, len(commands), False
        pace.begin(len(results), count)
        while not over and (start := len(results)) < count:
            first = commands[start]
            end, session = start, None
            if start + 1 < count and commands[start + 1].client_id == first.client_id:
                end, session = self._admit(commands, start, index)
            if end - start < 2:
                self._run_one(first, start, index, results)
                over = start + 1 == pace.due and pace.over(start + 1, deadline)
                continue
            while not over and len(results) < end:
                self._run_alike(commands, results, min(end, pace.due))
                over = len(results) == pace.due and pace.over(len(results), deadline)
            if session is not None:
                self._sessions.keep_fresh(session, commands, results, start)
        return len(results) == count

    def _admit(self, commands: Sequence[Command], start: int, index: Index) -> tuple[int, Session | None]:
        """Up to where commands are alike and sure to be applied, and the session that keeps their answers, if any."""
        first = commands[start]
        client, version = first.client_id, first.machine_version
        if first.machine != MACHINE or version > self._machine.version:
            return start, None
        if client:
            return self._sessions.fresh(commands, start, start + _AHEAD, index)
        end = start
        for each in commands[start : start + _AHEAD]:
            if each.client_id or each.machine_version != version or each.machine != MACHINE:
                break
            end += 1
        return end, None

    def _run_alike(self, commands: Sequence[Command], results: list[Result], end: int) -> None:
        self._context.version = commands[len(results)].machine_version
        run = self._machine.apply_run
        while (ordinal := len(results)) < end:
            try:
                run(commands, self._context, results, end)
            except Exception as error:  # noqa: BLE001 - a machine's bug must not end its replica
                ordinal = len(results)
                results.append(self._faulted(commands[ordinal], ordinal, error))
            except BaseException as error:
                ordinal = len(results)
                raise self._stop(commands[ordinal], ordinal, error) from error

    def _run_one(self, command: Command, ordinal: int, index: Index, results: list[Result]) -> None:
        self._context.ordinal = ordinal
        admitted = self._sessions.admit(command, index) if command.client_id else None
        if type(admitted) is Result:
            results.append(admitted)
            return
        try:
            if command.machine == MACHINE and command.machine_version <= self._machine.version:
                self._context.version = command.machine_version
                result = self._machine.apply(command.body, self._context)
            else:
                result = self._elsewhere(command)
        except Exception as error:  # noqa: BLE001 - a machine's bug must not end its replica
            result = self._faulted(command, ordinal, error)
        except BaseException as error:
            raise self._stop(command, ordinal, error) from error
        if type(admitted) is Session:
            self._sessions.keep(admitted, command.sequence, result)
        results.append(result)

    def _elsewhere(self, command: Command) -> Result:
        """Commands for the session table, for no machine, or in words that this node does not know yet."""
        if command.machine == SESSIONS:
            machine: StateMachine = self._sessions
        elif command.machine == MACHINE:
            machine = self._machine
        else:
            return NO_MACHINE
        if command.machine_version > machine.version:
            raise NewerVocabulary(
                f"the command speaks version {command.machine_version} of {machine.name}, this node runs "
                f"version {machine.version}: upgrade it"
            )
        self._context.version = command.machine_version
        return machine.apply(command.body, self._context)

    def _faulted(self, command: Command, ordinal: int, error: Exception) -> Result:
        if isinstance(error, MemoryError | RecursionError | OSError | NewerVocabulary):
            raise self._stop(command, ordinal, error) from error
        self._on_fault(Faulted(self._context.index, ordinal, self._method_of(command), error))
        return FAULT

    def _stop(self, command: Command, ordinal: int, error: BaseException) -> ApplyStopped:
        self._stopped = ApplyStopped(self._context.index, ordinal, self._method_of(command), error)
        return self._stopped

    def _finish(self, entry: Entry, results: list[Result]) -> None:
        seed = xxhash.xxh3_64_intdigest(_MIX.pack(self._digest, entry.checksum))
        self._digest = xxhash.xxh3_64_intdigest(_encode_results(results), seed)
        self._applied = entry.id
        self._log_time = entry.log_time
        self._entry = None
        self._commands = ()

    def _decode(self, entry: Entry) -> tuple[Command, ...]:
        try:
            return decode_commands(entry.payload)
        except ValueError as error:
            self._stopped = ApplyStopped(entry.index, 0, "payload", error)
            raise self._stopped from error

    def _slow(self, start: int, end: int, took: Micros) -> None:
        names = self._methods_of(self._commands[start:end])
        self._on_slow(SlowCommand(self._context.index, start, names, took, end - start))

    def _methods_of(self, commands: Sequence[Command]) -> str:
        return " or ".join(dict.fromkeys(map(self._method_of, commands)))

    def _method_of(self, command: Command) -> str:
        machine: StateMachine = self._sessions if command.machine == SESSIONS else self._machine
        return machine.method_of(command.body)

    def query(self, body: bytes, *, machine: int = MACHINE) -> Result:
        """Answer a query from the state as it stands, between two commands."""
        if machine not in (SESSIONS, MACHINE):
            return NO_MACHINE
        asked: StateMachine = self._sessions if machine == SESSIONS else self._machine
        try:
            result = asked.query(body)
            if result.kind is Kind.BAD_COMMAND:  # nothing of a query is replicated: it may be told why
                return self._check(machine, asked.version, body, is_query=True) or result
            return result
        except Exception as error:  # noqa: BLE001 - a query that breaks is the asker's answer, not the node's end
            self._on_fault(Faulted(self._applied.index, None, asked.method_of(body), error))
            return FAULT

    def refusals(self, commands: Sequence[Command]) -> dict[int, Result]:
        """The refusals of those commands that must not enter the log, by position.

        Whoever puts commands into the log asks this first: it keeps out what could stop some replicas, which is a
        body that they may not be able to decode and a vocabulary that they may not know yet. A command that merely
        does not fit is let through; applying it answers BAD_COMMAND, and `check` says why.
        """
        version, size = self._machine.version, self._machine.checked_from
        suspects = [
            at
            for at, command in enumerate(commands)
            if command.machine != MACHINE or command.machine_version > version or len(command.body) >= size
        ]
        return {at: refused for at in suspects if (refused := self.check(commands[at])) is not None}

    def check(self, command: Command) -> Result | None:
        """Why a command would be refused by applying it, with the reason in words, or None."""
        return self._check(command.machine, command.machine_version, command.body, is_query=False)

    def check_query(self, machine: int, version: int, body: bytes) -> Result | None:
        """The same for a query."""
        return self._check(machine, version, body, is_query=True)

    def _check(self, machine: int, version: int, body: bytes, *, is_query: bool) -> Result | None:
        if machine not in (SESSIONS, MACHINE):
            return refusal(
                Kind.BAD_COMMAND,
                f"this group has no machine {machine}: 0 is the session table, 1 the machine",
            )
        asked: StateMachine = self._sessions if machine == SESSIONS else self._machine
        if version > asked.version:
            reason = (
                f"the client speaks version {version} of {asked.name}, this node runs version {asked.version}"
            )
            return refusal(Kind.BAD_COMMAND, f"{reason}: upgrade the node")
        why = asked.check(body, query=is_query)
        return None if why is None else refusal(Kind.BAD_COMMAND, why)

    def capture(self) -> View:
        """The whole state after `applied`, to be handed to `write`. The cost is that of the machine's own capture."""
        assert self._stopped is None, f"group {self._group} has stopped applying, its state is half changed"
        assert self._entry is None, f"half applied: {self._entry}"
        machines = tuple((each.name, each.version) for each in (self._sessions, self._machine))
        head = Head(MAGIC, FORMAT, self._group, self._applied, self._log_time, self._digest, machines)
        return View(head, self._sessions.capture(), self._machine.capture())

    def write(self, view: View) -> Iterator[bytes]:
        """The view as a stream of chunks; may run in another thread, beside `apply`."""
        return write_stream(
            view.head, (self._sessions.write(view.sessions), self._machine.write(view.machine))
        )

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Take over the state in a stream that `write` made, or change nothing.

        Raises:
            SnapshotRefused: the stream is damaged, of another group or machine, or of a newer version.
        """
        self.install(self.rebuild(chunks))

    def rebuild(self, chunks: Iterable[bytes]) -> Rebuilt:
        """The first half of `restore`: builds the state aside, touching nothing; may run in another thread."""
        reader = Reader(chunks)
        head = reader.head()
        if head.group != self._group:
            raise SnapshotRefused(f"the snapshot is of group {head.group}, not of group {self._group}")
        sessions, machine = Sessions(self._limits), self._make()
        if tuple(name for name, _ in head.machines) != (sessions.name, machine.name):
            had = ", ".join(name for name, _ in head.machines)
            raise SnapshotRefused(f"the snapshot holds {had}; this node runs {sessions.name}, {machine.name}")
        for each, (_, version) in zip((sessions, machine), head.machines, strict=True):
            _restore_one(each, version, reader)
        reader.end()
        return Rebuilt(sessions, machine, head.at, head.log_time, head.digest)

    def install(self, rebuilt: Rebuilt) -> None:
        """The second half of `restore`: what was built takes the place of everything here, at once."""
        self._stand(rebuilt)

    def _stand(self, rebuilt: Rebuilt) -> None:
        self._sessions = rebuilt.sessions
        self._machine = rebuilt.machine
        self._applied = rebuilt.at
        self._log_time = rebuilt.log_time
        self._digest = rebuilt.digest
        self._stopped = None
        self._entry = None
        self._commands = ()
        self._results = []


def _restore_one(machine: StateMachine, version: int, reader: Reader) -> None:
    if version > machine.version:
        raise SnapshotRefused(
            f"the snapshot holds version {version} of {machine.name}, this node runs {machine.version}: upgrade it"
        )
    parts = reader.parts()
    try:
        machine.restore(parts, version)
    except (SnapshotRefused, MemoryError, OSError):
        raise
    except Exception as error:
        raise SnapshotRefused(
            f"{machine.name} could not restore its state: {type(error).__name__}: {error}"
        ) from error
    if left := sum(1 for _ in parts):
        raise SnapshotRefused(f"{machine.name} left {left} chunks of its state unread")
