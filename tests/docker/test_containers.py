"""The cluster in containers, for real: up, killed, replaced, wiped, down and up again."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0
"""Seconds for anything that comes to pass by itself."""

pytestmark = [pytest.mark.accept, pytest.mark.real]


def runs(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def compose_command() -> list[str]:
    """`docker compose`, or else `docker-compose`; skips where there is neither, or no engine."""
    if shutil.which("docker") is None or not runs("docker", "info"):
        pytest.skip("no Docker engine answers to `docker info`")
    if runs("docker", "compose", "version"):
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        pytest.skip("there is neither `docker compose` nor `docker-compose`")
    return ["docker-compose"]


def free_ports() -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    try:
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Containers:
    """One project of its own, at free ports; gone with its volumes afterwards."""

    def __init__(self) -> None:
        self._compose = [*compose_command(), "--project-name", f"raftlogtest{os.getpid()}"]
        ports = free_ports()
        self._environ = os.environ | {f"RAFTLOG_PORT_{n}": str(port) for n, port in enumerate(ports, 1)}
        self._environ["RAFTLOG_NODES"] = ",".join(f"127.0.0.1:{port}" for port in ports)

    def compose(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run(
            [*self._compose, *words], cwd=ROOT, env=self._environ, capture_output=True, text=True, check=False
        )
        assert fails or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def raftlog(self, *words: str) -> tuple[int, str]:
        """The command, from the host and through the published ports."""
        command = [sys.executable, "-m", "raftlog", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environ, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    def roles(self) -> list[str]:
        """Of all three, sorted; `unreachable` where nobody answers."""
        shown, *_ = self.raftlog("status", "--json")[1].splitlines()  # an error adds a line
        return sorted(row["role"] for row in json.loads(shown)["nodes"])

    def until(self, what: str, *wanted: str) -> None:
        """Wait until the roles of n1, n2 and n3 are these, in any order."""
        ends = time.monotonic() + PATIENCE
        while (seen := self.roles()) != sorted(wanted):
            logs = "" if time.monotonic() < ends else self.compose("logs", "--tail", "20", fails=True)
            assert not logs, f"{what}: the roles are {seen}; {logs}"
            time.sleep(0.5)

    def init_said(self) -> str:
        """The last thing that init said, once it has ended."""
        identity = self.compose("ps", "--all", "--quiet", "init").split()[-1]
        subprocess.run(["docker", "wait", identity], capture_output=True, check=True)
        return self.compose("logs", "--no-color", "--tail", "1", "init")


@pytest.fixture
def containers() -> Iterator[Containers]:
    found = Containers()
    try:
        found.compose("build", "--quiet")
        yield found
    finally:
        found.compose("down", "--volumes", "--timeout", "5", fails=True)


def test_a_cluster_in_containers_is_made_once_and_keeps_what_it_was_given(containers: Containers) -> None:
    whole = ("leader", "follower", "follower")
    containers.compose("up", "--detach")
    containers.until("the first start", *whole)
    assert "initialised cluster" in containers.init_said()
    assert containers.raftlog("kv", "put", "greeting", "hello")[0] == 0

    containers.compose("kill", "n1")
    assert containers.raftlog("kv", "put", "greeting", "hello again", "--timeout", "60")[0] == 0
    containers.compose("up", "--detach")
    containers.until("after a kill", *whole)
    assert "nothing was changed" in containers.init_said()

    containers.compose("up", "--detach", "--force-recreate", "--no-deps", "n2")
    containers.until("after a container was replaced", *whole)

    containers.compose("down")
    containers.compose("up", "--detach")
    containers.until("after down and up", *whole)
    assert containers.raftlog("kv", "get", "greeting") == (0, "hello again")

    assert "kv: valid" in containers.compose("--profile", "test", "run", "--rm", "test")


def test_a_node_without_its_volume_is_a_stranger_and_the_others_go_on(containers: Containers) -> None:
    containers.compose("up", "--detach")
    containers.until("the first start", "leader", "follower", "follower")
    containers.compose("rm", "--stop", "--force", "n3")
    volume = f"{containers._compose[-1]}_n3"
    subprocess.run(["docker", "volume", "rm", volume], capture_output=True, check=True)
    containers.compose("up", "--detach")
    containers.until("after a volume was lost", "leader", "follower", "waiting")
    assert "is a stranger to it; nothing was changed" in containers.init_said()
    assert containers.raftlog("kv", "put", "greeting", "hello")[0] == 0


def test_a_node_ends_in_good_order_long_before_it_would_be_killed(containers: Containers) -> None:
    containers.compose("up", "--detach")
    containers.until("the first start", "leader", "follower", "follower")
    identity = containers.compose("ps", "--quiet", "n2").split()[-1]
    containers.compose("stop", "n2")
    shown = subprocess.run(["docker", "inspect", identity], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout)[0]["State"]["ExitCode"] == 0  # 137 if it had to be killed
    assert "event=stopping" in containers.compose("logs", "--no-color", "--tail", "5", "n2")
