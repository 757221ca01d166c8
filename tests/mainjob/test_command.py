"""`make run` as a stranger runs it: its exit code, its one JSON document, and nothing left behind however it ends."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raftlog.cluster import FILE

COMMAND = [sys.executable, "-m", "raftlog.mainjob"]


def nodes_of(directory: Path) -> list[int]:
    """Processes that serve from below a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            if b"serve" in line and os.fsencode(directory) in line:
                found.append(int(entry.name))
    return sorted(found)


@contextmanager
def running(*options: str) -> Iterator["subprocess.Popen[str]"]:
    """The main job as a process, killed at the end of the block."""
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as job:
        try:
            yield job
        finally:
            job.kill()


def read_until(job: "subprocess.Popen[str]", words: str) -> list[str]:
    """What it says up to the line with these words."""
    assert job.stderr is not None
    lines = []
    for line in job.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"it ended without saying {words!r}: {''.join(lines)}")


@pytest.mark.real
def test_a_whole_run_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ran = subprocess.run(
        [*COMMAND, "--json", "--keys", "5000", "--dir", str(home)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout)
    assert summary["ok"], summary["checks"]
    assert summary["lost"] == 0
    assert summary["keys"] >= 5_000
    assert 0.3 <= summary["kill"]["acknowledged"] / summary["keys"] <= 0.7
    assert {back["node"] for back in summary["readbacks"]} == {"n1", "n2", "n3"}
    assert "SIGKILL to" in ran.stderr
    assert nodes_of(home) == []
    assert (home / FILE).exists()


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_is_ended_it_takes_its_nodes_along(number: signal.Signals, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running("--dir", str(home)) as job:
        read_until(job, "leads term")
        assert len(nodes_of(home)) == 3
        job.send_signal(number)
        job.communicate(timeout=60)
        assert job.returncode == (-number if number is signal.SIGKILL else 130)
    for pid in nodes_of(home):
        end_of(pid)


def end_of(pid: int) -> None:
    """Wait until a process that is not our child is gone."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        readable, _, _ = select.select([watched], [], [], 30)
        assert readable, f"process {pid} was left behind"
    finally:
        os.close(watched)


@pytest.mark.parametrize(
    "options, words",
    [
        (["--keys", "4999"], "5000<=x"),
        (["--kepp"], "No such option"),
        (["--dir", "."], "is not empty"),
    ],
)
def test_bad_options_are_one_sentence_and_exit_code_2(options: list[str], words: str) -> None:
    ran = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr
