"""Whole runs on real processes, short ones: a cluster that loses its power passes, one that never syncs is caught."""

from pathlib import Path
from random import Random

import pytest

from jepsen_like.check import Verdict
from jepsen_like.cluster.cluster import Cluster
from jepsen_like.cluster.nemesis import CannotDo, Nemesis
from jepsen_like.cluster.run import run
from jepsen_like.cluster.schedules import SCHEDULES, schedule
from jepsen_like.cluster.trial import Report, Trial
from jepsen_like.sim.faults import Campaign, Crash
from jepsen_like.workloads.names import WORKLOADS
from jepsen_like.workloads.registers import Registers

TRIES = 3


async def _run(directory: Path, disk: str, seed: int) -> Report:
    trial = Trial(
        workload="registers", schedule="power", seed=seed, seconds=21, clients=6, rate=15, disk=disk
    )
    return await run(trial, Registers(keys=3, per_key=400), directory)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_was_acknowledged_survives_a_loss_of_power(tmp_path: Path) -> None:
    report = await _run(tmp_path, "volatile", 1)
    assert report.outcome == "passed", report
    assert any(isinstance(each.fault, Crash) and each.ended for each in report.struck), report.struck


@pytest.mark.accept
@pytest.mark.real
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "broken, workload, schedule",
    [
        ("no-sync", "register", "power"),
        ("unproven-reads", "register", "partition"),
        ("no-session", "list-append", "kill"),
    ],
)
async def test_a_broken_build_is_caught(tmp_path: Path, broken: str, workload: str, schedule: str) -> None:
    outcomes = []
    for seed in range(TRIES):
        trial = Trial(
            workload=workload, schedule=schedule, seed=seed, seconds=30, disk="volatile", broken=broken
        )
        report = await run(trial, WORKLOADS[workload](), tmp_path / str(seed))
        outcomes.append(report.outcome)
        if any(found.verdict is Verdict.INVALID for found in report.judged):
            return
    pytest.fail(f"{TRIES} runs of {broken} ended as {outcomes}")


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_repeat_and_leave_peace_at_both_ends(name: str) -> None:
    nodes = ("n1", "n2", "n3", "n4", "n5")
    faults = schedule(name, Random(7), nodes, 60_000_000)
    assert faults == schedule(name, Random(7), nodes, 60_000_000)
    assert bool(faults) == bool(SCHEDULES[name])
    for fault in faults:
        assert 4_000_000 <= fault.at <= 52_000_000


def test_what_only_a_simulation_can_do_is_refused_at_once(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "statemachines.kv:KeyValue", random=Random(1))
    with pytest.raises(CannotDo, match="campaign"):
        Nemesis(cluster, [Campaign(at=0, node="n1")], print)
    with pytest.raises(CannotDo, match="volatile"):
        Nemesis(cluster, [Crash(at=0, nodes=("n1",), down=1)], print)
