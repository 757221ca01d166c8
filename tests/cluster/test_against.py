"""A verdict on a cluster that somebody else runs."""

import asyncio
from pathlib import Path

import pytest

from jepsen_like.check import Verdict
from jepsen_like.cli import run
from jepsen_like.cluster.against import _tell
from jepsen_like.sim.judge import Exit
from jepsen_like.workloads.workload import Judged
from raftlog.cluster import LocalCluster

GOOD = [Judged("kv", Verdict.VALID)]
BAD = [Judged("kv", Verdict.INVALID, ("nothing explains it",))]
COUNTS = {"ok": 100, "fail": 1, "info": 1}


@pytest.mark.real
@pytest.mark.asyncio
async def test_a_good_cluster_is_found_good_again_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with LocalCluster(tmp_path, nodes=1) as cluster:
        for attempt in range(2):
            history = tmp_path / f"{attempt}.jsonl"
            words = [
                "against",
                *cluster.addresses,
                "--seconds=1",
                "--rate=100",
                f"--history={history}",
                "--seed=1",
            ]
            code = await asyncio.to_thread(run, words)
            said = capsys.readouterr()
            assert code == Exit.CLEAN, said
            assert "kv: valid" in said.out
            assert run(["check", "--format", "jsonl", "--model", "kv", str(history)]) == 0


def test_a_verdict_is_the_exit_code() -> None:
    assert _tell(GOOD, COUNTS, readable=True) is Exit.CLEAN
    assert _tell(BAD, COUNTS, readable=True) is Exit.FAILED
    assert _tell(GOOD, COUNTS, readable=False) is Exit.FAILED
    assert _tell(GOOD, COUNTS | {"ok": 9}, readable=True) is Exit.INVALID
    assert _tell([Judged("kv", Verdict.UNKNOWN)], COUNTS, readable=True) is Exit.INVALID


def test_addresses_that_are_none_are_refused_and_so_is_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["against", "nowhere"]) == Exit.USAGE
    assert "is no address" in capsys.readouterr().err
