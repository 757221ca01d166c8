"""A node that hears no majority answers no linearizable read, accepts no write, and says why."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from raftlog.machine.calls import CallError, CallFailed, CallUnknown
from raftlog.mainjob.replicated import open_store
from tests.real.cluster import NAMES, PATIENCE, cluster

pytestmark = pytest.mark.real

REASON = "a majority of the nodes cannot be reached"


async def refusal(ask: Callable[[], Awaitable[object]]) -> None:
    """Until it is definite and says why: a deadline that comes in the midst of one of many tries leaves it open."""
    said: CallError | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            while not (isinstance(said, CallFailed) and REASON in str(said)):
                with pytest.raises(CallError) as error:
                    await ask()
                said = error.value
    except TimeoutError:
        raise AssertionError(f"asked for {PATIENCE} s, and it never said {REASON!r}, but: {said}") from None


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
                    await refusal(lambda: lonely.get("before"))
                    with pytest.raises((CallFailed, CallUnknown)):
                        await lonely.put("during", b"1")
                    # By now it knows that it is cut off, so nothing is proposed any more.
                    await refusal(lambda: lonely.put("after", b"1"))
            await nodes.leader(above=term - 1)
            async with asyncio.timeout(PATIENCE):
                assert await store.get("before") == b"1"
                assert await store.get("after") is None
            await nodes.caught_up()

    asyncio.run(story())
