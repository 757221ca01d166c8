"""The program in docs/embedding.md is a node, and uses the cluster it belongs to."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import PATIENCE, ROOT, raftlog


@pytest.mark.real
def test_the_documented_program_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "embedding.md").read_text(), re.DOTALL)
    assert "127.0.0.1:7001" in program
    (tmp_path / "embedded.py").write_text(program.replace("127.0.0.1:7001", "127.0.0.1:0"))
    for said, answer in (("waits", "3"), ("runs", "6")):
        running = subprocess.Popen(
            [sys.executable, "embedded.py"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        with running:
            try:
                assert running.stdout is not None
                first = running.stdout.readline().split()
                assert first[4] == said
                if said == "waits":
                    assert raftlog("init", first[3]).code == 0
                assert running.stdout.readline().strip() == answer
                assert running.wait(PATIENCE) == 0
            finally:
                running.kill()
