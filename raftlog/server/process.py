"""A server as a process of its own: its event loop, its signals, its parent, its log and its exit code."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import uvloop

from raftlog.node.collecting import Collector
from raftlog.server.options import ServeOptions
from raftlog.server.reports import log_event, log_warning, start_log
from raftlog.server.server import CannotServe, Server
from raftlog.storage import DiskError, LogDamaged, StorageRefused
from raftlog.transport.tls import BadTlsFiles

EXPECTED = (CannotServe, StorageRefused, LogDamaged, DiskError, BadTlsFiles)
"""What the world does to a server: the sentence in it is all there is to say."""

_SWITCH_SECONDS = 0.0005
"""How long a thread that has synced may wait for the interpreter: with Python's 5 ms a sync took 15 ms, not 6."""
_ORPHAN_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


class ServerFailed(Exception):
    """The server did not start, or stopped by itself; the text is one sentence."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(sentence(cause))
        self.cause = cause
        """Of all that went wrong, what came first."""


def run(options: ServeOptions, *, log_json: bool = False, parent_fd: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then stop cleanly. A second signal ends the process at once.

    Args:
        options: what to serve.
        log_json: write the log as JSON lines instead of key=value.
        parent_fd: a pipe whose other end the parent holds; when it closes, the server stops.

    Raises:
        ServerFailed: it did not start, or it stopped by itself.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    start_log(as_json=log_json, name=options.display_name)
    if rules := options.failpoints.rules:
        log_warning("FAILPOINTS ARE ARMED: this node fails on purpose", rules="; ".join(map(str, rules)))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options, parent_fd))
    except (Exception, BaseExceptionGroup) as error:
        raise ServerFailed(first_cause(error)) from error


async def _serve(options: ServeOptions, parent_fd: int | None) -> None:
    stop = asyncio.Event()
    _follow_signals(stop)
    if parent_fd is not None:
        _follow_parent(parent_fd, stop, options.drain_seconds + _ORPHAN_SECONDS)
    async with Server(options, on_event=log_event) as server, Collector():
        log_event("listening", {"address": str(server.address), "pid": os.getpid()})
        await stop.wait()


def _follow_signals(stop: asyncio.Event) -> None:
    """The first one stops, the second ends the process at once."""
    heard: list[int] = []

    def hear(number: int) -> None:
        if heard:
            os._exit(128 + number)
        heard.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, hear, number)


def _follow_parent(parent_fd: int, stop: asyncio.Event, patience: float) -> None:
    """Stop when the other end of the pipe closes, as it does however the parent dies.

    A thread waits for it, so that a stalled event loop ends too, after `patience` seconds. A process that was stopped
    (SIGSTOP) is continued by the kernel when its parent dies, and then sees the end of the pipe like any other.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)
    loop = asyncio.get_running_loop()

    def wait() -> None:
        while os.read(parent_fd, 1):
            pass
        with suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)
        threading.Event().wait(patience)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def sentence(cause: BaseException) -> str:
    """What to tell people about an error that ended the server, without a traceback."""
    if isinstance(cause, EXPECTED):
        return str(cause)
    return f"the server stopped because of a defect: {type(cause).__name__}: {cause} ({_place(cause)})"


def first_cause(error: BaseException) -> BaseException:
    """Of the errors in a group the one to tell: what the world did, rather than what fell over because of it."""
    return min(_leaves(error), key=lambda leaf: not isinstance(leaf, EXPECTED))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no place is known"
    path = Path(frames[-1].filename)
    return f"{path.parent.name}/{path.name} line {frames[-1].lineno}"
