"""Client processes of a run: the real client, what it asks, and what it was told."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from jepsen_like.sim.happening import Kind
from jepsen_like.sim.verdict import Violation
from raftlog.client import Client
from raftlog.machine.calls import CallError, CallFailed, CallUnknown
from raftlog.machine.contract import StateMachine
from raftlog.machine.errors import MachineError
from raftlog.machine.method import Method
from raftlog.testing.link import SimDialer

if TYPE_CHECKING:
    from jepsen_like.sim.node.host import Host
    from jepsen_like.sim.node.world import World

P = ParamSpec("P")
R = TypeVar("R")

GRACE = 3.0
"""Seconds beyond its deadline after which a call that brought no outcome is a defect."""


class Caller:
    """One client process. Its calls bring what the client brings, and are counted and recorded on the way.

    Invariant: every call is acknowledged, failed or unknown.
    """

    def __init__(self, world: "World", name: str, client: Client, random: Random, deadline: float) -> None:
        self.world = world
        self.deadline = deadline
        self.name = name
        self.client = client
        self.random = random

    @property
    def nanos(self) -> int:
        """Virtual nanoseconds since the run began, as histories have them."""
        return self.world.loop.micros * 1_000

    async def call(self, method: Method[..., P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a method of the machine.

        Raises:
            MachineError: it happened, with this outcome.
            CallFailed: it certainly did not happen.
            CallUnknown: it may have happened.
        """
        world, flight = self.world, self.world.chronicle.serial()
        name = method.name
        self._note("invoke", f"{name}{_arguments(args)}", flight)
        try:
            async with asyncio.timeout(self.deadline + GRACE):
                value = await self.client.call(method, *args, **kwargs)
        except TimeoutError:
            waited = self.deadline + GRACE
            raise Violation("client", f"{self.name}: {name} has no outcome after {waited} s") from None
        except CallFailed as failed:
            world.outcomes["failed"] += 1
            self._note("fail", f"{name}: {failed.refusal.reason}", flight)
            raise
        except CallUnknown as unknown:
            world.outcomes["unknown"] += 1
            self._note("unknown", f"{name}: {unknown.refusal.reason}", flight)
            raise
        except (MachineError, CallError) as answer:
            world.outcomes["acknowledged"] += 1
            self._note("ok", f"{name}: {type(answer).__name__}", flight)
            raise
        world.outcomes["acknowledged"] += 1
        self._note("ok", f"{name}: {_short(value)}", flight)
        return value

    def _note(self, kind: Kind, text: str, flight: int) -> None:
        self.world.chronicle.note(self.name, kind, text, flight=flight)


class Story(Protocol):
    """What the clients of a run do, with which machine, and what must be true of what they saw."""

    machine: Callable[[], StateMachine]

    async def live(self, caller: Caller, until: float) -> None:
        """One client's life under faults, until the loop's time is past `until` and its last call is answered."""
        ...

    async def try_node(self, caller: Caller, calls: int) -> None:
        """After the faults, a client of one healed node: so many calls, all of which must succeed."""
        ...

    async def audit(self, caller: Caller) -> None:
        """The same client reads everything that was acknowledged.

        Raises:
            Violation: something acknowledged is not there.
        """
        ...

    def verdict(self, world: "World") -> None:
        """Judge the whole run.

        Raises:
            Violation: what the clients saw is not what they were promised.
        """
        ...


async def visit(
    world: "World",
    name: str,
    addresses: list[str],
    use: Callable[[Caller], Coroutine[object, object, None]],
    *,
    deadline: float,
    follow: bool = True,
) -> None:
    """Be a client process on a host of its own; call it in a task of that host's context."""
    random = world.draw(f"caller {name}")
    dialer = SimDialer(world.network, name)
    async with Client(
        addresses, dialer=dialer, random=Random(random.getrandbits(64)), deadline=deadline, follow=follow
    ) as client:
        await use(Caller(world, name, client, random, deadline))
    await dialer.close()


async def all_of(world: "World", works: dict[str, Coroutine[object, object, None]]) -> None:
    """Run each on the host it is named for; the first that fails ends the others."""
    async with asyncio.TaskGroup() as group:
        for name, work in works.items():
            group.create_task(work, name=name, context=world.loop.context_of(name))


def _arguments(args: tuple[object, ...]) -> str:
    return f"({', '.join(map(_short, args))})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def addresses(hosts: "list[Host]") -> list[str]:
    """Where clients find these hosts."""
    return [host.client_address for host in hosts]
