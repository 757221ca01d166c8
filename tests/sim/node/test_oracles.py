"""The oracles of the node tier fire on planted bugs, each by its name; a nemesis that does nothing is found out."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from jepsen_like.sim.faults import LEADER, Crash, Hang, Kill, Partition, Pause
from jepsen_like.sim.node import Simulation
from jepsen_like.sim.node.callers import Caller
from jepsen_like.sim.node.host import Host
from jepsen_like.sim.node.registers import Registers
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Run
from raftlog import command, query
from raftlog.client import Client
from raftlog.node import Node
from raftlog.testing.loop import SimLoop
from raftlog.testing.network import SimNetwork
from raftlog.testing.platter import Platter
from statemachines.kv import KeyValue, Versioned
from tests.sim.node.scene import AT, SECOND, plan

NAMES = ("n1", "n2", "n3")


def outcome(made: Plan, machine: Callable[[], KeyValue] = KeyValue) -> Run:
    story = Registers(made.workload)
    story.machine = machine
    return Simulation(made, story=story).run()


def test_a_disk_that_only_pretends_to_sync_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Host.settle_disk

    def lie(host: Host) -> None:
        settle(host)
        host.disk.lies_about = lambda name: True

    monkeypatch.setattr(Host, "settle_disk", lie)
    crashes = [Crash(at=AT + step * SECOND, nodes=NAMES, down=300_000) for step in range(3)]
    run = outcome(plan(*crashes, span=8 * SECOND))
    assert (run.outcome, run.oracle) in [("failed", "I11"), ("failed", "I2"), ("failed", "recovery")], (
        run.problem
    )


def test_a_sync_that_recovery_undoes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was called durable is gone after the crash, and the log is whole: only who remembers promises can tell."""
    after_crash = Platter.after_crash
    older: list[dict[str, bytes]] = []

    def back_in_time(platter: Platter, random: Random) -> Platter:
        older.append(after_crash(platter, random).contents())
        return Platter(older[0])

    monkeypatch.setattr(Platter, "after_crash", back_in_time)
    crashes = [Crash(at=AT + step * SECOND, nodes=("n1",), down=300_000) for step in range(2)]
    assert outcome(plan(*crashes)).oracle in ("I11", "I2")


class Divergent(KeyValue):
    """Each replica has a number of its own, and writes depend on it."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Divergent.made += 1
        self._own = Divergent.made

    @command
    def put(self, key: str, value: bytes) -> int:
        self._version += self._own
        return super()._write(key, value)


def test_replicas_that_differ_are_found_out() -> None:
    assert outcome(plan(), Divergent).oracle == "I5"


class Stale(KeyValue):
    """Reads show the value before the last one."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, Versioned] = {}

    @command
    def put(self, key: str, value: bytes) -> int:
        if key in self._items:
            self._before[key] = self._items[key]
        return super()._write(key, value)

    @query
    def get(self, key: str) -> Versioned | None:
        return self._before.get(key)


def test_reads_that_are_not_the_newest_are_found_out() -> None:
    assert outcome(plan(), Stale).oracle in ("client", "linearizable")


class Forgetful(KeyValue):
    """Acknowledges every tenth write and does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    @command
    def put(self, key: str, value: bytes) -> int:
        self._calls += 1
        if self._calls % 10 == 0:
            self._version += 1
            return self._version
        return super()._write(key, value)


def test_a_lost_write_is_found_out() -> None:
    assert outcome(plan(), Forgetful).oracle in ("client", "linearizable")


def test_an_answer_that_never_comes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(story: Registers, caller: Caller, key: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Registers, "_read", never)
    run = outcome(plan())
    assert (run.oracle, "not come to an end" in run.problem) == ("client", True), run.problem


def test_a_call_without_an_outcome_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(client: Client, *call: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Client, "call", never)
    run = outcome(plan())
    assert (run.oracle, "has no outcome" in run.problem) == ("client", True), run.problem


def test_a_cluster_that_does_not_come_back_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimNetwork, "mend", lambda network, origin, target: None)
    split = Partition(at=AT, sides=(("n1",), ("n2",), ("n3",)), span=SECOND)
    assert outcome(plan(split)).oracle == "liveness"


def test_a_node_that_dies_of_a_defect_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(node: Node) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(Node, "_meet_members", broken)
    run = outcome(plan())
    assert (run.oracle, "KeyError" in run.problem) == ("assertion", True)


# -- a nemesis that does nothing


def test_a_partition_that_leaks_makes_the_run_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimNetwork, "cut", lambda network, origin, target: None)
    run = outcome(plan(Partition(at=AT, sides=((LEADER,), NAMES), span=SECOND)))
    assert (run.outcome, "is cut, and a frame arrives" in run.problem) == ("invalid", True)


def test_a_hung_host_that_reads_makes_the_run_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimNetwork, "hang", lambda network, host: None)
    run = outcome(plan(Hang(at=AT, nodes=(LEADER,), span=SECOND)))
    assert (run.outcome, "reads nothing, and a frame arrives" in run.problem) == ("invalid", True)


def test_a_paused_host_that_goes_on_makes_the_run_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimLoop, "pause", lambda loop, host: None)
    run = outcome(plan(Pause(at=AT, nodes=(LEADER,), span=SECOND)))
    assert (run.outcome, "stands still, and sends" in run.problem) == ("invalid", True)


def test_a_kill_that_spares_everybody_leaves_no_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "kill", lambda host: None)
    monkeypatch.setattr("jepsen_like.sim.node.world.World.end", _end)
    run = outcome(plan(Kill(at=AT, nodes=NAMES, down=SECOND)))
    assert run.faults == {"kill": 1}
    assert "event/restart" not in run.coverage, "the gate of restarts would pass"


async def _end(world: object) -> None:
    """Without killing: by losing power."""
    hosts: list[Host] = world.hosts  # type: ignore[attr-defined]
    world.chronicle.close()  # type: ignore[attr-defined]
    for host in hosts:
        host.lose_power()
    for host in hosts:
        await host.buried()
