"""The client's core: keeps one link, sends what waits in batches, and sees to it that every call gets one outcome."""

import asyncio
from collections import deque
from collections.abc import Sequence
from random import Random

import msgspec

from raftlog.client.addresses import Addresses
from raftlog.client.connection import Connection
from raftlog.client.deadlines import Deadlines
from raftlog.client.limits import Limits
from raftlog.client.pending import COMMAND, Bulk, Pending, Place
from raftlog.client.rests import Rests
from raftlog.client.session import ClientSession
from raftlog.core.ids import META_GROUP, ClusterId, GroupId, Index
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind, Refusal, Result, refusal
from raftlog.machine.sessions import Sessions
from raftlog.transport.client_frames import (
    ClientFrame,
    decode_node_frame,
    decode_runs,
    encode_client_frame,
    encode_rows,
)
from raftlog.transport.link import Dialer

ANY_CLUSTER = ClusterId(0)
DOUBT = "it may have happened, or may yet: read before you call it again"
_QUEUED = Place.QUEUED
_SESSIONS = 0
"""The machine that keeps the sessions."""
_FIRST_REST = 0.02
_LONGEST_REST = 0.25


class Engine:
    """What happens to a call between its encoding and its result.

    Invariants:
    - A call is in one place (`Place`) and gets one outcome, at the latest when its deadline passes.
    - A command is sent a second time only if every earlier try certainly did not happen, or under the session and
      sequence of the first: then the session table applies it once at most.
    - `failed` is said of a command only if no try of it may have happened.
    - At most `window_calls`, and `window_bytes` and one more body, are on the link.
    - Everything of a session below `answered_below` is answered or given up.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        dialer: Dialer,
        random: Random,
        *,
        group: GroupId = META_GROUP,
        cluster_id: ClusterId = ANY_CLUSTER,
        session: bool = True,
        follow: bool = True,
        limits: Limits | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._random = random
        self._group = group
        self._cluster_id = cluster_id
        self._wants_session = session
        self._follows = follow
        self._limits = limits or Limits()

        self._commands: deque[Pending] = deque()
        """Queued commands that go under the session."""
        self._plain: deque[Pending] = deque()
        """Queued queries and commands without a session."""
        self._gone_queued = 0
        """Entries of both that have their outcome already: swept when they are the most."""
        self._rests = Rests(self._loop, self._rested)
        self._flight: dict[int, Pending] = {}
        """Sent on the present link, by call."""
        self._flight_bytes = 0
        self._next_call = 1

        self._session: ClientSession | None = None
        self._opening: Pending | None = None
        self._deadlines: Deadlines[Pending | Bulk] = Deadlines(self._loop, self._expire)
        self._connection = Connection(self, Addresses(addresses, random), dialer, self._limits)
        self._wake = self._connection.wake
        self._closed = False

        self.applied: Index = 0
        """Answers so far reflect the log up to here."""

    async def run(self) -> None:
        """Keep a link while there is something to say, for ever."""
        await self._connection.run()

    # What callers do.

    @property
    def time(self) -> float:
        """The clock that deadlines are on."""
        return self._loop.time()

    def submit(
        self, body: bytes, level: int, span: float, machine: int, version: int
    ) -> tuple[Pending, asyncio.Future[Result]]:
        """Queue one call with `span` seconds of time; its outcome arrives at the future."""
        loop = self._loop
        answer: asyncio.Future[Result] = loop.create_future()
        call = Pending(body, level, machine, version, loop.time() + span, len(body), answer)
        self._deadlines.add(call)
        self._enqueue(call)
        return call, answer

    def submit_bulk(
        self, bodies: Sequence[bytes], level: int, deadline: float, machine: int, version: int
    ) -> Bulk:
        """Queue many calls that share a deadline; their outcomes arrive together."""
        bulk = Bulk(len(bodies), deadline, self._loop.create_future())
        bulk.calls = [
            Pending(
                body=body,
                level=level,
                machine=machine,
                version=version,
                deadline=deadline,
                size=len(body),
                bulk=bulk,
                position=position,
            )
            for position, body in enumerate(bodies)
        ]
        self._deadlines.add(bulk)
        for call in bulk.calls:
            self._enqueue(call)
        return bulk

    def abandon(self, work: Pending | Bulk) -> None:
        """Nobody waits for it any more. What was sent may still happen; what was not, will not be."""
        self._deadlines.remove(work)
        for call in work.calls if isinstance(work, Bulk) else (work,):
            if call.place is not Place.DONE:
                self._give_up(call)

    def _enqueue(self, call: Pending) -> None:
        if self._closed:
            call.place = Place.SENT  # it never was in a queue
            self._settle(
                call, refusal(Kind.FAILED, "the client is closed, so nothing was sent: open a new one")
            )
            return
        if call.level == COMMAND and call.machine != _SESSIONS and self._wants_session:
            self._commands.append(call)
        else:
            self._plain.append(call)
        self._wake()

    def _queue_of(self, call: Pending) -> deque[Pending]:
        return self._commands if self._sessioned(call) else self._plain

    def _sessioned(self, call: Pending) -> bool:
        return call.level == COMMAND and call.machine != _SESSIONS and self._wants_session

    # Outcomes.

    def _settle(self, call: Pending, result: Result) -> None:
        """The outcome. The call may be queued or resting still; it is passed over there."""
        queued = call.place is _QUEUED
        if call.sequence:
            self._end_sequence(call)
        call.settle(result)
        if call.bulk is None:
            self._deadlines.remove(call)
        elif not call.bulk.missing:
            self._deadlines.remove(call.bulk)
        if queued:
            self._note_gone()

    def _give_up(self, call: Pending) -> None:
        """As `_settle`, for a caller that was cancelled."""
        queued = call.place is Place.QUEUED
        if call.sequence:
            self._end_sequence(call)
        call.answer = call.bulk = None
        call.settle(_NOBODY)
        if queued:
            self._note_gone()

    def _end_sequence(self, call: Pending) -> None:
        # Also when the deadline has passed: it is not sent again, and once the nodes know, a straggler is refused.
        session = self._session
        if session is not None and session.id == call.client_id:
            session.answered(call.sequence)
        call.sequence = call.client_id = 0

    def _expire(self, work: Pending | Bulk) -> None:
        for call in work.calls if isinstance(work, Bulk) else (work,):
            if call.place is not Place.DONE:
                self._settle(call, self._late(call))

    def _late(self, call: Pending) -> Result:
        leader = call.said.leader if call.said else None
        late = f"the deadline passed: {self._why(call)}"
        if call.level != COMMAND:
            return refusal(Kind.FAILED, f"{late}; a query changes nothing, so ask again", leader=leader)
        if call.uncertain or call.place is Place.SENT:
            return refusal(Kind.UNKNOWN, f"{late}; it was sent, so {DOUBT}", leader=leader)
        return refusal(Kind.FAILED, f"{late}; it has not happened and will not, so call again", leader=leader)

    def _why(self, call: Pending) -> str:
        if call.place is Place.SENT:
            before = f"; it had refused before: {call.said.reason}" if call.said else ""
            return f"{self._connection.address} has not answered{before}"
        for asked in (call, self._opening):
            if asked is not None and asked.said is not None:
                return asked.said.reason
        return (
            f"{self._connection.address} is busy with earlier calls"
            if self._connection.up
            else self._connection.trouble
        )

    def _note_gone(self) -> None:
        # A client whose cluster is away must not grow with every call that times out.
        self._gone_queued += 1
        if self._gone_queued > 64 and self._gone_queued * 2 > len(self._commands) + len(self._plain):
            for queue in (self._commands, self._plain):
                kept = [call for call in queue if call.place is Place.QUEUED]
                queue.clear()
                queue.extend(kept)
            self._gone_queued = 0

    # Sending.

    def needed(self) -> bool:
        """See `Talker.needed`."""
        return any(call.place is Place.QUEUED for queue in (self._commands, self._plain) for call in queue)

    def frame(self, *, ping: bool) -> bytes | None:
        """See `Talker.frame`: what waits, as far as the window has room for it."""
        limits = self._limits
        if self._commands and self._session is None and self._opening is None:
            self._open_session()
        room = limits.window_calls - len(self._flight)
        size = min(limits.frame_bytes, limits.window_bytes - self._flight_bytes)
        commands: list[Pending] = []
        queries: list[Pending] = []
        size = self._take_plain(commands, queries, room, size)
        rows = [(0, 0, 0, call.machine, call.version, call.body) for call in commands]
        size = self._take_commands(commands, rows, room - len(commands) - len(queries), size)
        first = self._next_call
        if commands or queries:
            self._note_sent(commands, queries)
        elif not ping:
            return None
        return encode_client_frame(
            ClientFrame(
                group=self._group,
                cluster_id=self._cluster_id,
                first_call=first,
                commands=encode_rows(rows),
                queries=encode_rows([(q.level, q.machine, q.version, q.body) for q in queries]),
            )
        )

    def _take_plain(self, commands: list[Pending], queries: list[Pending], room: int, size: int) -> int:
        queue = self._plain
        while queue and room > 0 and size > 0:
            call = queue.popleft()
            if call.place is not Place.QUEUED:
                self._gone_queued -= 1
                continue
            (commands if call.level == COMMAND else queries).append(call)
            room -= 1
            size -= call.size
        return size

    def _take_commands(
        self, taken: list[Pending], rows: list[tuple[int, int, int, int, int, bytes]], room: int, size: int
    ) -> int:
        session, queue = self._session, self._commands
        if session is None:
            return size
        id, below, spare = session.id, session.answered_below, self._limits.spread - session.spread
        while queue and room > 0 and size > 0:
            call = queue[0]
            if call.place is not _QUEUED:
                queue.popleft()
                self._gone_queued -= 1
                continue
            if call.client_id != id:
                if call.uncertain:  # of a session that is gone, and its answer with it
                    self._settle(call, _EXPIRED)
                    continue
                if spare <= 0:
                    break
                spare -= 1
                call.client_id = id
                call.sequence = session.take()
            queue.popleft()
            taken.append(call)
            rows.append((id, call.sequence, below, call.machine, call.version, call.body))
            room -= 1
            size -= call.size
        return size

    def _note_sent(self, commands: Sequence[Pending], queries: Sequence[Pending]) -> None:
        if not self._flight:
            self._connection.asked()
        number = self._next_call
        sent, size = Place.SENT, 0
        for calls in (commands, queries):
            self._flight.update(enumerate(calls, number))
            number += len(calls)
            for call in calls:
                call.place = sent
                size += call.size
        self._next_call = number
        self._flight_bytes += size

    # Receiving.

    @property
    def unanswered(self) -> bool:
        """See `Talker.unanswered`."""
        return bool(self._flight)

    def may_leave(self) -> bool:
        """See `Talker.may_leave`."""
        return all(call.place is Place.DONE or self._may_repeat(call) for call in self._flight.values())

    def answers(self, frame: bytes) -> None:
        """See `Talker.answers`."""
        outer = decode_node_frame(frame)
        if (
            not self._cluster_id
        ):  # from now on it speaks to this cluster only: its session means nothing to another
            self._cluster_id = outer.cluster_id
        take, settle, done, ok = self._flight.pop, self._settle, Place.DONE, Kind.OK
        worked, size = False, 0
        for first, results in decode_runs(outer.replies):
            for number, result in enumerate(results, first):
                call = take(number, None)
                if call is None:  # a repeated answer
                    continue
                size += call.size
                if call.place is done:  # too late
                    continue
                if result.kind is ok or result.kind < Kind.SESSION_EXPIRED:
                    worked = True
                    settle(call, result)
                else:
                    self._consider(call, result)
        self._flight_bytes -= size
        if worked:
            self._connection.worked()
        if outer.applied > self.applied:
            self.applied = outer.applied
        if self._follows and outer.leader not in ("", self._connection.address):
            if self._connection.reachable(outer.leader):
                self._connection.leave_for(outer.leader)

    def _consider(self, call: Pending, result: Result) -> None:
        """An answer that may not be the outcome yet."""
        match result.kind:
            case Kind.OK | Kind.ERROR | Kind.FAULT | Kind.BAD_COMMAND | Kind.SKIPPED | Kind.OUT_OF_ORDER:
                self._settle(call, result)
            case Kind.SESSION_EXPIRED | Kind.ANSWER_GONE:
                self._lost_in_session(call, result)
            case Kind.FAILED:
                self._refused(call, result)
            case Kind.UNKNOWN:
                self._left_open(call, result)

    def _lost_in_session(self, call: Pending, result: Result) -> None:
        """The session table no longer knows. The first try of all was not applied then, a later one says nothing."""
        if result.kind is Kind.SESSION_EXPIRED and self._session and self._session.id == call.client_id:
            self._session = None
        if call.uncertain or not call.client_id:
            self._settle(call, result)
            return
        self._end_sequence(call)
        call.said = Refusal("its session had expired before it arrived")
        self._rest(call, 0.0)

    def _refused(self, call: Pending, result: Result) -> None:
        said = _read_refusal(result.body)
        follow = said.leader is not None and said.leader != self._connection.address
        if not (said.retry_after or follow or call.uncertain):
            self._settle(call, result)
            return
        self._again(call, said)

    def _left_open(self, call: Pending, result: Result) -> None:
        """It may have happened: asked again under its sequence, the session table says what became of it."""
        if not self._may_repeat(call):
            self._settle(call, result)
            return
        call.uncertain = call.level == COMMAND and call.sequence > 0
        self._again(call, _read_refusal(result.body))

    def _again(self, call: Pending, said: Refusal) -> None:
        """Send it once more: to the named leader at once, else after a rest."""
        call.said = said
        if self._note_refusal(said):
            call.place = Place.QUEUED
            self._queue_of(call).append(call)
        else:
            self._rest(call, said.retry_after / 1_000_000)

    def _note_refusal(self, said: Refusal) -> bool:
        """Whether it names another node, which is then gone to."""
        self._connection.refused()
        if said.leader is None or said.leader == self._connection.address or not self._follows:
            return False
        self._connection.leave_for(said.leader)
        return True

    def _may_repeat(self, call: Pending) -> bool:
        """Whether sending it again cannot make it happen twice; a second empty session hurts nobody."""
        return call.level != COMMAND or call.sequence > 0 or call.arrived is not None

    def lost(self) -> None:
        """See `Talker.lost`: nobody knows what arrived."""
        flight, self._flight, self._flight_bytes = self._flight, {}, 0
        again: list[Pending] = []
        for call in flight.values():
            if call.place is Place.DONE:
                continue
            if not self._may_repeat(call):
                said = f"{self._connection.trouble} before the answer came: {DOUBT}"
                self._settle(call, refusal(Kind.UNKNOWN, said))
                continue
            call.uncertain = call.level == COMMAND and call.sequence > 0
            call.place = Place.QUEUED
            again.append(call)
        for call in reversed(again):
            self._queue_of(call).appendleft(call)

    def _rest(self, call: Pending, span: float) -> None:
        """Queue it again after `span` seconds or, if the node gave no advice, after longer and longer."""
        call.tries += 1
        span = max(span, min(_FIRST_REST * 2 ** min(call.tries, 10), _LONGEST_REST))
        self._rests.add(call, span * (0.75 + self._random.random() / 2))

    def _rested(self, calls: Sequence[Pending]) -> None:
        for call in calls:
            call.place = Place.QUEUED
            self._queue_of(call).append(call)
        self._connection.wake()

    # The session.

    def _open_session(self) -> None:
        self._opening = call = self._own(encode_call(Sessions.open, self._ordered()), 0.0)
        call.arrived = self._opened
        self._plain.appendleft(call)

    def _own(self, body: bytes, deadline: float) -> Pending:
        """A command to the session table."""
        return Pending(
            body=body,
            level=COMMAND,
            machine=_SESSIONS,
            version=Sessions.version,
            deadline=deadline,
            size=len(body),
        )

    def _ordered(self) -> bool:
        return False

    def _opened(self, result: Result) -> None:
        self._opening = None
        if result.kind is Kind.OK:
            self._session = ClientSession(msgspec.msgpack.decode(result.body, type=int))
            self._connection.wake()
            return
        if self._closed:
            return
        # For a reason that will not go away, such as a cluster with another id.
        for call in list(self._commands):
            if call.place is Place.QUEUED:
                self._settle(call, _EXPIRED if call.uncertain else Result(Kind.FAILED, _why_not(result)))

    # The end.

    async def close(self, patience: float = 0.5) -> None:
        """Give every open call its outcome, then close the session if a node can be asked within `patience` seconds."""
        if self._closed:
            return
        self._closed = True
        self._settle_all()
        session, self._session = self._session, None
        if session is not None and self._connection.up:
            call = self._own(encode_call(Sessions.close, session.id), self.time + patience)
            call.answer = self._loop.create_future()
            self._deadlines.add(call)
            self._plain.append(call)
            self._connection.wake()
            await call.answer
        self._deadlines.stop()

    def _settle_all(self) -> None:
        why = "the client was closed"
        calls = [*self._flight.values(), *self._commands, *self._plain]
        calls += self._rests.stop()
        for call in calls:
            if call.place is Place.DONE:
                continue
            if call.level == COMMAND and (call.uncertain or call.place is Place.SENT):
                self._settle(call, refusal(Kind.UNKNOWN, f"{why} before the answer came: {DOUBT}"))
            else:
                self._settle(call, refusal(Kind.FAILED, f"{why} first: it has not happened and will not"))


_EXPIRED = Result(Kind.SESSION_EXPIRED)
_NOBODY = refusal(Kind.UNKNOWN, "its caller was cancelled")
_read_refusal = msgspec.msgpack.Decoder(Refusal).decode


def _why_not(result: Result) -> bytes:
    if result.kind in (Kind.BAD_COMMAND, Kind.FAILED, Kind.UNKNOWN):
        return result.body
    said = Refusal(f"no session could be opened: the answer was {result.kind.name}")
    return msgspec.msgpack.encode(said)
