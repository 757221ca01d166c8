"""The session table as one would write it down: a dict of answers per session, one command after the other."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from raftlog.core.entry import Command
from raftlog.machine.result import Kind, Result
from raftlog.machine.sessions import EXPIRED, GONE, Limits


@dataclass
class SlowSession:
    ordered: bool
    floor: int = 1
    following: int = 1
    answers: dict[int, Result] = field(default_factory=dict)

    def forget(self, below: int) -> None:
        self.floor = max(self.floor, below)
        self.answers = {n: result for n, result in self.answers.items() if n >= self.floor}


class SlowTable:
    """Knows nothing of opening and closing: sessions are put in by hand."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sessions: OrderedDict[int, SlowSession] = OrderedDict()
        """The least recently used first: by entries, and in one entry by the first command of each."""
        self._used: set[int] = set()

    def stored(self) -> int:
        """What all answers are charged with."""
        return sum(charged(session) for session in self.sessions.values())

    def apply(self, commands: Sequence[Command], run: Callable[[Command], Result]) -> list[Result]:
        """One result per command of an entry; `run` applies one."""
        self._used.clear()
        return [self._apply(command, run) for command in commands]

    def _apply(self, command: Command, run: Callable[[Command], Result]) -> Result:
        if not command.client_id:
            return run(command)
        session = self.sessions.get(command.client_id)
        if session is None:
            return EXPIRED
        if command.client_id not in self._used:
            self._used.add(command.client_id)
            self.sessions.move_to_end(command.client_id)
        below = command.answered_below
        if session.ordered:
            if command.sequence > session.following:
                return Result(Kind.OUT_OF_ORDER, msgspec.msgpack.encode(session.following))
            below = min(below, session.following)
        session.forget(below)
        if command.sequence < session.floor:
            return GONE
        if command.sequence in session.answers:
            return session.answers[command.sequence]
        result = session.answers[command.sequence] = run(command)
        session.following = command.sequence + 1
        self._keep_bounds(session)
        return result

    def _keep_bounds(self, session: SlowSession) -> None:
        count, size = self.limits.session_answers, self.limits.session_bytes
        if len(session.answers) > count or charged(session) > size:
            while len(session.answers) > count * 3 // 4 or charged(session) > size * 3 // 4:
                session.forget(min(session.answers) + 1)
        if self.stored() > self.limits.total_bytes:
            for each in self.sessions.values():
                if self.stored() <= self.limits.total_bytes * 7 // 8:
                    break
                if each.answers:
                    each.forget(max(each.answers) + 1)


def charged(session: SlowSession) -> int:
    """What a session's answers are charged with."""
    return sum(len(result.body) + 64 for result in session.answers.values())
