"""An event loop in virtual time: when nothing is ready it jumps to the next timer, and equal runs are equal."""

import asyncio
import gc
import heapq
import threading
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Never, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MICROS = 1_000_000


class SimDeadlock(RuntimeError):
    """Every task waits for something that can no longer happen."""


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
    """Timers due at the same microsecond run in the order they were set."""

    _serial: int
    _when: float
    _scheduled: bool

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _Timer):
            return NotImplemented
        return (self._when, self._serial) < (other._when, other._serial)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class _Selector:
    """Stands where the base loop waits for sockets; waiting is jumping ahead."""

    def __init__(self, loop: "SimLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Never]:
        if timeout is None:
            self._loop.starve()
        elif timeout > 0:
            self._loop.jump()
        return []


class SimLoop(asyncio.BaseEventLoop):
    """Single-threaded, without I/O; time is an integer count of microseconds and moves only when nothing is ready.

    Invariants: time never goes back; callbacks run in an order that depends on nothing but the program; no thread
    but the one that runs the loop touches it. What needs threads or sockets raises RuntimeError.
    """

    # asyncio's own, which its published types leave out.
    _scheduled: list[events.TimerHandle]
    _thread_id: int | None

    def __init__(self) -> None:
        super().__init__()
        self._micros = 0
        self._serials = 0
        self._selector = _Selector(self)
        # Half a tick: a timer is due when its microsecond has come, and never one early by rounding.
        self._clock_resolution = 0.5 / MICROS
        self.early = 0
        """Microseconds by which long timers come early, as with loops that count in milliseconds (uvloop does)."""
        self.broken: list[dict[str, Any]] = []
        """What reached the loop's exception handler: failures that nobody awaited."""
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._note_failure)

    @property
    def micros(self) -> int:
        """Virtual microseconds since the loop was made."""
        return self._micros

    def time(self) -> float:
        """The same in seconds."""
        return self._micros / MICROS

    def serial(self) -> int:
        """The next serial number of this loop; it takes the place of addresses."""
        self._serials += 1
        return self._serials

    def create_future(self) -> SimFuture[Any]:
        """See `SimFuture`."""
        return SimFuture(loop=self)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.TimerHandle:
        """As asyncio's, to the nearest microsecond, never before now."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.TimerHandle:
        """As asyncio's, to the nearest microsecond less what long timers come `early`, never before now."""
        wanted = round(when * MICROS)
        return self._call_at(
            wanted - self.early if wanted - self._micros > 2 * self.early else wanted, callback, args, context
        )

    def call_exactly(self, micros: int, callback: Callable[[*Ts], object], *args: *Ts) -> events.TimerHandle:
        """Call back after so many microseconds, never early: for what is simulated, not for what is tested."""
        return self._call_at(self._micros + micros, callback, args, None)

    def _call_at(
        self, micros: int, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> events.TimerHandle:
        assert not self.is_closed(), "a timer on a loop that has ended"
        due = max(micros, self._micros) / MICROS
        timer = _Timer(due, callback, args, self, context)
        timer._serial = self.serial()
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def jump(self) -> None:
        """Nothing is ready: it is now the time of the next timer."""
        self._micros = max(self._micros, round(self._scheduled[0].when() * MICROS))

    def spend(self, micros: int) -> None:
        """Whatever runs now takes this long and lets nobody else run meanwhile: slow code, as others see it."""
        assert micros >= 0, f"nothing takes {micros} us"
        self._micros += micros

    def starve(self) -> Never:
        """Nothing is ready and no timer is set."""
        tasks = sorted(asyncio.all_tasks(self), key=hash)
        waiting = "\n".join(f"  {task.get_name()}: {_where(task)}" for task in tasks)
        raise SimDeadlock(
            f"at {self.time():.6f} s nothing is ready, no timer is set, and these tasks wait for ever:\n{waiting}"
        )

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.Handle:
        """As `call_soon`; refused from any other thread."""
        if self._thread_id not in (None, threading.get_ident()):
            self._refuse("a call from another thread")
        return self.call_soon(callback, *args, context=context)

    def _note_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.broken.append(context)

    def _make_task(
        self,
        _: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        **options: Any,
    ) -> SimTask[T]:
        return SimTask(coro, loop=self, **options)

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


def run(main: Coroutine[Any, Any, T], *, seed: int | None = None) -> T:
    """Run `main` on a fresh `SimLoop` to its end, and see that nothing was left over.

    `seed` is only shown: whatever goes wrong carries it as a note, so that the run can be repeated.

    Raises:
        SimDeadlock: nothing can happen any more.
        SimLeak: tasks were left running.
        Exception: what `main` raised, or what a task nobody awaited raised.
    """
    loop = SimLoop()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            result = runner.run(_owned(main, loop))
        gc.collect(0)  # a task dropped with its exception reports it when it is collected
        _raise_unawaited(loop)
        return result
    except BaseException as error:
        error.add_note(
            f"in a simulation{'' if seed is None else f' under seed {seed}'} at {loop.time():.6f} s"
        )
        raise


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
