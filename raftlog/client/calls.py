"""The methods of a client: typed calls of machines, one at a time or in bulk, and raw ones."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar

from raftlog.client.engine import Engine
from raftlog.client.outcome import Ok, Outcome
from raftlog.client.pending import COMMAND, Pending
from raftlog.machine.calls import CallError, decode_result, encode_call, is_query, version_of
from raftlog.machine.errors import MachineError
from raftlog.machine.method import Method
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import Machine, machine_methods
from raftlog.transport.client_frames import Level

P = ParamSpec("P")
R = TypeVar("R")

BULK = 4_096
"""Calls of one bulk that are encoded and queued at a time."""


Submitted: TypeAlias = tuple[Engine, Pending, asyncio.Future[Result]]
"""Where a call was queued, the call, and what to wait for."""


class Calls:
    """Ways to call machines, all with one deadline and one level of reads.

    Every call has exactly one outcome, at the latest 20 ms after its deadline. A caller that is cancelled gives its own
    call up, unsent or unwatched, and harms no other.
    """

    def __init__(
        self, engine: Callable[[], Engine], *, deadline: float, level: Level, machine: int, version: int
    ) -> None:
        if deadline <= 0:
            raise ValueError(f"a deadline of {deadline} s leaves no time for an answer: give more than 0")
        self._of = engine
        self._deadline = deadline
        self._level = level
        self._machine = machine
        self._version = version

    def options(
        self, *, deadline: float | None = None, level: Level | None = None, machine: int | None = None
    ) -> "Calls":
        """The same with another deadline (seconds), level of queries or machine: `options(level=Level.LOCAL)`."""
        return Calls(
            self._of,
            deadline=self._deadline if deadline is None else deadline,
            level=self._level if level is None else level,
            machine=self._machine if machine is None else machine,
            version=self._version,
        )

    async def call(self, method: Method[..., P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a command or ask a query: `await client.call(Counter.add, 3)`.

        Raises:
            MachineError: the machine answered with this declared error; nothing was changed.
            MachineFault: the machine broke while running it, on all replicas alike.
            CallFailed: it certainly did not happen.
            CallUnknown: it may have happened, or may yet.
            TypeError: the arguments do not fit, which a type checker would have said.
        """
        # As `_run` and `decode_result` do: calls of functions would be a tenth of what a call costs here.
        shape = method.call
        level = self._level if shape.is_query else COMMAND
        engine, call, answer = self._submit(shape.encode(*args, **kwargs), level, shape.version)
        try:
            result = await answer
        except asyncio.CancelledError:
            engine.abandon(call)
            raise
        if result.kind is Kind.OK:
            value: R = shape.decode_result(result.body)
            return value
        return decode_result(method, result)

    async def outcome(self, method: Method[..., P, R], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[R]:
        """As `call`, with the outcome as a value."""
        level = self._level if is_query(method) else COMMAND
        body = encode_call(method, *args, **kwargs)
        return _outcome(method, await self._run(body, level, version_of(method)))

    async def call_many(
        self, method: Method[..., ..., R], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Outcome[R]]:
        """Make many calls of one method at once, in no order: one outcome per tuple of arguments.

        Much cheaper per call than `call`. The deadline is for every 4,096 of them, from when their turn comes.

        Raises:
            TypeError: arguments do not fit; earlier ones may have been sent.
        """
        outcomes: list[Outcome[R]] = []
        level, version = self._level if is_query(method) else COMMAND, version_of(method)
        for start in range(0, len(arguments), BULK):
            bodies = [encode_call(method, *each) for each in arguments[start : start + BULK]]
            outcomes += [_outcome(method, result) for result in await self._run_bulk(bodies, level, version)]
        return outcomes

    def machine(self, machine: type[Machine]) -> "Proxy":
        """A stand-in whose methods are the machine's: `await client.machine(Counter).add(3)`. Not typed; `call` is."""
        return Proxy(self, machine)

    async def execute(self, body: bytes) -> Result:
        """Run a command of a raw machine. The result's kind says what became of it."""
        return await self._run(body, COMMAND, self._version)

    async def read(self, body: bytes) -> Result:
        """Ask a query of a raw machine."""
        return await self._run(body, self._level, self._version)

    async def _run(self, body: bytes, level: int, version: int) -> Result:
        engine, call, answer = self._submit(body, level, version)
        try:
            return await answer
        except asyncio.CancelledError:
            engine.abandon(call)
            raise

    def _submit(self, body: bytes, level: int, version: int) -> Submitted:
        engine = self._of()
        return engine, *engine.submit(body, level, self._deadline, self._machine, version)

    async def _run_bulk(self, bodies: Sequence[bytes], level: int, version: int) -> Iterable[Result]:
        engine = self._of()
        bulk = engine.submit_bulk(bodies, level, engine.time + self._deadline, self._machine, version)
        try:
            return await bulk.answer
        except asyncio.CancelledError:
            engine.abandon(bulk)
            raise


class Proxy:
    """Calls of one machine, by attribute."""

    def __init__(self, calls: Calls, machine: type[Machine]) -> None:
        self._calls = calls
        self._machine = machine
        self._methods = machine_methods(machine)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = self._methods.get(name)
        if method is None:
            known = ", ".join(self._methods) or "none"
            raise AttributeError(
                f"{self._machine.__name__} has no command or query {name!r}; it has: {known}"
            )
        found = method

        def call(*args: Any, **kwargs: Any) -> Awaitable[Any]:
            return self._calls.call(found, *args, **kwargs)

        return call


def _outcome(method: Method[..., ..., R], result: Result) -> Outcome[R]:
    try:
        return Ok(decode_result(method, result))
    except (MachineError, CallError) as error:
        return error
