"""An event loop in virtual time: when nothing is ready it jumps to the next timer, and equal runs are equal."""

import asyncio
import gc
import heapq
import threading
import weakref
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Never, TypeVar, TypeVarTuple

from raftlog.testing.sealed import sealed

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MICROS = 1_000_000

COLLECT_EVERY = 200_000
"""Callbacks between two collections of garbage."""
STUCK_AFTER = 500_000
"""Callbacks at one and the same microsecond that no program means."""

_host: ContextVar[str] = ContextVar("host", default="")
"""On which simulated host the running code is; empty: outside, where the network and the story itself are."""


class SimDeadlock(RuntimeError):
    """Every task waits for something that can no longer happen, or something happens for ever and no time passes."""


class SimLeak(RuntimeError):
    """The main coroutine ended and left tasks behind that nobody owns."""


class SimFuture(asyncio.Future[T]):
    """A future whose hash is its serial number: sets of futures then iterate alike in every run."""

    def __init__(self, *, loop: "SimLoop") -> None:
        super().__init__(loop=loop)
        self._serial = loop.serial()

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class SimTask(asyncio.Task[T]):
    """A task whose hash is its serial number.

    TaskGroup, `wait` and `as_completed` keep tasks in sets, which by default are ordered by address: aborting a group
    would cancel its tasks in another order in each run.
    """

    def __init__(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        loop: "SimLoop",
        name: str | None = None,
        context: Context | None = None,
    ) -> None:
        self._serial = loop.serial()
        # asyncio's own names count up over the life of the process.
        super().__init__(coro, loop=loop, name=name or f"task {self._serial}", context=context)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class _Timer(events.TimerHandle):
    """A timer in the loop's own heap."""

    _cancelled: bool
    _context: Context
    _scheduled: bool


