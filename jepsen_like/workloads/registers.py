"""Registers that are read, written and compared: linearizable, each by itself."""

from collections.abc import Iterable, Sequence
from random import Random

from jepsen_like.check import History, Value
from jepsen_like.workloads.workload import Judged, Request, judged
from raftlog import Client, encode_call
from statemachines.kv import KeyValue, Mismatch


class Registers:
    """See `Workload`. Keys change after `per_key` operations, since a search grows with the length of a history."""

    machine = "statemachines.kv:KeyValue"

    def __init__(self, *, keys: int = 3, per_key: int = 300, prefix: str = "r") -> None:
        """`prefix`: of the keys, all of which must be new to the cluster."""
        self._keys = keys
        self._per_key = per_key
        self._prefix = prefix
        self._asked = 0
        self._values = 0

    def first(self) -> Iterable[Request]:
        """See `Workload.first`."""
        return ()

    def next(self, random: Random, who: int) -> Request:
        """See `Workload.next`."""
        generation = self._asked // (self._keys * self._per_key)
        self._asked += 1
        key = f"{self._prefix}{generation * self._keys + random.randrange(self._keys)}"
        # Some only read: whoever never waits for a write stays with a leader that nobody follows any more.
        weights = (1, 0, 0) if who % 4 == 3 else (5, 3, 2)
        match random.choices(("read", "write", "cas"), weights)[0]:
            case "read":
                return Request("read", key=key)
            case "write":
                self._values += 1
                return Request("write", self._values, key)
            case _:
                self._values += 1
                expected = random.randrange(max(self._values - 8, 0), self._values)
                return Request("cas", [expected, self._values], key)

    async def perform(self, client: Client, request: Request, who: int) -> Value:
        """See `Workload.perform`."""
        match request.f:
            case "read":
                found = await client.call(KeyValue.get, request.key)
                return None if found is None else int(found.value)
            case "write":
                await client.call(KeyValue.put, request.key, _encoded(request.value))
                return request.value
            case _:
                expected, new = request.value
                try:
                    await client.call(
                        KeyValue.compare_and_set, request.key, _encoded(expected), _encoded(new)
                    )
                except Mismatch:
                    return False
                return True

    def command(self, request: Request) -> bytes | None:
        """See `Workload.command`."""
        match request.f:
            case "write":
                return encode_call(KeyValue.put, request.key, _encoded(request.value))
            case "cas":
                expected, new = request.value
                return encode_call(KeyValue.compare_and_set, request.key, _encoded(expected), _encoded(new))
            case _:
                return None

    def last(self) -> Iterable[Request]:
        """See `Workload.last`."""
        last = -(-self._asked // (self._keys * self._per_key)) * self._keys
        return [Request("read", key=f"{self._prefix}{number}") for number in range(last)]

    def judge(self, history: History) -> Sequence[Judged]:
        """See `Workload.judge`."""
        return [judged("kv", history)]


def _encoded(value: int) -> bytes:
    return str(value).encode()
