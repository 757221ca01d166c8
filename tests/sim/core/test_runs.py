"""Whole runs of the core tier: they pass, they repeat, and they show what they were made for."""

import os
import subprocess
import sys
from collections.abc import Iterable

import msgspec
import pytest

from jepsen_like.sim.core import run
from jepsen_like.sim.core.wires import Wires
from jepsen_like.sim.coverage import merge
from jepsen_like.sim.faults import Damage, Partition, Pause, Stop, Wipe
from jepsen_like.sim.happening import Happening
from jepsen_like.sim.links import Link
from jepsen_like.sim.plan import Plan, Snapshotting
from jepsen_like.sim.swarm import draw
from jepsen_like.sim.verdict import Run
from raftlog.testing.network import Weather

SEEDS = 48
BATCHES = 4
SPAN = 15_000_000
REPLAY = "python -m jepsen_like sim --tier core --first-seed {seed} --seeds 1"


def passing(seed: int) -> Run:
    """The run of a seed; a failure names the line that replays it."""
    ended = run(draw(seed, "core", span=SPAN))
    assert ended.outcome == "passed", (
        f"seed {seed} {ended.outcome}: {ended.oracle}: {ended.problem}\nreplay it with: {REPLAY.format(seed=seed)}"
    )
    return ended


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_run_passes_and_shows_something(batch: int) -> None:
    runs = [passing(seed) for seed in range(1 + batch, 1 + SEEDS, BATCHES)]
    counts = merge(ended.coverage for ended in runs)
    seconds = sum(ended.span for ended in runs) / 1_000_000
    assert sum(ended.acknowledged for ended in runs) >= 5 * seconds, "hardly anything was acknowledged"
    for name in (
        "event/leader-change",
        "event/restart",
        "event/retry",
        "event/read",
        "event/cas",
        "event/log-compacted",
        "event/snapshot-taken",
        "fault/crash",
    ):
        assert counts.get(name, 0) > 0, f"{name} never happened in {len(runs)} runs"


def test_watching_changes_nothing() -> None:
    for seed in (2, 6, 9):
        plan = draw(seed, "core", span=SPAN)
        seen: list[Happening] = []
        assert run(plan, watch=seen.append) == run(plan)
        assert {happening.kind for happening in seen} >= {
            "send",
            "arrive",
            "role",
            "disk",
            "commit",
            "ok",
            "heal",
        }


def test_a_watched_message_keeps_its_number() -> None:
    seen: list[Happening] = []
    run(draw(6, "core", span=SPAN), watch=seen.append)
    sent = {happening.flight for happening in seen if happening.kind == "send"} - {0}
    landed = [
        happening.flight for happening in seen if happening.kind in ("arrive", "lost") and happening.flight
    ]
    assert len(landed) == len(set(landed)), "one copy of a message arrives twice"
    assert set(landed) <= sent
    assert len(landed) > 0.9 * len(sent)


SCRIPT = """
import hashlib, msgspec
from jepsen_like.sim.core import run
from jepsen_like.sim.swarm import draw
for seed in range(1, 7):
    ended = run(draw(seed, "core", span=8_000_000), watch={watch})
    print(ended.trace, hashlib.sha256(msgspec.json.encode(ended)).hexdigest())
"""


def test_two_processes_under_different_hash_seeds_agree() -> None:
    outputs = []
    for hash_seed, watch in (("1", "None"), ("4242", "lambda happening: None")):
        outputs.append(
            subprocess.run(
                [sys.executable, "-c", SCRIPT.format(watch=watch)],
                env=os.environ | {"PYTHONHASHSEED": hash_seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    assert outputs[0] == outputs[1]
    assert len(set(outputs[0].split())) == 12, "different seeds must be different runs"


def test_a_run_in_which_nothing_is_acknowledged_is_invalid() -> None:
    nobody = Partition(at=0, sides=(("n1",), ("n2",), ("n3",)), span=3_000_000)
    ended = run(Plan(seed=1, tier="core", span=3_000_000, faults=(nobody,)))
    assert (ended.outcome, ended.leader_changes) == ("invalid", 0)
    assert "no operation was acknowledged" in ended.problem


def test_a_partition_that_leaks_makes_the_run_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaks(self: Wires, links: Iterable[Link]) -> None:
        real(self, [link for link in links if link != ("n1", "n2")])

    real = Wires.cut
    monkeypatch.setattr(Wires, "cut", leaks)
    monkeypatch.setattr(Wires, "mend", lambda self, links: None)
    apart = Partition(at=2_000_000, sides=(("n1",), ("n2", "n3")), span=3_000_000)
    ended = run(Plan(seed=1, tier="core", span=6_000_000, faults=(apart,)))
    assert ended.outcome == "invalid"
    assert "n1 -> n2, which is cut" in ended.problem


def test_faults_of_the_other_tier_are_skipped_and_counted() -> None:
    ended = run(Plan(seed=1, tier="core", span=3_000_000, faults=(Stop(at=1, nodes=("n1",), down=5),)))
    assert (ended.outcome, ended.skipped, ended.faults) == ("passed", {"stop": 1}, {})


def test_who_was_away_for_long_is_given_a_snapshot() -> None:
    away = Partition(at=2_000_000, sides=(("n1", "n2"), ("n3",)), span=4_000_000)
    often = Snapshotting(entries=5, keep=3, most=20)
    ended = run(Plan(seed=1, tier="core", span=9_000_000, snapshot=often, faults=(away,)))
    assert ended.outcome == "passed", ended.problem
    assert ended.coverage["event/snapshot-installed"] >= 1
    assert ended.coverage["role/follower/offer"] >= 1
    never = run(Plan(seed=1, tier="core", span=9_000_000, faults=(away,)))
    assert "event/snapshot-taken" not in never.coverage


def test_damage_makes_a_node_impaired_until_it_has_all_again() -> None:
    strikes = tuple(
        Damage(at=at * 1_000_000, node=f"n{at}", how="flip", place=0.3, down=200_000) for at in (2, 3)
    )
    ended = run(Plan(seed=2, tier="core", span=9_000_000, faults=strikes))
    assert ended.outcome == "passed", ended.problem
    # The second would have left no majority of whole disks.
    assert ended.faults["damage"] + ended.skipped.get("damage", 0) == 2
    assert ended.coverage["event/impaired-healed"] >= 1


def test_the_atlas_keeps_a_majority_of_the_disks() -> None:
    wipes = tuple(Wipe(at=at * 1_000_000, node=f"n{at}", down=1) for at in (1, 2, 3))
    ended = run(Plan(seed=1, tier="core", span=5_000_000, faults=wipes))
    assert (ended.outcome, ended.faults, ended.skipped) == ("passed", {"wipe": 1}, {"wipe": 2})


def test_quiet_is_the_time_without_a_fault_in_calm_weather() -> None:
    faults = (
        Pause(at=1_000_000, nodes=("n1",), span=1_000_000),
        Pause(at=1_500_000, nodes=("n2",), span=1_000_000),
        Pause(at=4_000_000, nodes=("n3",), span=9_000_000),
    )
    plan = Plan(seed=1, tier="core", span=5_000_000, faults=faults)
    assert run(plan).quiet == 1_000_000 + 1_500_000
    assert run(msgspec.structs.replace(plan, weather=Weather(loss=0.01))).quiet == 0
