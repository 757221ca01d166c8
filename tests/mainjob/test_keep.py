"""A kept cluster outlives the job, serves, and ends with the one command that was printed."""

import asyncio
from pathlib import Path

import pytest

from raftlog.admin import Operator, StatusReply
from raftlog.cluster import ClusterFile, LocalCluster
from raftlog.mainjob.keep import LOG, KeepFailed, instructions, keep

pytestmark = pytest.mark.real


async def answering(directory: Path) -> list[str]:
    """Names of the nodes that answer."""
    found = ClusterFile.read(directory)
    assert found is not None
    async with Operator() as operator:
        answers = await operator.statuses([node.address for node in found.nodes], timeout=1.0)
    return [answer.name for answer in answers.values() if isinstance(answer, StatusReply)]


async def until_nobody_answers(directory: Path) -> None:
    """Wait for the end of a cluster."""
    async with asyncio.timeout(30):
        while await answering(directory):  # noqa: ASYNC110 - other processes give no event
            await asyncio.sleep(0.05)


def test_a_kept_cluster_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    async def story() -> None:
        async with LocalCluster(tmp_path, nodes=3):
            pass
        supervisor = await keep(tmp_path)
        try:
            assert await answering(tmp_path) == ["n1", "n2", "n3"]
            text = instructions(tmp_path, supervisor.pid, "stdlib/abc.py")
            assert f"kv get stdlib/abc.py --dir {tmp_path}" in text
            assert f"kill {supervisor.pid}\n" in text
        finally:
            supervisor.terminate()
            supervisor.wait()
        await until_nobody_answers(tmp_path)

    asyncio.run(story())


def test_a_cluster_that_cannot_start_is_told_of(tmp_path: Path) -> None:
    async def story() -> None:
        (tmp_path / "stray").touch()
        with pytest.raises(KeepFailed, match=LOG):
            await keep(tmp_path)

    asyncio.run(story())
