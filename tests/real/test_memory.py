"""Memory stays bounded behind what does not move: a paused follower, a stalled disk."""

import asyncio
import signal
from pathlib import Path

import pytest

from raftlog.mainjob.replicated import open_store
from tests.real.cluster import NAMES, PATIENCE, Cluster, cluster, seeded
from tests.real.load import Load

pytestmark = pytest.mark.real

MB = 1_000_000
KEYS = 64
"""Written again and again, so that the state machine does not grow."""


class Peak:
    """Watches the resident memory of nodes; `growth` is the most that any of them grew since the start."""

    def __init__(self, nodes: Cluster, *names: str) -> None:
        self._nodes = nodes
        self._before = {name: nodes.nodes[name].rss() for name in names}
        self.growth = 0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(0.1)

    def look(self) -> None:
        """Look once."""
        for name, before in self._before.items():
            self.growth = max(self.growth, self._nodes.nodes[name].rss() - before)


async def paused_follower(directory: Path, seconds: float) -> None:
    """Load a cluster, stop one follower for a while, let it go on."""
    random = seeded()
    async with cluster(directory) as nodes, open_store(nodes.addresses) as store:
        leader, _ = await nodes.leader()
        asleep = random.choice([name for name in NAMES if name != leader])
        load = Load(store, lambda n: random.randbytes(4096), lambda n: f"k{n % KEYS}")
        running = asyncio.create_task(load.run(64))
        # Until the windows that are kept in memory anyway (16 MiB of recent entries) are full.
        async with asyncio.timeout(4 * PATIENCE):
            await load.reached(6_000)
        peak = Peak(nodes, leader)
        watching = asyncio.create_task(peak.watch())
        before = load.calls
        with nodes.paused(asleep):
            # The length of the pause is the test's subject, not a way to wait for something.
            await asyncio.sleep(seconds)
            during = load.calls - before
        # While the load goes on; it has missed as much as the disk and two busy processors took in that time.
        nearly = lambda: behind_by_less_than(nodes, asleep, leader, 50)  # noqa: E731
        await nodes.until(f"{asleep} to catch up", nearly, within=PATIENCE + 3 * seconds)
        load.stop()
        await running
        watching.cancel()
        await nodes.caught_up()
        sent = during * 4096
        print(f"leader grew by {peak.growth / MB:.1f} MB while {sent / MB:.0f} MB were written past {asleep}")  # noqa: T201
        assert sent > 32 * MB, f"only {sent / MB:.1f} MB passed the sleeper: that would show nothing"
        assert peak.growth <= 50 * MB, f"the leader grew by {peak.growth / MB:.1f} MB"


async def behind_by_less_than(nodes: Cluster, name: str, leader: str, entries: int) -> bool:
    """Whether a node has nearly caught up, while load goes on."""
    groups = await nodes.groups(name, leader)
    return len(groups) == 2 and groups[leader].committed - groups[name].applied < entries


def test_a_paused_follower_costs_the_leader_no_memory(tmp_path: Path) -> None:
    asyncio.run(paused_follower(tmp_path, 5.0))


@pytest.mark.accept
def test_a_follower_paused_for_a_minute_costs_the_leader_no_memory(tmp_path: Path) -> None:
    asyncio.run(paused_follower(tmp_path, 60.0))


async def stalled_disk(directory: Path, callers: int, seconds: float) -> None:
    """Many callers with large values while the leader's disk completes nothing."""
    async with cluster(directory, "stalling") as nodes, open_store(nodes.addresses) as store:
        await store.put("k0", bytes(65_536))
        leader, term = await nodes.leader()
        peak = Peak(nodes, *NAMES)
        watching = asyncio.create_task(peak.watch())
        load = Load(store, lambda n: n.to_bytes(4, "big") * 16_384, lambda n: f"k{n % KEYS}")
        nodes.signal(leader, signal.SIGUSR1)
        running = asyncio.create_task(load.run(callers))
        # As long as the stall lasts, which is the test's subject.
        await asyncio.sleep(seconds)
        nodes.signal(leader, signal.SIGUSR2)
        load.stop()
        async with asyncio.timeout(4 * PATIENCE):
            await running
        watching.cancel()
        outcomes = f"{load.kept} ok, {load.refused} failed, {load.doubted} unknown"
        print(f"grew by {peak.growth / MB:.0f} MB; {load.calls} calls: {outcomes}")  # noqa: T201
        assert load.calls == load.kept + load.refused + load.doubted >= callers
        _, now = await nodes.leader()
        assert now > term, "the leader kept its office without a disk"
        await nodes.caught_up()
        assert peak.growth <= 200 * MB, f"a node grew by {peak.growth / MB:.0f} MB"


def test_callers_behind_a_stalled_disk_cost_bounded_memory(tmp_path: Path) -> None:
    asyncio.run(stalled_disk(tmp_path, 512, 3.0))


@pytest.mark.accept
def test_four_thousand_callers_behind_a_stalled_disk_cost_bounded_memory(tmp_path: Path) -> None:
    asyncio.run(stalled_disk(tmp_path, 4096, 10.0))
