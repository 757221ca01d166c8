"""The `raftlog` command as a process of its own, for tests; nothing it starts outlives the test."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """The one sentence on standard error; log lines and click's hint are no sentences."""
        sentences = [line for line in self.err.splitlines() if line.startswith("raftlog: ")]
        assert len(sentences) == 1, f"expected one sentence, got: {self.err!r} (output {self.out!r})"
        assert "Traceback" not in self.err, self.err
        return sentences[0].removeprefix("raftlog: ")


def raftlog(
    *arguments: str | Path,
    cwd: Path = ROOT,
    environ: Mapping[str, str] | None = None,
    python: tuple[str, ...] = (),
) -> Done:
    """Run the command to its end."""
    command = [sys.executable, *python, "-m", "raftlog", *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def serving(directory: Path, *flags: str) -> Iterator[str]:
    """A node at a free port while the block runs; yields its address."""
    log = directory.with_suffix(".log")
    command = [
        sys.executable,
        "-m",
        "raftlog",
        "serve",
        "--data-dir",
        str(directory),
        "--listen",
        "127.0.0.1:0",
    ]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--parent-fd", "0", *flags], cwd=ROOT, stdin=subprocess.PIPE, stderr=stderr
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        with process:
            pass
    assert process.returncode == 0, log.read_text()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        for line in log.read_text().splitlines():
            if " event=listening " in line:
                return line.split(" address=")[1].split()[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)  # until it says where it listens; the loop ends by that, not by time
    raise AssertionError(f"it never listened: {log.read_text()}")
