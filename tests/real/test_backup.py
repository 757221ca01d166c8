"""A backup of three real processes under load, and a cluster of another size made from it."""

import asyncio
import json
from pathlib import Path

import pytest

from raftlog.cli.app import run
from raftlog.cluster import LocalCluster
from raftlog.mainjob.replicated import open_store
from tests.real.cluster import cluster, seeded
from tests.real.load import Load

pytestmark = pytest.mark.real

QUICK = ("--election-timeout", "300", "--heartbeat", "30")


def test_what_was_acknowledged_before_a_backup_is_in_the_cluster_made_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Large values, so that the state has many pieces; one node is restored, where three were backed up."""
    random = seeded(7)
    file = tmp_path / "backup"

    async def raftlog(*arguments: str | Path) -> None:
        code = await asyncio.to_thread(run, [str(word) for word in arguments])
        assert code == 0, capsys.readouterr()

    async def old() -> dict[str, bytes]:
        async with cluster(tmp_path) as nodes, open_store(nodes.addresses) as store:
            load = Load(store, lambda n: random.randbytes(4000), lambda n: f"key {n}")
            running = asyncio.create_task(load.run(8))
            await load.reached(300)
            before = dict(load.acknowledged)
            await raftlog("backup", nodes.addresses[0], "--to", file, "--json")
            assert load.kept > len(before), "nothing was written meanwhile: no test"
            load.stop()
            await running
            return before

    async def new(promised: dict[str, bytes]) -> None:
        async with LocalCluster(tmp_path / "new", flags=QUICK) as restored:
            await restored.until_serving()
            async with open_store(restored.addresses) as store:
                for key, value in promised.items():
                    assert await store.get(key) == value, f"{key} was acknowledged before the backup"
                await store.put("after", b"1")

    promised = asyncio.run(old())
    assert run(["backup", "verify", str(file)]) == 0
    taken = next(json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{"))
    assert taken["groups"][0]["bytes"] > 300 * 4000
    assert run(["restore", str(file), "--dir", str(tmp_path / "new"), "--nodes", "1"]) == 0
    asyncio.run(new(promised))
