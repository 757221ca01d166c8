"""The store of the main job: the key-value machine, through the client everybody uses."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from raftlog.client import Calls, Client
from raftlog.machine.calls import method_named
from raftlog.machine.typed import Machine
from raftlog.mainjob.store import Store
from raftlog.server import load_machine

MACHINE = "statemachines.kv:KeyValue"
"""Named, not imported: raftlog knows no machine of its own."""


class Replicated:
    """Fulfils `Store` with `put` and `get` of the key-value machine."""

    def __init__(self, client: Calls, machine: type[Machine]) -> None:
        self._client = client
        self._put = method_named(machine, "put")
        self._get = method_named(machine, "get")

    async def put(self, key: str, value: bytes) -> None:
        """See `Store.put`."""
        await self._client.call(self._put, key, value)

    async def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        found: Any = await self._client.call(self._get, key)
        return None if found is None else found.value


@asynccontextmanager
async def open_store(addresses: Sequence[str], *, deadline: float = 30.0) -> AsyncIterator[Store]:
    """The store through the nodes at these addresses, or through one alone; `deadline` in seconds is for each call.

    The session is closed with the block where a node can be asked: after that nothing it sent can happen any more.
    """
    machine = load_machine(MACHINE)
    assert issubclass(machine, Machine), f"{MACHINE} has typed methods"
    # Through one alone means that node: what it hints at is not followed.
    async with Client(addresses, deadline=deadline, follow=len(addresses) > 1) as client:
        yield Replicated(client, machine)
