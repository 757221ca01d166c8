"""A server as a process: its log, its signals, and how it ends when the node cannot go on."""

import os
import signal
from pathlib import Path

import grpc
import pytest

from raftlog.pb import client_pb2, client_pb2_grpc
from raftlog.server.process import first_cause, sentence
from raftlog.storage import DiskError
from tests.cli.running import PATIENCE, raftlog
from tests.server.running import initialised, running

pytestmark = pytest.mark.real

PUT = client_pb2.CallRequest(method="put", arguments_json='["key", "dmFsdWU="]')


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with running(tmp_path / "n1", "--name", "left") as server:
        initialised(server)
        server.process.send_signal(number)
        assert server.end() == 0
        assert server.event("stopping")["name"] == "left"
        assert not [line for line in server.lines if not line.startswith("{")]
    assert raftlog("log", "verify", tmp_path / "n1").out.endswith("sound\n")


def test_the_end_of_its_parent_stops_it_cleanly(tmp_path: Path) -> None:
    with running(tmp_path / "n1") as server:
        initialised(server)
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.end() == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "n1") as server:
        server.event("listening")
        os.kill(server.process.pid, signal.SIGSTOP)  # so that both have come before either is heard
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGTERM)
        os.kill(server.process.pid, signal.SIGCONT)
        assert server.end() in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def test_a_failed_sync_ends_it_with_one_sentence(tmp_path: Path) -> None:
    with running(tmp_path / "n1", "--disk-factory", "tests.server.failing:FailingDisk") as server:
        address = str(server.event("listening")["address"])
        (tmp_path / "n1" / "break").touch()
        refused = raftlog("init", address)
        assert refused.code == 3
        assert refused.said.startswith(f"{address} refused: 0000000000000001.seg.new: ")
        assert "the sync failed (EIO)" in refused.said
        (tmp_path / "n1" / "break").unlink()
        initialised(server)
        (tmp_path / "n1" / "break").touch()
        with grpc.insecure_channel(address) as channel:
            reply = client_pb2_grpc.LogStub(channel).Call(PUT, timeout=PATIENCE)
        assert reply.outcome == client_pb2.OUTCOME_UNKNOWN
        assert server.end() == 6
        words = [line for line in server.lines if not line.startswith("{")]
    assert len(words) == 1
    assert words[0].startswith("raftlog: 0000000000000001.seg: the sync failed (EIO)")
    assert "The node has stopped and promises nothing more: look at its disk, then start it again" in words[0]


def test_of_many_errors_the_worlds_is_told_and_a_defect_is_told_with_its_place() -> None:
    disk = DiskError("the disk is gone")
    group = BaseExceptionGroup("", [AssertionError("x"), BaseExceptionGroup("", [disk])])
    assert first_cause(group) is disk
    assert sentence(disk) == "the disk is gone"
    try:
        raise AssertionError("5 is not 6")
    except AssertionError as error:
        said = sentence(error)
    assert said.startswith(
        "the server stopped because of a defect: AssertionError: 5 is not 6 (server/test_process.py line "
    )
