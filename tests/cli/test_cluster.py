"""A cluster of processes: found again, supervised, killed on purpose, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raftlog.cluster import ClusterFailed, ClusterFile, LocalCluster
from tests.cli.running import ROOT

pytestmark = pytest.mark.real

QUICK = ("--election-timeout", "300", "--heartbeat", "30")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def until_dead(pids: list[int]) -> None:
    async with asyncio.timeout(30):
        while any(map(alive, pids)):  # noqa: ASYNC110 - these are nobody's children: no event tells their end
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_the_directory_is_the_cluster(tmp_path: Path) -> None:
    async with LocalCluster(tmp_path / "c", nodes=1, flags=QUICK) as cluster:
        await cluster.until_serving()
        (before,) = await cluster.statuses()
    async with LocalCluster(tmp_path / "c", flags=QUICK) as cluster:
        await cluster.until_serving()
        (after,) = await cluster.statuses()
    assert before is not None
    assert after is not None
    assert (before.node_id, before.cluster_id, before.client_address) == (
        after.node_id,
        after.cluster_id,
        after.client_address,
    )
    assert before.boot != after.boot
    assert after.groups[0].term > before.groups[0].term
    with pytest.raises(ClusterFailed, match="holds a cluster of 1 nodes, not 3"):
        async with LocalCluster(tmp_path / "c", nodes=3):
            pass
    with pytest.raises(ClusterFailed, match="runs the key-value store, not counter:Counter"):
        async with LocalCluster(tmp_path / "c", machine="counter:Counter"):
            pass


@pytest.mark.asyncio
async def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(ClusterFailed, match=r"is not empty and holds no cluster\.json"):
        async with LocalCluster(tmp_path):
            pass
    (tmp_path / "cluster.json").write_text("{}")
    with pytest.raises(ClusterFailed, match="is no cluster file"):
        async with LocalCluster(tmp_path):
            pass
    assert sorted(os.listdir(tmp_path)) == ["cluster.json", "thesis.txt"]


@pytest.mark.asyncio
async def test_a_node_that_cannot_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(ClusterFailed, match=r"n1 ended: .*there is no module 'absent'"):
        async with LocalCluster(tmp_path / "c", nodes=1, machine="absent:Machine"):
            pass


@pytest.mark.asyncio
async def test_a_cluster_that_runs_already_is_not_started_again(tmp_path: Path) -> None:
    async with LocalCluster(tmp_path / "c", nodes=1, flags=QUICK) as cluster:
        for supervised in (False, True):
            with pytest.raises(ClusterFailed, match=r"n1 ended: .* is in use by process"):
                async with LocalCluster(tmp_path / "c", flags=QUICK, supervised=supervised):
                    pass
        await cluster.until_serving()


@pytest.mark.asyncio
async def test_who_ends_by_itself_is_started_again_and_who_was_killed_here_is_not(tmp_path: Path) -> None:
    told: list[str] = []
    async with LocalCluster(
        tmp_path / "c", nodes=1, flags=QUICK, supervised=True, on_event=told.append
    ) as cluster:
        await cluster.until_serving()
        (first,) = cluster.pids
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await cluster.until_serving()
        (second,) = cluster.pids
        assert second not in (None, first)
        assert any("was ended by SIGKILL; starting it again" in text for text in told)
        cluster.kill(0)
        assert await cluster.gone(0) == -signal.SIGKILL
        assert cluster.pids == (None,)
        await cluster.restart(0)
        await cluster.until_serving()


@pytest.mark.asyncio
async def test_no_child_survives_its_parent_however_it_ends_stopped_ones_included(tmp_path: Path) -> None:
    program = (
        "import asyncio, signal, sys\n"
        "from pathlib import Path\n"
        "from raftlog.cluster import LocalCluster\n"
        "async def main():\n"
        "    async with LocalCluster(Path(sys.argv[1]), nodes=2) as cluster:\n"
        "        cluster.kill(1, signal.SIGSTOP)\n"
        "        print(*cluster.pids, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "c"), cwd=ROOT, stdout=subprocess.PIPE, process_group=0
    )
    assert parent.stdout is not None
    pids = [int(word) for word in (await parent.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    parent.kill()
    await parent.wait()
    await until_dead(pids)


@pytest.mark.asyncio
async def test_leaving_ends_even_a_stopped_node(tmp_path: Path) -> None:
    async with LocalCluster(tmp_path / "c", nodes=1) as cluster:
        cluster.kill(0, signal.SIGSTOP)
        pids = [pid for pid in cluster.pids if pid is not None]
    assert len(pids) == 1
    await until_dead(pids)
    assert cluster.pids == (None,)


def test_the_cluster_file_is_for_people_too(tmp_path: Path) -> None:
    assert ClusterFile.read(tmp_path) is None
    file = ClusterFile(1, (), "m:C")
    file.write(tmp_path)
    assert ClusterFile.read(tmp_path) == file
    assert (tmp_path / "cluster.json").read_text().endswith("}\n")
    (tmp_path / "cluster.json").write_text('{"version": 2, "nodes": []}')
    with pytest.raises(ClusterFailed, match="of version 2"):
        ClusterFile.read(tmp_path)