class SimLoop(asyncio.BaseEventLoop):
    """Single-threaded, without I/O; time is an integer count of microseconds and moves only when nothing is ready.

    The program may be several simulated hosts: what is started in `context_of(host)`, and all that it starts, belongs
    to that host. A host can be paused, and its clock can be wrong. With `order` the loop also draws what no program may
    rely on: which of several timers due at the same microsecond runs first (asyncio promises nothing about them), and
    how the turns of different hosts mix within a microsecond (they are different computers). Within one host callbacks
    keep the order they were made ready in, which asyncio does promise.

    Invariants: time never goes back; callbacks run in an order that depends on nothing but the program and `order`; no
    thread but the one that runs the loop touches it. What needs threads or sockets raises RuntimeError.
    """

    # asyncio's own, which its published types leave out.
    _ready: deque[events.Handle]
    _stopping: bool
    _thread_id: int | None
    _timer_cancelled_count: int

    def __init__(self, order: Random | None = None) -> None:
        super().__init__()
        self._micros = 0
        self._serials = 0
        self._order = order
        self._outside = copy_context()
        self._timers: list[tuple[int, int, int, _Timer]] = []
        self._parked: dict[str, list[events.Handle]] = {}
        self._rates: dict[str, int] = {}
        self._generators: dict[int, weakref.ref[AsyncGenerator[Any, Any]]] = {}
        self._still = 0
        self.events = 0
        """Callbacks run so far."""
        self.early = 0
        """Microseconds by which long timers come early, as with loops that count in milliseconds (uvloop does)."""
        self.after_turn: Callable[[], None] | None = None
        """Called whenever everything that was ready has run; must not touch the loop."""
        self.broken: list[dict[str, Any]] = []
        """What reached the loop's exception handler: failures that nobody awaited."""
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._note_failure)

    # -- time

    @property
    def micros(self) -> int:
        """Virtual microseconds since the loop was made."""
        return self._micros

    def time(self) -> float:
        """The same in seconds."""
        return self._micros / MICROS

    def spend(self, micros: int) -> None:
        """Whatever runs now takes this long and lets nobody else run meanwhile: slow code, as others see it."""
        assert micros >= 0, f"nothing takes {micros} us"
        self._micros += micros

    def serial(self) -> int:
        """The next serial number of this loop; it takes the place of addresses."""
        self._serials += 1
        return self._serials

    # -- hosts

    def context_of(self, host: str) -> Context:
        """A new context for a task of this host: `create_task(..., context=loop.context_of("n1"))`."""
        context = self._outside.copy()
        context.run(_host.set, host)
        return context

    def pause(self, host: str) -> None:
        """Nothing of this host runs until `resume`, as after SIGSTOP: neither tasks nor timers that come due."""
        assert host, "what is outside of all hosts cannot be paused"
        self._parked.setdefault(host, [])

    def resume(self, host: str) -> None:
        """The host goes on, first with what has become ready meanwhile, in order."""
        self._ready.extend(self._parked.pop(host, ()))

    def paused(self, host: str) -> bool:
        """Whether the host stands still."""
        return host in self._parked

    def waiting(self, host: str) -> int:
        """How much of a paused host has become ready meanwhile."""
        return len(self._parked.get(host, ()))

    def set_rate(self, host: str, ppm: int) -> None:
        """From now on this host's timers run at (1 + ppm / 1,000,000) of the true rate."""
        if ppm:
            self._rates[host] = ppm
        else:
            self._rates.pop(host, None)

    # -- what programs ask of a loop

    def create_future(self) -> SimFuture[Any]:
        """See `SimFuture`."""
        return SimFuture(loop=self)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.TimerHandle:
        """As asyncio's, to the nearest microsecond, never before now."""
        return self.call_at(self._micros / MICROS + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.TimerHandle:
        """As asyncio's, to the nearest microsecond less what long timers come `early`, never before now."""
        wanted = round(when * MICROS)
        if self._rates and (ppm := self._rates.get(_host.get())) is not None:
            wanted = self._micros - (self._micros - wanted) * MICROS // (
                MICROS + ppm
            )  # rounded up: never early
        return self._call_at(
            wanted - self.early if wanted - self._micros > 2 * self.early else wanted, callback, args, context
        )

    def call_exactly(
        self, micros: int, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.TimerHandle:
        """Call back after so many microseconds, never early: for what is simulated, not for what is tested.

        Belongs to no host unless a `context` says so: what is on its way is not held up when its sender stands still.
        """
        return self._call_at(self._micros + micros, callback, args, context or self._outside)

    def _call_at(
        self, micros: int, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> events.TimerHandle:
        assert not self.is_closed(), "a timer on a loop that has ended"
        due = max(micros, self._micros)
        timer = _Timer(due / MICROS, callback, args, self, context)
        timer._scheduled = True
        lot = self._order.getrandbits(16) if self._order is not None else 0
        heapq.heappush(self._timers, (due, lot, self.serial(), timer))
        return timer

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.Handle:
        """As `call_soon`; refused from any other thread."""
        if self._thread_id not in (None, threading.get_ident()):
            self._refuse("a call from another thread")
        return self.call_soon(callback, *args, context=context)

    async def shutdown_asyncgens(self) -> None:
        """As asyncio's, in the order in which the generators were begun."""
        left = [found for _, each in sorted(self._generators.items()) if (found := each()) is not None]
        self._generators.clear()
        for generator in left:
            await generator.aclose()

    # -- one turn

    def _run_once(self) -> None:
        ready = self._ready
        if not ready and not self._stopping:
            self._advance()
        timers, now = self._timers, self._micros
        while timers and timers[0][0] <= now:
            timer = heapq.heappop(timers)[3]
            timer._scheduled = False
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            else:
                ready.append(timer)
        count = len(ready)
        if count > 1 and self._order is not None:
            self._mix(self._order)
        self._run_ready(count)
        if self.after_turn is not None:
            self.after_turn()

    def _run_ready(self, count: int) -> None:
        ready, parked, before = self._ready, self._parked, self.events
        for _ in range(count):
            handle: Any = ready.popleft()
            if handle._cancelled:
                continue
            if parked and (host := handle._context.get(_host, "")) in parked:
                parked[host].append(handle)
                continue
            self.events += 1
            handle._run()
        self._still += self.events - before
        if self._still > STUCK_AFTER:
            self._still = 0  # let it be ended
            raise SimDeadlock(
                f"{STUCK_AFTER} callbacks have run at {self.time():.6f} s, and no time passes; next: {list(ready)[:3]}"
            )
        if before // COLLECT_EVERY != self.events // COLLECT_EVERY:
            gc.collect()

    def _advance(self) -> None:
        """Nothing is ready: it is now the time of the next timer."""
        timers = self._timers
        while timers and timers[0][3]._cancelled:
            heapq.heappop(timers)
            self._timer_cancelled_count -= 1
        if not timers:
            self._starve()
        if timers[0][0] > self._micros:
            self._micros = timers[0][0]
            self._still = 0

    def _mix(self, order: Random) -> None:
        """Let the turns of several hosts follow each other in a drawn order; each host keeps its own."""
        lanes: dict[str, deque[events.Handle]] = {}
        for handle in self._ready:
            lanes.setdefault(handle._context.get(_host, ""), deque()).append(handle)  # type: ignore[attr-defined]
        if len(lanes) == 1:
            return
        self._ready.clear()
        waiting = list(lanes.values())
        while waiting:
            at = order.randrange(len(waiting))
            self._ready.append(waiting[at].popleft())
            if not waiting[at]:
                del waiting[at]

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """Throw cancelled timers away once they are the most."""
        if not handle._scheduled:
            return
        self._timer_cancelled_count += 1
        if self._timer_cancelled_count > 200 and self._timer_cancelled_count * 2 > len(self._timers):
            self._timers = [each for each in self._timers if not each[3]._cancelled]
            heapq.heapify(self._timers)
            self._timer_cancelled_count = 0

    def _starve(self) -> Never:
        """Nothing is ready and no timer is set."""
        tasks = sorted(asyncio.all_tasks(self), key=hash)
        waiting = "\n".join(f"  {task.get_name()}: {_where(task)}" for task in tasks)
        raise SimDeadlock(
            f"at {self.time():.6f} s nothing is ready, no timer is set, and these tasks wait for ever:\n{waiting}"
        )

    # -- tasks, generators, failures

    def end(self) -> None:
        """Cancel what is left, oldest first, let it end, and close."""
        try:
            self._parked.clear()
            while left := sorted(asyncio.all_tasks(self), key=hash):
                for task in left:
                    task.cancel()
                self.run_until_complete(asyncio.wait(left))
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()

    def _note_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.broken.append(context)

    def _make_task(
        self,
        _: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        **options: Any,
    ) -> SimTask[T]:
        return SimTask(coro, loop=self, **options)

    def _asyncgen_firstiter_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._generators[self.serial()] = weakref.ref(agen)

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        # Called when the last reference goes: a moment of the program's own, or one of the fixed collections.
        if not self.is_closed():
            self.call_soon(self.create_task, agen.aclose())

    def _process_events(self, event_list: list[Never]) -> None:
        assert not event_list, "there are no sockets here"

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector that would have to be woken."""

    def _refuse(self, what: str) -> Never:
        raise RuntimeError(f"{what} inside a simulation: use the port's in-memory twin instead")


def _refusal(name: str) -> Callable[..., Never]:
    def refuse(self: SimLoop, *_: Any, **__: Any) -> Never:
        self._refuse(name)

    return refuse


for _name in (
    "add_reader",
    "remove_reader",
    "add_writer",
    "remove_writer",
    "add_signal_handler",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "run_in_executor",
    "sendfile",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_sendall",
    "sock_sendfile",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
):
    setattr(SimLoop, _name, _refusal(_name))


def run(main: Coroutine[Any, Any, T], *, seed: int | None = None, loop: SimLoop | None = None) -> T:
    """Run `main` on a fresh `SimLoop`, or the one given, to its end, and see that nothing was left over.

    Threads, real clocks and entropy are refused meanwhile (`raftlog.testing.sealed`), and garbage is collected at fixed
    points only. `seed` is only shown: whatever goes wrong carries it as a note, so that the run can be repeated.

    Raises:
        SimDeadlock: nothing can happen any more.
        SimLeak: tasks were left running.
        Exception: what `main` raised, or what a task nobody awaited raised.
    """
    loop = loop or SimLoop()
    try:
        with _collecting_at_fixed_points(), sealed():
            try:
                result = loop.run_until_complete(_owned(main, loop))
            finally:
                loop.end()
            gc.collect()  # a task dropped with its exception reports it when it is collected
        _raise_unawaited(loop)
        return result
    except BaseException as error:
        error.add_note(
            f"in a simulation{'' if seed is None else f' under seed {seed}'} at {loop.time():.6f} s"
        )
        raise


@contextmanager
def _collecting_at_fixed_points() -> Iterator[None]:
    """What exists before is left out of it: it is not the run's garbage, and looking at it takes long."""
    was_on = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


async def _owned(main: Coroutine[Any, Any, T], loop: SimLoop) -> T:
    result = await main
    await asyncio.sleep(0)  # those that were just cancelled end
    left = sorted(asyncio.all_tasks(loop) - {asyncio.current_task(loop)}, key=hash)
    if left:
        names = "\n".join(f"  {task.get_name()}: {_where(task)}" for task in left)
        raise SimLeak(f"the simulation ended and nobody ended these tasks:\n{names}")
    return result


def _raise_unawaited(loop: SimLoop) -> None:
    for context in loop.broken:
        error = context.get("exception")
        if isinstance(error, BaseException):
            error.add_note(f"reported by the event loop: {context['message']}")
            raise error
        raise RuntimeError(f"reported by the event loop: {context}")


def _where(task: asyncio.Task[Any]) -> str:
    """The innermost line of a task that is still the program's own."""
    frames = task.get_stack()
    if not frames:
        return "not started"
    frame = frames[-1]
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
