"""A real process is killed at a failpoint by what its environment says, and comes back with all it has promised."""

import signal
from pathlib import Path

import pytest

from tests.cli.running import raftlog
from tests.server.running import Running, initialised, running

pytestmark = pytest.mark.real

LOSES_UNSYNCED = ("--disk-factory", "raftlog.testing.volatile:VolatileDisk")


def put_until_it_dies(address: str) -> list[str]:
    """The keys whose writing was acknowledged."""
    kept: list[str] = []
    for number in range(50):
        done = raftlog("kv", "put", f"k{number}", "v", "--node", address, "--timeout", "2")
        if done.code != 0:
            return kept
        kept.append(f"k{number}")
    raise AssertionError("fifty writes, and it never came by the failpoint")


def address(server: Running) -> str:
    """Where it listens."""
    return str(server.event("listening")["address"])


@pytest.mark.parametrize("rule", ["wal.append.before_sync=7th:crash", "writer.after_append=8th:crash"])
def test_what_was_acknowledged_before_the_crash_is_there_after_it(rule: str, tmp_path: Path) -> None:
    with running(tmp_path / "n1", *LOSES_UNSYNCED) as server:
        initialised(server)
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0
    with running(tmp_path / "n1", *LOSES_UNSYNCED, environ={"RAFTLOG_FAILPOINTS": rule}) as server:
        assert server.event("FAILPOINTS ARE ARMED")["rules"] == rule
        server.event("serving")
        status = raftlog("status", address(server))
        assert f"failpoints are armed, so it fails on purpose: {rule}" in status.out + status.err
        kept = put_until_it_dies(address(server))
        assert server.end() == -signal.SIGKILL
        assert server.event("failpoint strikes")["at"] == rule.partition("=")[0]
    with running(tmp_path / "n1", *LOSES_UNSYNCED) as server:
        server.event("serving")
        for key in kept:
            found = raftlog("kv", "get", key, "--node", address(server))
            assert (found.code, found.out.strip()) == (0, "v"), f"{key} was acknowledged"
    assert kept, "nothing was promised, so nothing was shown"


def test_a_start_that_crashed_half_way_is_finished_by_the_next(tmp_path: Path) -> None:
    armed = {"RAFTLOG_FAILPOINTS": "bootstrap.before_identity=crash"}
    with running(tmp_path / "n1", *LOSES_UNSYNCED, environ=armed) as server:
        assert raftlog("init", address(server)).code == 3
        assert server.end() == -signal.SIGKILL
    with running(tmp_path / "n1", *LOSES_UNSYNCED) as server:
        server.event("serving")


def test_a_rule_that_is_none_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    refused = raftlog(
        "serve", "--data-dir", tmp_path / "n1", environ={"RAFTLOG_FAILPOINTS": "wal.append.after_sink=crash"}
    )
    assert refused.code == 2
    assert (
        "RAFTLOG_FAILPOINTS: there is no failpoint 'wal.append.after_sink': did you mean wal.append.after_sync"
        in (refused.said)
    )
    assert not (tmp_path / "n1").exists()
