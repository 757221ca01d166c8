"""When snapshots are made and by whom, what becomes of those that fail, and when an idle group lets its log go."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from raftlog.core.entry import Command
from raftlog.core.ids import META_GROUP, EntryId, GroupId, Index
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind, Result
from raftlog.node import Node
from raftlog.node.retention import Retention
from raftlog.replay import ReplayFailed
from raftlog.storage.snapshots import Manifest
from raftlog.storage.snapshots.manifest import Part
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.node.test_snapshots import add
from tests.simulation.tally import Tally
from tests.simulation.world import Host, World

SMALL = Retention(entries=50, keep_entries=20)


class Gated:
    """A `Replays` that waits until it is told what becomes of the snapshot; it keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Index] = []
        self.urgent: list[bool] = []
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.ended = 0

    async def make(self, **job: Any) -> Manifest:
        """See `Replays.make`."""
        self.asked.append(job["meta"].last.index)
        self.urgent.append(job["urgent"])
        try:
            reason = await self.told.get()
        except asyncio.CancelledError:
            self.ended += 1
            raise
        if reason:
            raise ReplayFailed(reason)
        return Manifest(
            id=job["id"],
            cluster=job["cluster"],
            group=job["group"],
            meta=job["meta"],
            digest=4711,
            parts=(Part(1, 1),),
        )

    def close(self) -> None:
        """See `Replays.close`."""


async def alone(replays: Gated | None, retention: Retention = SMALL, seed: int = 1) -> World:
    """A cluster of one node, which leads."""
    world = World(seed, machine=Tally, weather=Weather(), nodes=1, retention=retention, replays=replays)
    await world.start()
    await asyncio.sleep(4)
    return world


def snapshots(host: Host) -> list[EntryId]:
    assert host.node is not None
    return [each.meta.last for each in host.node.wal.snapshots.all(META_GROUP)]


def test_s19_what_falls_due_while_one_is_made_is_made_next() -> None:
    async def story() -> None:
        replays = Gated()
        world = await alone(replays)
        (host,) = world.hosts
        await add(world, 60)
        assert len(replays.asked) == 1
        await add(world, 300)
        assert len(replays.asked) == 1, "two at once"
        replays.told.put_nowait("the process died")
        await asyncio.sleep(11)  # nothing else happens meanwhile: no entry calls it back to mind
        assert replays.asked[1:] == [world_applied(host)]
        replays.told.put_nowait("and again")
        await asyncio.sleep(11)
        assert snapshots(host)[-1].index == world_applied(host), (
            "after two failures the state in use is captured"
        )
        assert len(replays.asked) == 2
        await world.stop()

    run(story(), seed=1)


def test_one_that_was_overtaken_by_the_log_makes_the_next_urgent() -> None:
    async def story() -> None:
        replays = Gated()
        world = await alone(replays)
        await add(world, 60)
        await add(world, 100)
        replays.told.put_nowait("too late")
        await asyncio.sleep(11)
        assert replays.urgent == [False, True]
        await world.stop()

    run(story(), seed=8)


def world_applied(host: Host) -> Index:
    assert host.node is not None
    return host.node.status().applied


def test_s19_one_that_the_log_outruns_is_ended_and_the_state_captured() -> None:
    async def story() -> None:
        replays = Gated()
        world = await alone(replays)
        (host,) = world.hosts
        await add(world, 60)
        await add(world, 7 * SMALL.entries)
        assert replays.ended == 0, "too soon"
        await add(world, SMALL.entries)
        await asyncio.sleep(11)
        assert replays.ended == 1
        assert snapshots(host)[-1].index == world_applied(host)
        assert len(replays.asked) == 1, "the same again would be outrun again"
        await world.stop()

    run(story(), seed=11)


def test_after_one_by_capture_replay_is_tried_again() -> None:
    async def story() -> None:
        replays = Gated()
        world = await alone(replays)
        for reason in ("one", "two"):
            replays.told.put_nowait(reason)
        await add(world, 60)
        await asyncio.sleep(25)
        assert len(snapshots(world.hosts[0])) == 1
        await add(world, 60)
        assert len(replays.asked) == 3
        await world.stop()

    run(story(), seed=2)


def test_i13_another_digest_is_told_loudly_and_nothing_captured_instead() -> None:
    async def story() -> None:
        replays = Gated()
        world = await alone(replays)
        (host,) = world.hosts
        replays.told.put_nowait("")
        await add(world, 60)
        await asyncio.sleep(1)
        assert host.node is not None
        (impairment,) = host.node.impairments
        assert "ANOTHER STATE" in impairment
        assert f"{4711:016x}" in impairment
        assert any("ANOTHER STATE" in line for line in world.log)
        await add(world, 200)
        await asyncio.sleep(60)
        assert snapshots(host) == []
        assert len(replays.asked) == 1, "the same again at once helps nobody"
        await world.stop()

    run(story(), seed=3)


