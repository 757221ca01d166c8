"""The real nodes as the benchmarks start them: every write they answer is one that the next read would show."""

import asyncio
import pathlib

import pytest

from bench.cluster import RaftlogNodes
from bench.wire_client import NotOk, WireClient
from bench.workload import KEYS, VALUE

pytestmark = pytest.mark.real


def test_three_nodes_answer_everything_and_stop_cleanly(tmp_path: pathlib.Path) -> None:
    async def load() -> None:
        client = WireClient(nodes.addresses[0])
        await asyncio.gather(*(client.put(key, VALUE) for key in KEYS[:100]))
        await client.put_many([(key, VALUE) for key in KEYS[:100]])
        with pytest.raises(NotOk):
            await client.put("k" * 2000, VALUE)
        await client.close()

    with RaftlogNodes(tmp_path) as nodes:
        assert list(nodes.processes) == ["leader", "follower-1", "follower-2"]
        with asyncio.Runner() as runner:
            runner.run(load())
        nodes.stop()
