"""The blocking client: the asyncio one on a thread of its own, for programs without an event loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import partial
from random import Random
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from raftlog.client.calls import Calls
from raftlog.client.client import Client
from raftlog.client.engine import ANY_CLUSTER
from raftlog.client.limits import Limits
from raftlog.client.outcome import Outcome
from raftlog.core.ids import META_GROUP, ClusterId, GroupId
from raftlog.machine.method import Method
from raftlog.machine.result import Result
from raftlog.transport.client_frames import Level
from raftlog.transport.link import Dialer

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class BlockingCalls:
    """The methods of `Calls`, each waiting for its outcome. Safe to use from many threads at once."""

    def __init__(
        self, run: "Callable[[Coroutine[Any, Any, Any]], Any]", calls: "Callable[[], Calls]"
    ) -> None:
        self._run = run
        self._calls = calls

    def options(self, *, deadline: float | None = None, level: Level | None = None) -> "BlockingCalls":
        """See `Calls.options`."""
        return BlockingCalls(self._run, lambda: self._calls().options(deadline=deadline, level=level))

    def call(self, method: Method[..., P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Calls.call`."""
        answer: R = self._run(self._calls().call(method, *args, **kwargs))
        return answer

    def outcome(self, method: Method[..., P, R], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[R]:
        """See `Calls.outcome`."""
        outcome: Outcome[R] = self._run(self._calls().outcome(method, *args, **kwargs))
        return outcome

    def call_many(
        self, method: Method[..., ..., R], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Outcome[R]]:
        """See `Calls.call_many`."""
        outcomes: list[Outcome[R]] = self._run(self._calls().call_many(method, arguments))
        return outcomes

    def execute(self, body: bytes) -> Result:
        """See `Calls.execute`."""
        result: Result = self._run(self._calls().execute(body))
        return result

    def read(self, body: bytes) -> Result:
        """See `Calls.read`."""
        result: Result = self._run(self._calls().read(body))
        return result


class BlockingClient(BlockingCalls):
    """A client whose methods block; used with `with`, from any number of threads.

        with BlockingClient(["10.0.0.1:7001"]) as client:
            client.call(Counter.add, 3)

    One thread runs the event loop of one `Client`; concurrent calls of many threads travel together. An interrupt
    (Ctrl-C) gives up the call that waits, which may have happened then.

    Not promised: use after a fork.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        dialer: Callable[[], Dialer] | None = None,
        random: Random | None = None,
        deadline: float = 10.0,
        session: bool = True,
        group: GroupId = META_GROUP,
        cluster_id: ClusterId = ANY_CLUSTER,
        limits: Limits | None = None,
    ) -> None:
        """See `Client`. `dialer` makes one, on the client's own thread, and it is closed with the client."""
        super().__init__(self._wait_for, self._running)
        self._dialer = dialer
        self._make = partial(
            Client,
            addresses,
            random=random,
            deadline=deadline,
            session=session,
            group=group,
            cluster_id=cluster_id,
            limits=limits,
        )
        self._thread = threading.Thread(target=self._live, name="raftlog client", daemon=True)
        self._ready: Future[Client] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._closed = False

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def _running(self) -> Client:
        if not self._ready.done() or self._closed:
            why = "is closed" if self._closed else "has not been entered"
            raise RuntimeError(f"the client {why}: write `with BlockingClient(...) as client:`")
        return self._ready.result()

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None, "a client that runs has a loop"
        try:
            answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise RuntimeError("the client's thread has ended") from self._failure
        try:
            return answer.result()
        except BaseException:
            answer.cancel()
            raise

    # On the client's own thread.

    def _live(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller's thread must hear of it
            self._failure = error
            if not self._ready.done():
                self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        dialer = self._dialer() if self._dialer is not None else None
        try:
            async with self._make(dialer=dialer) as client:
                self._ready.set_result(client)
                await self._stop.wait()
        finally:
            if dialer is not None:
                await dialer.close()
