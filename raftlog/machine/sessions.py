"""The session table: the replicated duplicate filter that makes a retried command take effect once."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from raftlog.core.entry import Command
from raftlog.core.ids import Index
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

    Invariants: `floor >= 1` and never decreases; every key of `answers` is at least `floor`; a sequence below `floor`
    is never applied again; `size` is the sum over `answers`; in an ordered session every key is below `next`, and
    `next` is the only sequence that may be applied; no key of `answers` is above `top`.
    """

    __slots__ = ("answers", "floor", "id", "next", "open", "ordered", "size", "top", "used")

    def __init__(self, session_id: int, *, ordered: bool, used: Index) -> None:
        self.id = session_id
        self.ordered = ordered
        self.used = used
        """Index of the last entry that carried a command of it."""
        self.floor = 1
        self.next = 1
        self.top = 0
        """The highest sequence kept. No part of the state: it only says sooner what `answers` would say."""
        self.answers: dict[int, Result] = {}
        self.size = 0
        self.open = True

    def confirm(self, below: int) -> int:
        """Forget the answers below a sequence that the client has; returns the bytes given back."""
        gone: Iterable[int]
        if below - self.floor <= len(self.answers):
            gone = range(self.floor, below)
        else:  # a client may name any number: never count up to it
            gone = [sequence for sequence in self.answers if sequence < below]
        freed = 0
        forget = self.answers.pop
        for sequence in gone:
            try:
                freed += len(forget(sequence).body) + _OVERHEAD
            except KeyError:  # it never came
                continue
        self.floor = below
        self.size -= freed
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
        answer = session.answers.get(sequence)
        return session if answer is None else answer

    def keep(self, session: Session, sequence: int, result: Result) -> None:
        """Store the first answer to an admitted command."""
        if not session.open:  # it closed itself, or was evicted by the session that it opened
            return
        session.next = sequence + 1
        if sequence > session.top:
            session.top = sequence
        session.answers[sequence] = result
        size = len(result.body) + _OVERHEAD
        session.size += size
        self._bytes += size
        limits = self._limits
        if session.size > limits.session_bytes or len(session.answers) > limits.session_answers:
            self._shrink(session)
        if self._bytes > limits.total_bytes:
            self._evict()

    def fresh(
        self, commands: Sequence[Command], start: int, end: int, index: Index
    ) -> tuple[Session, int] | None:
        """Admit as many of `commands[start:end]`, all of one session, as are surely new: up to where, None for none.

        They are the common case, a client that numbers upwards and repeats nothing: each sequence is above all that
        were ever kept and is not below what its command confirms. Storing the answers to some can then not change the
        admission of the next, for what the table evicts lies below it; so they are admitted first, run, and kept
        with `keep_fresh`. The machine that runs them must not be this one.
        """
        session = self._sessions.get(commands[start].client_id)
        if session is None:
            return None
        ordered = session.ordered
        lowest = session.next if ordered else max(session.top + 1, session.floor)
        at = start
        for asked in commands[start:end]:
            sequence = asked.sequence
            if sequence < lowest or asked.answered_below > sequence or (ordered and sequence != lowest):
                break
            lowest = sequence + 1
            at += 1
        if at == start:
            return None
        if session.used != index:
            session.used = index
            self._sessions.move_to_end(session.id)
        return session, at

    def keep_fresh(
        self, session: Session, commands: Sequence[Command], results: Sequence[Result], start: int
    ) -> None:
        """Store the answers `results[start:]` to commands that `fresh` admitted, and forget what they confirm.

        The same as `admit` and `keep` for one after the other, at once where no bound is near.
        """
        kept = results[start:]
        came = commands[start : start + len(kept)]
        size = sum([len(result.body) for result in kept]) + _OVERHEAD * len(kept)
        limits = self._limits
        if (
            session.size + size > limits.session_bytes
            or len(session.answers) + len(kept) > limits.session_answers
            or self._bytes + size > limits.total_bytes
        ):
            for one, result in zip(came, kept, strict=True):
                self._confirm(session, one.answered_below)
                self.keep(session, one.sequence, result)
            return
        answers, below = session.answers, session.floor
        for one, result in zip(came, kept, strict=True):
            answers[one.sequence] = result
            if one.answered_below > below:
                below = one.answered_below
        session.top = came[-1].sequence
        session.next = session.top + 1
        session.size += size
        self._bytes += size
        self._confirm(session, below)

    def _confirm(self, session: Session, below: int) -> None:
        if below > session.floor:
            self._bytes -= session.confirm(below)

    def _shrink(self, session: Session) -> None:
        # Down to three quarters, so that the sorting is paid for by many commands.
        count = self._limits.session_answers * 3 // 4
        size = self._limits.session_bytes * 3 // 4
        left, bytes_left = len(session.answers), session.size
        floor = session.floor
        for sequence in sorted(session.answers):
            if left <= count and bytes_left <= size:
                break
            left -= 1
            bytes_left -= _size(session.answers[sequence])
            floor = sequence + 1
        self._bytes -= session.confirm(floor)

    def _evict(self) -> None:
        for session in self._sessions.values():
            if self._bytes <= self._limits.total_bytes * 7 // 8:
                return
            if session.answers:
                self._bytes -= session.confirm(max(session.answers) + 1)

    def _remove(self, session_id: int) -> bool:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return False
        session.open = False
        self._bytes -= session.size
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
            session.answers = dict(answers)
            session.top = max(session.answers, default=0)
            session.size = sum(_size(result) for result in session.answers.values())
            self._sessions[session_id] = session
            self._bytes += session.size


_Row: TypeAlias = tuple[int, bool, Index, int, int, list[tuple[int, Result]]]
_decode_row = msgspec.msgpack.Decoder(_Row).decode
_OVERHEAD = 64


def _row(session: Session) -> _Row:
    # In the order of arrival, which is the order of the log.
    answers = list(session.answers.items())
    return session.id, session.ordered, session.used, session.floor, session.next, answers


def _size(result: Result) -> int:
    return len(result.body) + _OVERHEAD