def test_a_node_stops_while_a_snapshot_is_being_made() -> None:
    async def story() -> None:
        replays = Gated()
        world = await alone(replays)
        await add(world, 60)
        assert replays.asked
        async with asyncio.timeout(5):
            await world.stop()

    run(story(), seed=4)


def test_a_machine_that_cannot_be_imported_is_captured() -> None:
    class Local(Tally):
        pass

    async def story() -> None:
        replays = Gated()
        world = World(5, machine=Local, weather=Weather(), nodes=1, retention=SMALL, replays=replays)
        await world.start()
        await asyncio.sleep(4)
        assert any("taken in this process" in line and "inside a function" in line for line in world.log)
        await add(world, 60)
        await asyncio.sleep(1)
        assert len(snapshots(world.hosts[0])) == 1
        assert replays.asked == []
        await world.stop()

    run(story(), seed=5)


def first_of(host: Host) -> Index:
    assert host.node is not None
    return host.node.status().first


def test_an_idle_log_is_let_go_by_age_with_two_snapshots_of_one_state() -> None:
    keep = Retention(age=20_000_000, keep_age=20_000_000)

    async def story() -> None:
        world = await alone(None, keep, seed=6)
        (host,) = world.hosts
        await add(world, 1)
        last = world_applied(host)
        await asyncio.sleep(22)
        assert [each.index for each in snapshots(host)] == [last]
        assert first_of(host) == 1, "with one snapshot the log is kept: it may be damaged"
        await asyncio.sleep(44)
        assert [each.index for each in snapshots(host)] == [last, last]
        assert first_of(host) == last + 1
        before = snapshots(host)
        await asyncio.sleep(110)
        assert snapshots(host) == before, "there is nothing left to do"
        await host.crash()
        await host.start()
        await asyncio.sleep(5)
        await add(world, 1)
        assert world_applied(host) > last
        await world.stop()

    run(story(), seed=6)


def test_a_group_with_a_single_entry_does_not_pin_the_segments_of_a_busy_one() -> None:
    idle = GroupId(1)
    keep = Retention(entries=50, age=20_000_000, keep_entries=10, keep_age=20_000_000)

    async def story() -> None:
        world = World(9, machine=Tally, weather=Weather(), nodes=1, retention=keep, groups=(META_GROUP, idle))
        await world.start()
        await asyncio.sleep(4)
        (host,) = world.hosts
        assert host.node is not None
        wal = host.node.wal
        await put_one(host.node, idle)
        await add(world, 400, size=1000)
        assert wal.pinning == (idle,)
        assert wal.size > 400_000, "nothing would be freed: no test"
        await asyncio.sleep(22)
        await asyncio.sleep(22)
        await add(world, 120, size=1000)
        await asyncio.sleep(1)
        assert wal.size < 300_000, f"{wal.size} bytes, for {wal.pinning}"
        await host.crash()
        await host.start()
        await asyncio.sleep(5)
        assert host.node is not None
        assert host.node.status(idle).applied == host.node.status(idle).last
        await world.stop()

    run(story(), seed=9)


async def put_one(node: Node, group: GroupId) -> None:
    answer: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
    command = Command(0, 0, 0, 1, 1, encode_call(Tally.add, "x", 1))
    node.submit(group, [command], answer.set_result)
    assert (await answer)[0].kind is Kind.OK


def test_too_long_a_log_makes_an_idle_group_let_go_before_its_time() -> None:
    idle = GroupId(1)
    keep = Retention(entries=50, keep_entries=10, most_bytes=300_000)

    async def story() -> None:
        world = World(
            10, machine=Tally, weather=Weather(), nodes=1, retention=keep, groups=(META_GROUP, idle)
        )
        await world.start()
        await asyncio.sleep(4)
        (host,) = world.hosts
        assert host.node is not None
        await put_one(host.node, idle)
        await add(world, 400, size=1000)
        assert host.node.wal.size > keep.most_bytes, "nothing hurries: no test"
        await asyncio.sleep(130)  # two snapshots a minute apart, far from the hour of age
        await add(world, 60, size=1000)
        await asyncio.sleep(1)
        assert host.node.wal.size < keep.most_bytes
        await world.stop()

    run(story(), seed=10)


def test_young_entries_stay_for_those_who_were_away() -> None:
    keep = Retention(entries=50, keep_entries=1000, keep_age=60_000_000)

    async def story() -> None:
        world = await alone(None, keep, seed=7)
        (host,) = world.hosts
        await add(world, 120)
        await asyncio.sleep(1)
        assert len(snapshots(host)) == 2
        assert first_of(host) == 1
        old = world_applied(host)
        await asyncio.sleep(62)
        await add(world, 55)
        await asyncio.sleep(1)
        newest = snapshots(host)
        assert first_of(host) == newest[0].index + 1, "older than a minute, and two snapshots stand for it"
        assert newest[0].index <= old
        await world.stop()

    run(story(), seed=7)


@pytest.mark.parametrize("field", ["keep_age", "keep_entries", "keep_bytes"])
def test_a_retention_is_never_negative(field: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        Retention(**{field: -1})
