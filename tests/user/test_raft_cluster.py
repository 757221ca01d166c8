"""The fixture `raft_cluster`: docs/raft-cluster.md runs as it is printed, and each fault is there and goes."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from jepsen_like.cluster import blocking
from jepsen_like.cluster.blocking import NotEqual, RaftCluster
from jepsen_like.cluster.truth import log_of
from raftlog import CallError
from raftlog.core.entry import Entry
from raftlog.core.ids import Index
from statemachines.kv import KeyValue
from tests.user.inner import ROOT, pytest_in

PAGE = (ROOT / "docs" / "raft-cluster.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

FAILS = """
import pytest


@pytest.mark.raft_cluster(nodes=1)
def test_that_fails(raft_cluster):
    assert raft_cluster.names == ("n1",)
    raft_cluster.partition("n9")


@pytest.mark.raft_cluster("statemachines.kv:KeyValue")
def test_that_is_marked_wrongly(raft_cluster):
    pass
"""


@pytest.mark.real
@pytest.mark.slow
def test_the_page_runs_as_it_is_printed(tmp_path: Path) -> None:
    files = dict(BLOCK.findall(PAGE))
    assert list(files) == ["test_greeting.py", "test_counter.py"]
    body = files["test_greeting.py"].partition("def ")[2]
    assert len(body.splitlines()) <= 10, "the first test is for a newcomer to copy"
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    said = pytest_in(tmp_path, "-q", "--strict-markers")
    assert "2 passed" in said, said


@pytest.mark.real
@pytest.mark.slow
def test_a_failure_shows_what_the_nodes_wrote(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(FAILS, encoding="utf-8")
    said = pytest_in(tmp_path, "--tb=short", "-q")
    assert "1 failed, 1 error" in said, said
    assert "there is no node 'n9', only n1 and 'leader'" in said
    assert re.search(r"-+ what the nodes wrote -+\n--- n1 \(.*n1\.log\)\n(.*\n)*?.*serving node=", said), said
    assert "takes its options by name" in said


@pytest.mark.real
@pytest.mark.slow
def test_every_fault_is_there_until_it_is_healed(
    raft_cluster: RaftCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = raft_cluster.leader()
    (others, (alone,)) = ([name for name in raft_cluster.names if name != first], [first])
    with raft_cluster.client() as client:
        client.call(KeyValue.put, "key", b"1")
        assert raft_cluster.partition("leader") == ((alone,), tuple(others))
        client.call(KeyValue.put, "key", b"2")
        assert raft_cluster.leader() in others
        raft_cluster.heal()
        assert raft_cluster.pause(others[0]) == (others[0],)
        assert raft_cluster.stop(others[1]) == (others[1],)
        with raft_cluster.client(deadline=1.0) as hasty:
            assert isinstance(hasty.outcome(KeyValue.put, "key", b"3"), CallError)
        assert raft_cluster.resume(others[0]) == (others[0],)
        assert raft_cluster.start(others[1]) == (others[1],)
        client.call(KeyValue.put, "key", b"4")
        assert raft_cluster.kill() == raft_cluster.names
        raft_cluster.heal()
        found = client.call(KeyValue.get, "key")
        assert found is not None
        assert found.value == b"4"
    with pytest.raises(ValueError, match="nobody in common"):
        raft_cluster.partition(["n1", "n2"], ["n2", "n3"])
    monkeypatch.setattr(blocking, "log_of", _as_if_n2_had_forgotten)
    with pytest.raises(NotEqual, match=r"n2 holds 2@\d at 3, and n1 holds 3@\d"):
        raft_cluster.check()


async def _as_if_n2_had_forgotten(directory: Path) -> Mapping[Index, Entry]:
    """The log of a node, that of n2 with its second entry where the third should be."""
    log = dict(await log_of(directory))
    return {**log, Index(3): log[Index(2)]} if directory.name == "n2" else log
