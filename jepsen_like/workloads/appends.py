"""Transactions that append to lists and read them: strictly serializable, as the lists themselves show."""

from collections.abc import Iterable, Sequence
from random import Random

from jepsen_like.check import History, Value
from jepsen_like.workloads.workload import Judged, Request, judged
from raftlog import Client, encode_call
from statemachines.lists import Append, Lists, Read, Seen


class Appends:
    """See `Workload`. A list is left for a new one after `length` appends, so that reads stay short."""

    machine = "statemachines.lists:Lists"

    def __init__(self, *, keys: int = 5, length: int = 64) -> None:
        self._names = [f"l{number}" for number in range(keys)]
        self._lengths = [0] * keys
        self._length = length
        self._made = keys
        self._elements = 0

    def first(self) -> Iterable[Request]:
        """See `Workload.first`."""
        return ()

    def next(self, random: Random, who: int) -> Request:
        """See `Workload.next`."""
        return Request("txn", [self._action(random) for _ in range(random.randint(1, 4))])

    def _action(self, random: Random) -> list[Value]:
        at = random.randrange(len(self._names))
        if random.random() < 0.5:
            return ["r", self._names[at], None]
        if self._lengths[at] >= self._length:
            self._names[at], self._lengths[at] = f"l{self._made}", 0
            self._made += 1
        self._lengths[at] += 1
        self._elements += 1
        return ["append", self._names[at], self._elements]

    async def perform(self, client: Client, request: Request, who: int) -> Value:
        """See `Workload.perform`."""
        answers = await client.call(Lists.txn, _actions(request.value))
        return [
            ["r", answer.key, list(answer.elements)] if isinstance(answer, Seen) else action
            for action, answer in zip(request.value, answers, strict=True)
        ]

    def command(self, request: Request) -> bytes | None:
        """See `Workload.command`."""
        return encode_call(Lists.txn, _actions(request.value))

    def last(self) -> Iterable[Request]:
        """See `Workload.last`."""
        return [Request("txn", [["r", f"l{number}", None]]) for number in range(self._made)]

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        return [judged("list-append", history)]


def _actions(values: Sequence[Sequence[Value]]) -> tuple[Append | Read, ...]:
    return tuple(Append(key, element) if kind == "append" else Read(key) for kind, key, element in values)
