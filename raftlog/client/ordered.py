"""The engine of a pipeline: one ordered session, whose commands are applied in the order they were called, or not."""

import asyncio
from collections.abc import Sequence
from random import Random

import msgspec

from raftlog.client.engine import ANY_CLUSTER, DOUBT, Engine
from raftlog.client.limits import Limits
from raftlog.client.pending import Bulk, Pending, Place
from raftlog.core.ids import ClusterId, GroupId
from raftlog.machine.result import Kind, Refusal, Result, refusal
from raftlog.transport.link import Dialer

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25
_KEEPS_ORDER = (Kind.OK, Kind.ERROR, Kind.FAULT, Kind.BAD_COMMAND)
"""What the session table counts as done: the next sequence may follow."""


class OrderedEngine(Engine):
    """Sends the commands of a pipeline again, in order, when one of them has to be.

    Invariants: while a command is held none is sent; what was sent once is sent again in the order of its sequences and
    before anything new; from the first outcome on that leaves a gap (`broken`), nothing is sent any more.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        dialer: Dialer,
        random: Random,
        *,
        group: GroupId,
        cluster_id: ClusterId = ANY_CLUSTER,
        follow: bool = True,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(
            addresses, dialer, random, group=group, cluster_id=cluster_id, follow=follow, limits=limits
        )
        self._held: list[Pending] = []
        """Refused for now; they go again when everything else on the link is answered."""
        self._pause = _FIRST_PAUSE
        self._release_timer: asyncio.TimerHandle | None = None
        self._broken: str | None = None

    def abandon(self, work: Pending | Bulk) -> None:
        """Nobody waits for it. What has its place in the order is still carried out: later ones come after it."""
        self._deadlines.remove(work)
        for call in work.calls if isinstance(work, Bulk) else (work,):
            if call.place is Place.DONE:
                continue
            if call.sequence:
                call.answer = call.bulk = None
                self._deadlines.add(call)
            else:
                self._give_up(call)

    async def close(self, patience: float = 0.5) -> None:
        """See `Engine.close`."""
        self._broken = self._broken or "the pipeline was closed"
        held, self._held = self._held, []
        for call in held:
            if call.place is not Place.DONE:
                self._settle(call, self._cut_off(call))
        await super().close(patience)
        if self._release_timer is not None:
            self._release_timer.cancel()

    def _ordered(self) -> bool:
        return True

    def _enqueue(self, call: Pending) -> None:
        if self._broken is not None:
            call.place = Place.SENT  # it never was in a queue
            self._settle(call, refusal(Kind.FAILED, self._broken))
        else:
            super()._enqueue(call)

    # A gap.

    def _settle(self, call: Pending, result: Result) -> None:
        ours = self._sessioned(call)
        super()._settle(call, result)
        if ours and result.kind in _KEEPS_ORDER:
            self._pause = _FIRST_PAUSE
        elif ours and self._broken is None:
            self._break()

    def _break(self) -> None:
        self._broken = "an earlier command of the pipeline did not happen for certain, and order comes first"
        held, self._held = self._held, []
        for call in [*held, *self._commands]:
            if call.place is not Place.DONE:
                self._settle(call, self._cut_off(call))

    def _cut_off(self, call: Pending) -> Result:
        if call.uncertain:
            return refusal(Kind.UNKNOWN, f"{self._broken}: {DOUBT}")
        return refusal(Kind.FAILED, f"{self._broken}: this one has not happened and will not")

    def _may_repeat(self, call: Pending) -> bool:
        return super()._may_repeat(call) and (self._broken is None or not self._sessioned(call))

    # Another try, in order.

    def _consider(self, call: Pending, result: Result) -> None:
        if result.kind is Kind.OUT_OF_ORDER:  # the one it waits for was refused, and goes again too
            expected = msgspec.msgpack.decode(result.body, type=int)
            self._again(call, Refusal(f"it came before command {expected} of its pipeline"))
        else:
            super()._consider(call, result)

    def _lost_in_session(self, call: Pending, result: Result) -> None:
        if not call.uncertain:
            said = (
                "the pipeline's session is gone: it has not happened and will not, so begin another pipeline"
            )
            result = refusal(Kind.FAILED, said)
        self._settle(call, result)

    def _again(self, call: Pending, said: Refusal) -> None:
        if not self._sessioned(call):
            super()._again(call, said)
        elif self._broken is not None:
            self._settle(call, self._cut_off(call))
        else:
            call.said = said
            call.place = Place.RESTING
            self._held.append(call)
            if not self._note_refusal(said):
                self._pause = max(self._pause, said.retry_after / 1_000_000)

    def answers(self, frame: bytes) -> None:
        """See `Talker.answers`."""
        super().answers(frame)
        self._release_later()

    def lost(self) -> None:
        """See `Talker.lost`."""
        super().lost()
        self._release_later()

    def _take_commands(
        self, taken: list[Pending], rows: list[tuple[int, int, int, int, int, bytes]], room: int, size: int
    ) -> int:
        return size if self._held else super()._take_commands(taken, rows, room, size)

    def _release_later(self) -> None:
        if self._held and not self._flight and self._release_timer is None:
            pause = 0.0 if self._connection.leaving else self._pause * (0.75 + self._random.random() / 2)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._release_timer = self._loop.call_later(pause, self._release)

    def _release(self) -> None:
        self._release_timer = None
        held, self._held = self._held, []
        queued = [call for call in self._commands if call.place is Place.QUEUED]
        self._commands.clear()
        self._gone_queued = 0
        again = [call for call in held if call.place is Place.RESTING]
        for call in again:
            call.place = Place.QUEUED
        # Those without a sequence were never sent: they follow, as they were called.
        self._commands.extend(sorted([*again, *queued], key=lambda call: call.sequence or _NEVER_SENT))
        self._connection.wake()


_NEVER_SENT = 1 << 64
