"""Power failures of the whole cluster: all three processes die at once, under load, again and again."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from raftlog.mainjob.replicated import open_store
from tests.real.cluster import PATIENCE, NodeEnded, cluster, seeded
from tests.real.load import Load, missing

pytestmark = pytest.mark.real

CALLERS = 32
SHORT, FULL = 2, 20


async def first_loss(directory: Path, disk: str, rounds: int, random: Random) -> str | None:
    """Load, kill all, start all, read everything that was ever acknowledged; what was lost first, in words.

    The session outlives the rounds: calls under way when everything dies are retried and get their outcome.
    """
    acknowledged: dict[str, bytes] = {}
    async with cluster(directory, disk) as nodes, open_store(nodes.addresses) as store:
        for number in range(1, rounds + 1):
            load = Load(store, lambda n: random.randbytes(random.randrange(200)), lambda n: f"r{number}-{n}")  # noqa: B023
            doomed = random.randrange(20, 2_000)
            running = asyncio.create_task(load.run(CALLERS))
            try:
                async with asyncio.timeout(PATIENCE):
                    await load.reached(doomed)
                nodes.kill(*random.sample(sorted(nodes.nodes), 3))
                load.stop()
                nodes.start()
                await nodes.leader()
                async with asyncio.timeout(2 * PATIENCE):
                    await running
            except NodeEnded as end:
                return f"round {number}: {end}"
            finally:
                running.cancel()
            assert load.acknowledged, f"round {number} promised nothing, so it shows nothing"
            acknowledged |= load.acknowledged
            async with asyncio.timeout(2 * PATIENCE):
                if lost := await missing(store, acknowledged):
                    return f"round {number}: {len(lost)} of {len(acknowledged)} acknowledged writes are gone"
        await nodes.caught_up()
    return None


@pytest.mark.parametrize("disk", ["local", "volatile"])
def test_every_acknowledged_write_survives_the_death_of_all_processes(disk: str, tmp_path: Path) -> None:
    assert asyncio.run(first_loss(tmp_path, disk, SHORT, seeded())) is None


@pytest.mark.accept
@pytest.mark.parametrize("disk", ["local", "volatile"])
def test_twenty_rounds(disk: str, tmp_path: Path) -> None:
    assert asyncio.run(first_loss(tmp_path, disk, FULL, seeded())) is None


def test_with_syncing_taken_out_the_same_rounds_fail_within_three(tmp_path: Path) -> None:
    """So the rounds above do show something: the disk really loses what was not synced, and the test sees it."""
    assert asyncio.run(first_loss(tmp_path, "unsynced", 3, seeded())) is not None
