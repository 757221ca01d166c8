"""One host under test: its directory, the process that runs there, and what can be done to both from outside."""

import asyncio
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from jepsen_like.cluster.orders import AnyOrder, Done, Setting

COMMAND = (sys.executable, "-m", "jepsen_like.cluster.serve")


class HostFailed(Exception):
    """A process that should run does not, or does not do what it is told; the text has its last words."""


class Host:
    """What stays when its process dies. Invariant: at most one process at a time, and none is left behind by `end`."""

    def __init__(
        self,
        setting: Setting,
        command: Sequence[str] = COMMAND,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing runs before `start`. `command` is completed by the setting; `environment` None: as here."""
        self.setting = setting
        self._environment = environment
        self._command = tuple(command)
        self._process: Process | None = None
        self._answers: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._numbers = 0
        self.starts = 0
        self.stranger = False
        """Its disk was wiped: what starts there is a node that nobody knows."""
        self.paused = False

    @property
    def name(self) -> str:
        """`n1`, and so on."""
        return self.setting.name

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.setting.listen

    @property
    def directory(self) -> Path:
        """Where it keeps its log."""
        return Path(self.setting.directory)

    @property
    def log(self) -> Path:
        """What its processes wrote to standard error."""
        return self.directory.with_suffix(".log")

    @property
    def runs(self) -> bool:
        """Whether there is a process, be it stopped."""
        return self._process is not None and self._process.returncode is None

    # -- life

    async def start(self) -> None:
        """Start the process; does nothing when there is one."""
        if self.runs:
            return
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        encoded = msgspec.json.encode(self.setting).decode()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                encoded,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                process_group=0,
                env=self._environment,
            )
        self._answers = asyncio.create_task(self._hear(self._process), name=f"answers of {self.name}")
        self.starts += 1
        self.paused = False

    async def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self._signal(signal.SIGKILL)
        await self._gone()

    async def stop(self) -> None:
        """SIGTERM: it ends in good order. Returns when it has."""
        self.resume()
        self._signal(signal.SIGTERM)
        await self._gone()

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = self.runs
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.paused = False
        self._signal(signal.SIGCONT)

    async def wipe(self) -> None:
        """Its disk is replaced by an empty one."""
        await self.kill()
        shutil.rmtree(self.directory)
        self.stranger = True

    def last_words(self, characters: int = 2_000) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else "nothing"

    # -- orders

    async def tell(self, order: AnyOrder) -> None:
        """Have it carry out an order; returns when it has.

        Raises:
            HostFailed: it does not run, ended meanwhile, or refuses.
        """
        if self._process is None or self._process.stdin is None or not self.runs:
            raise HostFailed(f"{self.name} does not run and takes no orders")
        self._numbers += 1
        numbered = msgspec.structs.replace(order, number=self._numbers)
        answer = self._waiting[self._numbers] = asyncio.get_running_loop().create_future()
        with suppress(ConnectionError):
            self._process.stdin.write(msgspec.json.encode(numbered) + b"\n")
            await self._process.stdin.drain()
        if problem := await answer:
            raise HostFailed(f"{self.name} did not carry out {order}: {problem}")

    async def _hear(self, process: Process) -> None:
        assert process.stdout is not None, "its output is a pipe"
        while line := await process.stdout.readline():
            done = msgspec.json.decode(line, type=Done)
            if (waiting := self._waiting.pop(done.number, None)) is not None:
                waiting.set_result(done.problem)
        for waiting in self._waiting.values():
            waiting.set_result("its process has ended")
        self._waiting.clear()

    # -- the process

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.runs:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _gone(self) -> None:
        if self._process is None:
            return
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._answers is not None:
            await self._answers
        self._process = self._answers = None
        self.paused = False
