"""The session table: the replicated duplicate filter that makes a retried command take effect once."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from raftlog.core.entry import Command
from raftlog.core.ids import Index
from raftlog.machine.answers import Answers, Row, charge
from raftlog.machine.contract import Context
from raftlog.machine.method import command, query
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import Machine

EXPIRED = Result(Kind.SESSION_EXPIRED)
GONE = Result(Kind.ANSWER_GONE)


class Limits(msgspec.Struct, frozen=True):
    """Bounds of the table. They decide what replicas answer, so all replicas have the same: they are no setting.

    What goes over is evicted in the order of the log alone: the sessions that were not used for longest, and in a
    session the lowest sequences. An evicted answer leaves its trace: a retry of it is told that it is gone.
    """

    sessions: int = 16_384
    session_answers: int = 8_192
    session_bytes: int = 16 << 20
    total_bytes: int = 64 << 20
    """Of all stored answers; each counts its body and 64 more."""


class Session:
    """One client's duplicate filter.

    Invariants: `floor >= 1` and never decreases; every answer's sequence is at least `floor`; a sequence below `floor`
    is never applied again; in an ordered session every answer's is below `next`, and `next` is the only sequence that
    may be applied; none is above `top`.
    """

    __slots__ = ("answers", "floor", "id", "next", "open", "ordered", "top", "used")

    def __init__(self, session_id: int, *, ordered: bool, used: Index) -> None:
        self.id = session_id
        self.ordered = ordered
        self.used = used
        """Index of the last entry that carried a command of it."""
        self.floor = 1
        self.next = 1
        self.top = 0
        """The highest sequence kept. No part of the state: it only says sooner what `answers` would say."""
        self.answers = Answers()
        self.open = True

    def confirm(self, below: int) -> int:
        """Forget the answers below a sequence that the client has; returns the bytes given back."""
        freed = self.answers.forget(self.floor, below)
        self.floor = below
        return freed


class Sessions(Machine):
    """Machine 0 of every group. A session's id is the identity of the command that opened it, so it is never reused.

    `admit` says what is to become of a command, `keep` stores its first answer. An unordered session applies each
    sequence once, in whatever order they come; an ordered one only the next, so a pipeline keeps its order
    without gaps.
    """

    name = "raftlog.sessions"
    version = 1

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._sessions: OrderedDict[int, Session] = OrderedDict()  # the least recently used first
        self._bytes = 0

    @command
    def open(self, context: Context, ordered: bool = False) -> int:
        """Open a session: its id, to be sent as `client_id`. Retried, it opens another one, which nobody will use."""
        while len(self._sessions) >= self._limits.sessions:
            self._remove(next(iter(self._sessions)))
        session = Session(context.identity, ordered=ordered, used=context.index)
        self._sessions[session.id] = session
        return session.id

    @command
    def close(self, session: int) -> bool:
        """Close a session: whether it was open."""
        return self._remove(session)

    @query
    def count(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    @query
    def stored(self) -> int:
        """Bytes that stored answers are charged with."""
        return self._bytes

    def admit(self, command: Command, index: Index) -> Session | Result:
        """The session whose next answer the command will make, or, when it must not be applied, its answer."""
        session = self._sessions.get(command.client_id)
        if session is None:
            return EXPIRED
        if session.used != index:
            session.used = index
            self._sessions.move_to_end(command.client_id)
        sequence = command.sequence
        below = command.answered_below
        if session.ordered:
            if sequence > session.next:
                return Result(Kind.OUT_OF_ORDER, msgspec.msgpack.encode(session.next))
            below = min(below, session.next)  # nobody has an answer that was never given
        if below > session.floor:
            self._bytes -= session.confirm(below)
        if sequence < session.floor:
            return GONE
        if sequence > session.top:
            return session
        answer = session.answers.get(sequence)
        return session if answer is None else answer

    def keep(self, session: Session, sequence: int, result: Result) -> None:
        """Store the first answer to an admitted command."""
        if not session.open:  # it closed itself, or was evicted by the session that it opened
            return
        session.next = sequence + 1
        if sequence > session.top:
            session.top = sequence
        answers, limits = session.answers, self._limits
        self._bytes += answers.put(sequence, result)
        if answers.size > limits.session_bytes or answers.count > limits.session_answers:
            self._shrink(session)
        if self._bytes > limits.total_bytes:
            self._evict()

    def fresh(
        self, commands: Sequence[Command], start: int, end: int, index: Index
    ) -> tuple[int, Session | None]:
        """Admit as many of `commands[start:end]` at once as are alike and surely new: up to where, and their session.

        Alike: of one session, for one machine, in one version of its vocabulary, numbered without gaps. They are the
        common case, a client that numbers upwards and repeats nothing: each sequence is above all that were ever
        kept and is not below what its command confirms. Storing the answers to some can then not change the
        admission of the next, for what the table evicts lies below it; so they are admitted first, run, and kept
        with `keep_fresh`. The machine that runs them must not be this one.
        """
        first = commands[start]
        client, machine, version = first.client_id, first.machine, first.machine_version
        sequence, below = first.sequence, first.answered_below
        session = self._sessions.get(client)
        if session is None or below > sequence:
            return start, None
        if (
            sequence != session.next
            if session.ordered
            else sequence <= session.top or sequence < session.floor
        ):
            return start, None
        number = sequence
        for each in commands[start:end]:
            if (
                each.sequence != number
                or each.client_id != client
                or each.machine_version != version
                or each.machine != machine
            ):
                break
            if each.answered_below != below:
                if not below < each.answered_below <= number:
                    break
                below = each.answered_below
            number += 1
        if session.used != index:
            session.used = index
            self._sessions.move_to_end(client)
        return start + number - sequence, session

    def keep_fresh(
        self, session: Session, commands: Sequence[Command], results: Sequence[Result], start: int
    ) -> None:
        """Store the answers `results[start:]` to commands that `fresh` admitted, and forget what they confirm.

        The same as `admit` and `keep` for one after the other, at once where no bound is near.
        """
        kept = list(results[start:])
        size = charge(kept)
        answers, limits = session.answers, self._limits
        if (
            answers.size + size > limits.session_bytes
            or answers.count + len(kept) > limits.session_answers
            or self._bytes + size > limits.total_bytes
        ):
            for one, result in zip(commands[start:], kept, strict=False):
                self._confirm(session, one.answered_below)
                self.keep(session, one.sequence, result)
            return
        first = commands[start].sequence
        answers.extend(first, kept, size)
        self._bytes += size
        session.next = first + len(kept)
        session.top = session.next - 1
        # What they confirm does not decrease along them.
        self._confirm(session, commands[start + len(kept) - 1].answered_below)

    def _confirm(self, session: Session, below: int) -> None:
        if below > session.floor:
            self._bytes -= session.confirm(below)

    def _shrink(self, session: Session) -> None:
        # Down to three quarters, so that the sorting is paid for by many commands.
        count = self._limits.session_answers * 3 // 4
        size = self._limits.session_bytes * 3 // 4
        left, bytes_left = session.answers.count, session.answers.size
        floor = session.floor
        for sequence, result in session.answers.rows():
            if left <= count and bytes_left <= size:
                break
            left -= 1
            bytes_left -= charge((result,))
            floor = sequence + 1
        self._bytes -= session.confirm(floor)

    def _evict(self) -> None:
        for session in self._sessions.values():
            if self._bytes <= self._limits.total_bytes * 7 // 8:
                return
            if session.answers.count:
                self._bytes -= session.confirm(session.answers.highest() + 1)

    def _remove(self, session_id: int) -> bool:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return False
        session.open = False
        self._bytes -= session.answers.size
        return True

    def capture(self) -> object:
        """All sessions, the least recently used first. Copies references: about 60 ns per stored answer."""
        return [_row(session) for session in self._sessions.values()]

    def write(self, view: Any) -> Iterator[bytes]:
        """One chunk per session."""
        return (msgspec.msgpack.encode(row) for row in view)

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`."""
        for chunk in chunks:
            session_id, ordered, used, floor, following, answers = _decode_row(chunk)
            session = Session(session_id, ordered=ordered, used=used)
            session.floor = floor
            session.next = following
            session.answers.restore(answers)
            session.top = session.answers.highest()
            self._sessions[session_id] = session
            self._bytes += session.answers.size


_Session: TypeAlias = tuple[int, bool, Index, int, int, list[Row]]
_decode_row = msgspec.msgpack.Decoder(_Session).decode


def _row(session: Session) -> _Session:
    answers = session.answers.rows()
    return session.id, session.ordered, session.used, session.floor, session.next, answers
