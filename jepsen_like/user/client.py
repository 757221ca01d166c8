"""What a user's workload calls: the real client on a simulated host, with its calls recorded for the model."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, ParamSpec, TypeVar

import msgspec

from jepsen_like.check import History
from jepsen_like.check.frozen import frozen
from jepsen_like.sim.node.callers import Caller
from raftlog.client import Client
from raftlog.machine.calls import CallFailed
from raftlog.machine.errors import MachineError
from raftlog.machine.method import Method, QueryMethod
from raftlog.machine.result import Kind, Result

P = ParamSpec("P")
R = TypeVar("R")


class Recording:
    """The history of one run: calls on their own, or operations that a workload makes of several calls.

    Invariant: a process of the history has one operation under way; a client with several at once is several processes.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self.history = History()
        self.wanted = wanted
        self._busy: set[str] = set()

    def begin(self, client: str, f: str, argument: object, time: int) -> str:
        """An operation begins; the process it is one of."""
        lane, number = client, 1
        while lane in self._busy:
            number += 1
            lane = f"{client}/{number}"
        self._busy.add(lane)
        self.history.invoke(lane, f, plain(argument), time=time)
        return lane

    def end(self, lane: str) -> History:
        """It is over; say in the history how."""
        self._busy.remove(lane)
        return self.history


class Operation:
    """Several calls that are one operation to the model, such as a read and the write that follows from it."""

    def __init__(self) -> None:
        self.result: Any = None
        self.touched = False
        """A command of it was acknowledged, or may have happened."""

    def answer(self, result: object) -> None:
        """What the operation answered; None if this is never called."""
        self.result = plain(result)


class SimulatedClient:
    """One client of the cluster under test, on a host of its own.

    Calls have the outcomes of the real client, for it is one: a value, a declared error, `CallFailed` (certainly did
    not happen) or `CallUnknown` (may have happened, or may yet).
    """

    def __init__(
        self, name: str, connected: Callable[[], Any], recording: Recording, shared: dict[str, Any]
    ) -> None:
        self.name = name
        """`c1`, `c2`, ..."""
        self.shared = shared
        """Of all clients of this run, and empty when it begins: what a workload wants to remember until its end."""
        self.calls_under_way = 0
        self.acknowledged = 0
        self._connected = connected
        self._recording = recording
        self._operation: Operation | None = None

    @property
    def time(self) -> float:
        """Virtual seconds since the run began."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def raw(self) -> Client:
        """The client itself, for what `call` does not do: pipelines, other levels of reads. It records nothing."""
        caller: Caller = await self._connected()
        self.acknowledged += 1  # nobody counts what it does, so nobody may call the run idle
        return caller.client

    async def call(self, method: Method[..., P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a command or a query: `await client.call(Counter.add, 3)`.

        Raises:
            MachineError: the machine answered with this declared error.
            MachineFault: the machine broke while running it.
            CallFailed: it certainly did not happen.
            CallUnknown: it may have happened, or may yet.
        """
        caller: Caller = await self._connected()
        self.calls_under_way += 1
        try:
            value = await self._recorded(caller, method, args, kwargs)
        finally:
            self.calls_under_way -= 1
        self.acknowledged += 1
        return value

    async def _recorded(
        self, caller: Caller, method: Method[..., ..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> R:
        operation, recording = self._operation, self._recording
        if operation is not None:
            return await self._part(operation, caller, method, args, kwargs)
        if not recording.wanted(method.name):
            return await caller.call(method, *args, **kwargs)
        lane = recording.begin(self.name, method.name, _argument(method, args, kwargs), caller.nanos)
        try:
            value = await caller.call(method, *args, **kwargs)
        except (MachineError, CallFailed) as error:
            recording.end(lane).fail(lane, time=caller.nanos, error=str(error))
            raise
        except BaseException as error:
            recording.end(lane).info(lane, time=caller.nanos, error=str(error))
            raise
        recording.end(lane).ok(lane, plain(value), time=caller.nanos)
        return value

    async def _part(
        self,
        operation: Operation,
        caller: Caller,
        method: Method[..., ..., R],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> R:
        try:
            value = await caller.call(method, *args, **kwargs)
        except (MachineError, CallFailed):
            raise
        except BaseException:
            operation.touched |= not isinstance(method, QueryMethod)
            raise
        operation.touched |= not isinstance(method, QueryMethod)
        return value

    async def execute(self, body: bytes) -> Result:
        """Run a command of a machine that takes bytes (`StateMachine`). Recorded only as part of an operation."""
        return await self._bytes(lambda client: client.execute(body), writes=True)

    async def ask(self, body: bytes) -> Result:
        """Ask a query of such a machine."""
        return await self._bytes(lambda client: client.read(body), writes=False)

    async def _bytes(self, run: Callable[[Client], Awaitable[Result]], *, writes: bool) -> Result:
        caller: Caller = await self._connected()
        self.calls_under_way += 1
        try:
            result = await run(caller.client)
        finally:
            self.calls_under_way -= 1
        happened = result.kind is not Kind.FAILED
        self.acknowledged += happened and result.kind is not Kind.UNKNOWN
        if self._operation is not None:
            self._operation.touched |= writes and happened
        return result

    @contextmanager
    def operation(self, f: str, argument: object = None) -> Iterator[Operation]:
        """Make one operation of the calls in the block: the model is asked about `f`, and not about them.

            with client.operation("increment") as operation:
                value = await client.call(Cell.read)
                await client.call(Cell.write, value + 1)
                operation.answer(value + 1)

        If the block raises: it did not happen as long as no command of it can have happened, else nobody knows.
        """
        assert self._operation is None, f"{self.name} is in an operation already: end it first"
        operation = self._operation = Operation()
        lane = self._recording.begin(self.name, f, argument, self._nanos())
        try:
            yield operation
        except BaseException as error:
            history = self._recording.end(lane)
            if operation.touched or not isinstance(error, Exception):
                history.info(lane, time=self._nanos(), error=str(error))
            else:
                history.fail(lane, time=self._nanos(), error=str(error))
            raise
        else:
            self._recording.end(lane).ok(lane, operation.result, time=self._nanos())
        finally:
            self._operation = None

    def _nanos(self) -> int:
        return round(self.time * 1e9)


def plain(value: object) -> Any:
    """A value as histories and models have it: immutable, and a copy, so that nobody changes the past."""
    if isinstance(value, msgspec.Struct) or hasattr(type(value), "__dataclass_fields__"):
        value = msgspec.to_builtins(value, builtin_types=(bytes,))
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    if isinstance(value, dict):
        value = {plain(key): plain(each) for key, each in value.items()}
    return frozen(value)


def _argument(method: Method[..., ..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """None, the one argument, or a tuple of them; defaults filled in."""
    values = msgspec.structs.astuple(method.call.shapes[0](*args, **kwargs))
    match values:
        case ():
            return None
        case (one,):
            return one
        case _:
            return values


Workload = Callable[[SimulatedClient, Random], Any]
