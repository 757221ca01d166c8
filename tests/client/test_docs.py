"""The programs in docs/client.md run as they are printed."""

import re
from pathlib import Path
from typing import Any

import pytest

from raftlog.client import Client
from raftlog.clock import SystemClock
from raftlog.testing.loop import run
from statemachines.kv import KeyValue
from tests.client.cluster import Cluster

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "client.md").read_text()


def printed(name: str) -> Any:
    """The function of this name, from the page."""
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f"def {name}(" in b)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/client.md", "exec"), names)  # noqa: S102 - our own page
    return names[name]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A key-value cluster that clients reach without a dialer of their own, and draw no real entropy in."""
    cluster = Cluster(machine=KeyValue())
    monkeypatch.setattr(Client, "_default_dialer", lambda self: cluster)
    monkeypatch.setattr(SystemClock, "entropy", lambda self: 7)
    return cluster


def value(cluster: Cluster, key: str) -> bytes | None:
    """What the cluster holds."""
    machine = cluster.log.machine
    assert isinstance(machine, KeyValue)
    found = machine.get(key)
    return None if found is None else found.value


def test_the_first_program_writes_and_reads(cluster: Cluster) -> None:
    async def main() -> None:
        async with cluster:
            await printed("example")(["a"])

    run(main())
    assert (value(cluster, "greeting"), value(cluster, "b")) == (b"hello", b"2")


def test_the_pipeline_ends_with_the_last_value(cluster: Cluster) -> None:
    async def main() -> None:
        async with cluster, Client(["a"]) as client:
            await printed("in_order")(client)

    run(main())
    assert value(cluster, "latest") == b"999"


def test_the_blocking_program_writes(cluster: Cluster) -> None:
    printed("blocking")(["a"])
    assert value(cluster, "greeting") == b"hello"
