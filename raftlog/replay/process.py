"""The node's side: a process per snapshot, at most one at a time, that ends with whoever waits for it."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import ClusterId, GroupId
from raftlog.replay.job import Job, Outcome, encode, read
from raftlog.replay.machine import MachineSpec
from raftlog.storage.group import Stretch
from raftlog.storage.snapshots import Manifest, SnapshotId

_LAST_WORDS = 400


class ReplayFailed(Exception):
    """No snapshot came of it; the sentence says why."""


class Replays(Protocol):
    """Makes snapshots without the machine that is in use."""

    async def make(
        self,
        *,
        cluster: ClusterId,
        group: GroupId,
        machine: MachineSpec,
        begins_with: Manifest | None,
        stretches: Sequence[Stretch],
        meta: SnapshotMeta,
        id: SnapshotId,
        part_size: int,
        urgent: bool,
    ) -> Manifest:
        """Write the parts of the snapshot `id` at `meta`, and give the manifest that would seal them; see `Job`.

        Cancelled, it is over when this returns: nothing writes there any more.

        Raises:
            ReplayFailed: there is none; parts may have been left.
        """
        ...

    def close(self) -> None:
        """Make no more."""
        ...


class Processes:
    """See `Replays`: each in a Python process of its own, of lower priority, that ends when this one does."""

    def __init__(
        self,
        directory: Path,
        *,
        entropy: Callable[[], int],
        on_start: Callable[[int], None] = lambda pid: None,
        command: Sequence[str] = (sys.executable, "-m", "raftlog.replay"),
    ) -> None:
        """`on_start` is told the process's id, in another thread; `command` is for tests."""
        self._directory = directory
        self._entropy = entropy
        self._on_start = on_start
        self._command = command
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="replay")

    async def make(
        self,
        *,
        cluster: ClusterId,
        group: GroupId,
        machine: MachineSpec,
        begins_with: Manifest | None,
        stretches: Sequence[Stretch],
        meta: SnapshotMeta,
        id: SnapshotId,
        part_size: int,
        urgent: bool,
    ) -> Manifest:
        """See `Replays.make`."""
        job = Job(
            directory=str(self._directory.resolve()),
            cluster=cluster,
            group=group,
            machine=machine,
            begins_with=begins_with,
            meta=meta,
            id=id,
            part_size=part_size,
            urgent=urgent,
            stretches=len(stretches),
        )
        running = _Running(self._command, self._environment(), job, stretches, self._on_start)
        talk = asyncio.get_running_loop().run_in_executor(self._thread, running.talk)
        try:
            outcome = await asyncio.shield(talk)
        except asyncio.CancelledError:
            running.end()
            with suppress(ReplayFailed):
                await talk
            raise
        if outcome.made is None:
            raise ReplayFailed(outcome.failed)
        return outcome.made

    def close(self) -> None:
        """See `Replays.close`."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _environment(self) -> dict[str, str]:
        """Like ours, but for the order of hashes: the same modules must be found, and nothing else be the same."""
        path = os.pathsep.join(os.path.abspath(each) for each in sys.path)
        seed = str(self._entropy() % (1 << 32))
        return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed, "PYTHONSAFEPATH": "1"}


class _Running:
    """One process. `talk` belongs on a thread, `end` may be called from another."""

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        job: Job,
        stretches: Sequence[Stretch],
        on_start: Callable[[int], None],
    ) -> None:
        self._command = command
        self._environment = environment
        self._job = job
        self._stretches = stretches
        self._on_start = on_start
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def end(self) -> None:
        """Kill it, now or as soon as it is there."""
        self._ended = True
        if self._process is not None:
            self._process.kill()

    def talk(self) -> Outcome:
        """Start it, tell it the job, and wait for what became of it.

        Raises:
            ReplayFailed: it could not be started, or died.
        """
        with tempfile.TemporaryFile() as errors:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=self._environment,
                )
            except OSError as error:
                raise ReplayFailed(f"no process can be started for it: {error}") from error
            with self._process as process:
                if self._ended:
                    process.kill()
                self._on_start(process.pid)
                outcome = self._converse(process)
            if outcome is None:
                errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST_WORDS))
                raise ReplayFailed(_epitaph(process.returncode, errors.read()))
            return outcome

    def _converse(self, process: subprocess.Popen[bytes]) -> Outcome | None:
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        try:
            for frame in self._frames():
                process.stdin.write(frame)
            process.stdin.flush()
            return read(process.stdout, Outcome)  # type: ignore[arg-type] # an IO[bytes] is what it needs
        except BrokenPipeError:
            return None
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()

    def _frames(self) -> Iterator[bytes]:
        yield encode(self._job)
        for stretch in self._stretches:
            yield encode(stretch)


def _epitaph(code: int, errors: bytes) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    lines = errors.decode(errors="replace").strip().splitlines()
    return f"the process that replayed the log {how}" + (f": {lines[-1]}" if lines else "")
