"""The import contracts are broken by the imports they are there to forbid."""

import pathlib
import subprocess
import sys

import pytest

from tests.gate.check import IMPORT_LINTER

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A small house of the real shape in which nothing is forbidden; each breach below adds one line to it.
HOUSE = {
    "raftlog/__init__.py": "",
    "raftlog/cli.py": "import raftlog.server",
    "raftlog/testing.py": "import raftlog.storage, raftlog.transport",
    "raftlog/server.py": "import raftlog.service, raftlog.node, raftlog.pb.raft_pb2",
    "raftlog/service.py": "import raftlog.pb.raft_pb2",
    "raftlog/client.py": "",
    "raftlog/node.py": "import raftlog.storage, raftlog.transport.codec, raftlog.core.raft",
    "raftlog/storage/__init__.py": "import raftlog.core.ids",
    "raftlog/transport/__init__.py": "",
    "raftlog/transport/codec.py": "import raftlog.pb.raft_pb2",
    "raftlog/machine/__init__.py": "",
    "raftlog/core/__init__.py": "",
    "raftlog/core/raft.py": "import raftlog.core.log, raftlog.core.roles.leader, raftlog.core.roles.follower",
    "raftlog/core/roles/__init__.py": "",
    "raftlog/core/roles/follower.py": "import raftlog.core.roles.role",
    "raftlog/core/roles/leader.py": "import raftlog.core.roles.role",
    "raftlog/core/roles/role.py": "import raftlog.core.entry",
    "raftlog/core/log.py": "import raftlog.core.entry",
    "raftlog/core/progress.py": "",
    "raftlog/core/entry.py": "import raftlog.core.ids",
    "raftlog/core/ids.py": "",
    "raftlog/pb/__init__.py": "",
    "raftlog/pb/raft_pb2.py": "",
    "statemachines/__init__.py": "",
    "statemachines/kv.py": "from raftlog import command",
    "jepsen_like/__init__.py": "import statemachines, raftlog.core.raft",
}

BREACHES = [
    ("raftlog/client.py", "import statemachines"),
    ("statemachines/kv.py", "import jepsen_like"),
    ("statemachines/kv.py", "from raftlog.machine import command"),
    ("statemachines/kv.py", "from raftlog import machine"),
    ("jepsen_like/__init__.py", "import raftlog.pb.raft_pb2"),
    ("raftlog/node.py", "import raftlog.testing"),
    ("raftlog/node.py", "import raftlog.server"),
    ("raftlog/node.py", "import raftlog.pb"),
    ("raftlog/service.py", "import raftlog.client"),
    ("raftlog/storage/__init__.py", "import raftlog.transport"),
    ("raftlog/core/raft.py", "import raftlog.machine"),
    ("raftlog/core/raft.py", "import raftlog.pb"),
    ("raftlog/core/log.py", "import raftlog.core.progress"),
    ("raftlog/core/log.py", "import raftlog.core.roles.role"),
    ("raftlog/core/roles/follower.py", "import raftlog.core.roles.leader"),
    ("raftlog/core/roles/role.py", "import raftlog.core.roles.leader"),
    ("raftlog/core/entry.py", "import raftlog.core.log"),
    ("raftlog/core/sundries.py", ""),
]


def kept(root: pathlib.Path) -> tuple[bool, str]:
    """Whether the contracts of pyproject.toml hold for the house in `root`, and what the linter said."""
    (root / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    command = [sys.executable, "-P", "-c", "import sys; sys.path.insert(0, '.'); " + IMPORT_LINTER]
    command += ["--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert "Contracts: " in done.stdout, f"the linter did not run: {done.stdout}{done.stderr}"
    return done.returncode == 0, done.stdout


@pytest.fixture
def house(tmp_path: pathlib.Path) -> pathlib.Path:
    for path, text in HOUSE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    return tmp_path


def test_the_house_itself_keeps_them(house: pathlib.Path) -> None:
    held, said = kept(house)
    assert held, said


@pytest.mark.parametrize("path, line", BREACHES)
def test_a_breach_breaks_them(house: pathlib.Path, path: str, line: str) -> None:
    with (house / path).open("a") as module:
        module.write(line + "\n")
    held, said = kept(house)
    assert not held, said
