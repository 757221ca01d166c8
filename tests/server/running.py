"""`raftlog serve` as a process of its own, with what it says in its log."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cli.running import PATIENCE, ROOT, raftlog


class Running:
    """A process of `raftlog serve --log-json`, and what it has said so far."""

    def __init__(self, directory: Path, *flags: str, environ: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "raftlog", "serve", "--data-dir", str(directory), "--log-json"]
        self.process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--parent-fd", "0", *flags],
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def event(self, text: str) -> dict[str, object]:
        """The first event that begins with `text`, as soon as it is there."""
        ends = time.monotonic() + PATIENCE
        with self._news:
            while True:
                for event in self._events():
                    if str(event["event"]).startswith(text):
                        return event
                assert self._reader.is_alive(), self.lines
                assert self._news.wait(ends - time.monotonic()), self.lines

    def end(self) -> int:
        """Wait for the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def _events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextmanager
def running(directory: Path, *flags: str, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A node at a free port while the block runs; killed at its end."""
    server = Running(directory, *flags, environ=environ)
    try:
        yield server
    finally:
        server.process.kill()
        server.end()
        for pipe in (server.process.stdin, server.process.stderr):
            if pipe is not None:
                pipe.close()


def initialised(server: Running) -> None:
    """Make a waiting node a cluster of its own and wait until it serves."""
    assert raftlog("init", str(server.event("listening")["address"])).code == 0
    server.event("serving")
