"""A node that hears no majority answers no linearizable read, accepts no write, and says why."""

import asyncio
from pathlib import Path

import pytest

from raftlog.machine.calls import CallError, CallFailed, CallUnknown
from raftlog.mainjob.replicated import open_store
from tests.real.cluster import NAMES, PATIENCE, cluster

pytestmark = pytest.mark.real


@pytest.mark.parametrize("alone", ["leader", "follower"])
def test_the_minority_promises_nothing_and_says_why(alone: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as nodes, open_store(nodes.addresses) as store:
            await store.put("before", b"1")
            leader, term = await nodes.leader()
            follower = next(name for name in NAMES if name != leader)
            name = leader if alone == "leader" else follower
            others = tuple(other for other in NAMES if other != name)
            async with open_store([nodes.nodes[name].address], deadline=2.5) as lonely:
                await lonely.put("during", b"0")
                with nodes.paused(*others):
                    with pytest.raises(CallError) as read:
                        await lonely.get("before")
                    with pytest.raises(CallError) as write:
                        await lonely.put("during", b"1")
                    # By now it knows that it is cut off, so nothing is proposed any more: a definite refusal.
                    with pytest.raises(CallFailed) as refused:
                        await lonely.put("after", b"1")
            assert isinstance(write.value, CallFailed | CallUnknown)
            for error in (read, refused):
                assert "a majority of the nodes cannot be reached" in str(error.value), error.value
            await nodes.leader(above=term - 1)
            async with asyncio.timeout(PATIENCE):
                assert await store.get("before") == b"1"
                assert await store.get("after") is None
            await nodes.caught_up()

    asyncio.run(story())
