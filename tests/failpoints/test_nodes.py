"""Crashes, errors and delays at every failpoint of a node, on three busy ones: nobody is told what does not hold.

Run one with: make test ARGS="tests/failpoints/test_nodes.py -k replica.before_acknowledge"
"""

from functools import cache
from random import Random

import pytest

from raftlog.failpoints import ALL, Action, Crash, Delay, Fail, Rule
from tests.failpoints.busy import Busy
from tests.failpoints.test_storage import STORAGE

SEED = 4_400
NODES = [name for name in ALL if name not in STORAGE]
STOPS_APPLYING = "applying.before_entry=10th:error"
"""The way to `applying.before_rebuild`: one node has to build its machine anew."""


@cache
def reached() -> dict[str, int]:
    """How often a run in which nothing else goes wrong comes by each failpoint."""
    return Busy(beside=STOPS_APPLYING).play(SEED).hits


@pytest.mark.parametrize("point", NODES)
def test_every_failpoint_of_a_node_is_reached(point: str) -> None:
    assert reached().get(point, 0) > 0, f"nobody comes by {point}: is it dead?"


@pytest.mark.parametrize("action", [Crash(), Fail()], ids=str)
@pytest.mark.parametrize("point", NODES)
def test_a_node_struck_once(point: str, action: Action) -> None:
    """One of three ends there, or fails there as the list says; the others go on, and it comes back."""
    random = Random(f"{SEED}/{point}/{action}")
    hit = random.randint(1, max(1, min(40, reached()[point] // 6)))
    beside = STOPS_APPLYING if point == "applying.before_rebuild" else ""
    seeds = [SEED + random.randrange(1000) for _ in range(4)]
    for seed in seeds:  # not every run comes by every place
        busy = Busy(Rule(point, action, first=hit, times=1), once=True, beside=beside).play(seed)
        if busy.struck:
            assert busy.struck == [(point, action)]
            return
    pytest.fail(f"seeds {seeds}: nobody came by {point} for the {hit}. time")


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_delays_everywhere(seed: int) -> None:
    """Each step takes its time now and then, the whole process stands still now and then: only that, nothing else."""
    rules = [Rule(point, Delay(3_000), chance=0.05) for point in ALL]
    busy = Busy(*rules).play(seed)
    assert len({name for name, _ in busy.struck}) > 20, "hardly anything was delayed"
