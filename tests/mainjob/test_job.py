"""The whole story on a store of dictionaries, in virtual time: the verdict is good, and bad where it should be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from raftlog.machine.calls import CallFailed, CallUnknown
from raftlog.machine.result import Refusal
from raftlog.mainjob.corpus import Corpus, Record
from raftlog.mainjob.job import Job, Plan
from raftlog.mainjob.nodes import View
from raftlog.mainjob.scene import Scene
from raftlog.mainjob.summary import Summary
from raftlog.testing.clock import SimClock
from raftlog.testing.loop import SimLoop, run

KEYS = 6_000
NAMES = ("n1", "n2", "n3")


class Dictionaries:
    """Three nodes that agree by sharing a process, and what a test wants to be wrong with them.

    A killed leader is followed by another after a second; calls in between fail.
    """

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, bytes]] = {name: {} for name in NAMES}
        self.up = set(NAMES)
        self.leader = "n1"
        self.term = 4
        self.forget: str | None = None
        """A key that n2 does not keep."""
        self.garble: str | None = None
        """A key that n3 keeps wrongly."""
        self.doubtful: dict[str, bool] = {}
        """Keys whose outcome is unknown, and whether they happen."""
        self.same_leader_again = False
        self.said: list[str] = []

    @property
    def addresses(self) -> dict[str, str]:
        return {name: f"{name}:1" for name in NAMES}

    async def views(self) -> dict[str, View]:
        await asyncio.sleep(0.001)
        count = len(self.kept["n1"])
        return {
            name: View(name == self.leader, self.term, count, count, count)
            for name in NAMES
            if name in self.up
        }

    def kill(self, name: str) -> int:
        assert name == self.leader
        self.up.remove(name)
        self.leader = ""
        asyncio.get_running_loop().call_later(1.0, self._elect)
        return 77

    def _elect(self) -> None:
        self.leader = "n2"
        self.term += 0 if self.same_leader_again else 1

    async def start(self, name: str) -> None:
        await asyncio.sleep(0.5)
        self.up.add(name)

    @asynccontextmanager
    async def open_store(self, addresses: list[str]) -> AsyncIterator["Session"]:
        yield Session(self, addresses[0].partition(":")[0])


class Session:
    """What a caller sees of the dictionaries."""

    def __init__(self, world: Dictionaries, node: str) -> None:
        self._world = world
        self._node = node

    async def put(self, key: str, value: bytes) -> None:
        world = self._world
        await asyncio.sleep(0.02)
        if not world.leader:
            raise CallFailed("put", Refusal("no leader is known"))
        if world.doubtful.get(key, True):
            for name in NAMES:
                world.kept[name][key] = value
        if key == world.forget:
            del world.kept["n2"][key]
        if key == world.garble:
            world.kept["n3"][key] = b"other"
        if key in world.doubtful:
            raise CallUnknown("put", Refusal("the answer was lost"))

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0.001)
        return self._world.kept[self._node].get(key)


def play(world: Dictionaries, kill_at: float = 0.5) -> Summary:
    """Run the main job on it."""
    records = tuple(Record(f"k{n}", b"%d" % n) for n in range(KEYS))

    async def main() -> Summary:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop), "the test runs in virtual time"
        corpus = Corpus(records, {"stdlib": KEYS}, 1)
        job = Job(
            world,
            world.open_store,
            corpus,
            Scene(world.said.append),
            SimClock(loop, Random(1)),
            Plan(kill_at=kill_at, patience=5.0),
        )
        return await job.run()

    return run(main())


def failing(summary: Summary) -> list[str]:
    """The first words of the conditions that do not hold."""
    return [" ".join(check.what.split()[:2]) for check in summary.checks if not check.holds]


def test_a_healthy_cluster_passes() -> None:
    summary = play(Dictionaries())
    assert failing(summary) == []
    assert (summary.acknowledged, summary.lost, summary.unresolved) == (KEYS, 0, 0)
    assert summary.kill is not None
    assert KEYS // 2 <= summary.kill.acknowledged <= KEYS // 2 + 256
    assert summary.failover is not None
    assert summary.failover.term == summary.kill.term + 1 == 5
    assert 1_000_000 <= summary.failover.silence <= 1_200_000
    assert summary.throughput < summary.throughput_without_failover


@pytest.mark.parametrize("wrong", ["forget", "garble"])
def test_a_lost_or_changed_key_on_one_node_fails_the_run(wrong: str) -> None:
    world = Dictionaries()
    setattr(world, wrong, "k5999")
    summary = play(world)
    assert (failing(summary), summary.lost) == (["nothing acknowledged"], 1)
    assert sum(back.missing + back.different for back in summary.readbacks) == 1


def test_writes_in_doubt_are_resolved_by_what_all_nodes_say() -> None:
    world = Dictionaries()
    world.doubtful = {"k10": True, "k5000": False}
    summary = play(world)
    assert failing(summary) == []
    assert {doubt.key: doubt.happened for doubt in summary.doubts} == {"k10": True, "k5000": False}
    assert summary.acknowledged == KEYS - 2


def test_nodes_that_disagree_about_a_write_in_doubt_leave_it_unresolved() -> None:
    world = Dictionaries()
    world.doubtful, world.forget = {"k10": True}, "k10"
    assert failing(play(world)) == ["every unknown"]


def test_a_kill_too_late_fails_the_run() -> None:
    assert failing(play(Dictionaries(), kill_at=0.8)) == ["leader killed"]


def test_a_new_leader_in_the_same_term_is_never_accepted() -> None:
    world = Dictionaries()
    world.same_leader_again = True
    with pytest.raises(ExceptionGroup) as caught:
        play(world)
    assert caught.group_contains(TimeoutError, match="in vain for another leader")
