"""The load through raftlog's real client: session, retries, deadlines, typed calls."""

from collections.abc import Sequence

from raftlog.client import Client
from raftlog.client.outcome import Ok
from statemachines.kv import KeyValue


class ClientLoad:
    """A `Target`. One client of all nodes; whatever is not plain success ends the run."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._client = Client(addresses)
        self._call = self._client.call

    async def open(self) -> None:
        """Connect and open the session."""
        await self._client.__aenter__()

    async def put(self, key: str, value: bytes) -> None:
        """See `Target`."""
        await self._call(KeyValue.put, key, value)

    async def put_many(self, pairs: Sequence[tuple[str, bytes]]) -> None:
        """See `Target`."""
        outcomes = await self._client.call_many(KeyValue.put, pairs)
        assert all(isinstance(outcome, Ok) for outcome in outcomes), outcomes

    async def close(self) -> None:
        """See `Target`."""
        await self._client.__aexit__(None, None, None)
