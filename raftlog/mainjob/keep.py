"""Leaving the cluster up after the job: a supervisor of its own session, and the commands to play with it."""

import asyncio
import subprocess
import sys
from pathlib import Path

from raftlog.admin import Operator, StatusReply
from raftlog.cluster import ClusterFile

_SECONDS = 30.0
_POLL = 0.05
LOG = "cluster.log"


class KeepFailed(Exception):
    """The cluster did not come up again on its own; the sentence says where to look."""


async def keep(directory: Path) -> subprocess.Popen[bytes]:
    """Start `raftlog cluster` on the directory, apart from this process; its process, once all nodes serve.

    Raises:
        KeepFailed: it ended, or the nodes do not serve in time.
    """
    supervisor = _detach(directory)
    try:
        async with asyncio.timeout(_SECONDS), Operator() as operator:
            while not await _serves(operator, directory):
                if supervisor.poll() is not None:
                    raise KeepFailed(f"the cluster ended with {supervisor.returncode}; see {directory / LOG}")
                await asyncio.sleep(_POLL)
    except BaseException as error:
        supervisor.terminate()
        if isinstance(error, TimeoutError):
            raise KeepFailed(
                f"the nodes did not serve within {_SECONDS:g} s; see {directory / LOG}"
            ) from None
        raise
    return supervisor


def _detach(directory: Path) -> subprocess.Popen[bytes]:
    """A process of a session of its own: it outlives this one and its terminal."""
    command = [sys.executable, "-m", "raftlog", "cluster", "--dir", str(directory)]
    with (directory / LOG).open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


async def _serves(operator: Operator, directory: Path) -> bool:
    found = ClusterFile.read(directory)
    if found is None:
        return False
    answers = await operator.statuses([node.address for node in found.nodes], timeout=1.0)
    return all(isinstance(answer, StatusReply) and answer.serving for answer in answers.values())


def instructions(directory: Path, pid: int, key: str) -> str:
    """What can be typed now; `key` is one that was written."""
    raftlog = Path(sys.executable).with_name("raftlog")
    program = _short(raftlog) if raftlog.exists() else f"{_short(Path(sys.executable))} -m raftlog"
    where = f"--dir {directory}"
    return (
        "The cluster stays up. Play with it:\n"
        f"  {program} status {where}\n"
        f"  {program} kv get {key} {where}\n"
        f"  {program} kv put greeting hello {where}\n"
        f"  kill -9 PID     # of any node that `status` shows: it is started again, and catches up\n"
        f"Stop it:\n"
        f"  kill {pid}\n"
        f"  rm -r {directory}     # and forget it"
    )


def _short(path: Path) -> str:
    """Relative to the working directory where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
