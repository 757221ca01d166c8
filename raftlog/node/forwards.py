"""Commands a follower has passed to the leader: each at most once, each answered or given up."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from raftlog.core.entry import encode_commands
from raftlog.core.ids import Boot, GroupId, Micros, NodeId, RequestId
from raftlog.machine.result import Kind, Result, refusal
from raftlog.node.calls import Batch, InLog
from raftlog.transport.frames import Forward, ForwardReply

_results = msgspec.msgpack.Decoder(list[Result])
_encode = msgspec.msgpack.Encoder().encode

LOST = refusal(
    Kind.UNKNOWN, "the leader this was passed to did not answer; it may have happened: retry in the session"
)


@dataclass(frozen=True, slots=True)
class _Sent:
    calls: InLog
    size: int
    leader: NodeId
    until: Micros


class Forwards:
    """Forwards under way, oldest first.

    A lost forward, a lost answer and a dead leader look the same from here: the outcome is unknown, and nobody but the
    client, in its session, may try again.
    """

    def __init__(self, boot: Boot, max_bytes: int) -> None:
        self._boot = boot
        self._counter = 0
        self._max_bytes = max_bytes
        self._sent: dict[RequestId, _Sent] = {}
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._sent)

    @property
    def full(self) -> bool:
        """Whether too much is under way already."""
        return self._size >= self._max_bytes

    def make(self, group: GroupId, parts: Sequence[Batch], leader: NodeId, until: Micros) -> Forward:
        """Remember who waits and give the frame to send."""
        self._counter += 1
        id = RequestId(self._boot, self._counter)
        commands = [command for part in parts for command in part.commands]
        size = sum(part.size for part in parts)
        self._sent[id] = _Sent(InLog(0, commands, parts), size, leader, until)
        self._size += size
        return Forward(group, id, encode_commands(commands))

    def unsent(self, id: RequestId, result: Result) -> None:
        """The transport dropped the frame before it left: that certainly did not happen."""
        self._finish(id, result)

    def answered(self, sender: NodeId, reply: ForwardReply) -> None:
        """Hand out the leader's answers; one from an earlier boot, or too late, answers nobody."""
        sent = self._sent.get(reply.id)
        if sent is None or sent.leader != sender:
            return
        try:
            results = _results.decode(reply.replies)
        except (ValueError, RecursionError):
            results = []
        if len(results) == len(sent.calls.commands):
            self._forget(reply.id)
            sent.calls.answer(results)
        else:
            self._finish(reply.id, LOST)

    def give_up(self, now: Micros, leader: NodeId | None) -> None:
        """Nothing more is expected of a leader that was replaced or that has been silent for too long."""
        for id, sent in list(self._sent.items()):
            if sent.leader != leader or sent.until <= now:
                self._finish(id, LOST)

    def abandon(self) -> None:
        """Nothing more is expected at all."""
        for id in list(self._sent):
            self._finish(id, LOST)

    def _finish(self, id: RequestId, result: Result) -> None:
        self._forget(id).calls.answer_all(result)

    def _forget(self, id: RequestId) -> _Sent:
        sent = self._sent.pop(id)
        self._size -= sent.size
        return sent


class Arrivals:
    """Which forwards of each node have been seen: a repeated frame must not be taken again, not even one refused.

    A forward that was refused while nobody led, and whose second copy came late to a leader, would otherwise happen
    after its client was told that it certainly did not. One that was overtaken by a later one is dropped as well; its
    outcome is unknown to the sender, which is the truth.
    """

    _BOOTS = 8

    def __init__(self) -> None:
        self._last: dict[NodeId, dict[Boot, int]] = {}

    def first_time(self, sender: NodeId, id: RequestId) -> bool:
        """Whether this forward may be looked at; says yes once."""
        boots = self._last.setdefault(sender, {})
        if id.counter <= boots.get(id.boot, 0):
            return False
        boots.pop(id.boot, None)
        boots[id.boot] = id.counter
        while len(boots) > self._BOOTS:
            del boots[next(iter(boots))]
        return True


def reply_to(forward: Forward, results: Sequence[Result]) -> ForwardReply:
    """The leader's answer."""
    return ForwardReply(forward.group, forward.id, _encode(results))
