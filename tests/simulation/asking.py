"""How a test speaks to the nodes of a world directly: calls whose answers it keeps, and waiting for a leader."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from raftlog.core.entry import Command
from raftlog.core.ids import META_GROUP
from raftlog.core.settings import Settings
from raftlog.machine.calls import decode_result, encode_call
from raftlog.machine.contract import Context, StateMachine
from raftlog.machine.result import Kind, Result
from raftlog.node import Node
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from raftlog.transport.client_frames import Level
from tests.simulation.tally import Tally
from tests.simulation.world import Host, World

PATIENCE = 20.0
"""Virtual seconds after which whatever a test waits for will not come any more."""


class Stepping(StateMachine):
    """A Tally that first lets a test do something in the middle of each command."""

    name = "stepping"

    def __init__(self, step: Callable[[], None] = lambda: None) -> None:
        self._tally = Tally()
        self.step = step

    def apply(self, command: bytes, context: Context) -> Result:
        """Count, then step: whatever the step raises leaves the state changed."""
        result = self._tally.apply(command, context)
        self.step()
        return result

    def query(self, query: bytes) -> Result:
        """See `Tally`."""
        return self._tally.query(query)

    def capture(self) -> object:
        """See `Tally`."""
        return self._tally.capture()

    def write(self, view: Any) -> Iterator[bytes]:
        """See `Tally`."""
        return self._tally.write(view)

    def restore(self, chunks: Any, version: int) -> None:
        """See `Tally`."""
        self._tally.restore(chunks, version)


class Answers:
    """The answer to one batch of commands, once it is there."""

    def __init__(self) -> None:
        self.results: list[Result] | None = None
        self.at: float | None = None
        self._there = asyncio.Event()

    def __call__(self, results: Sequence[Result]) -> None:
        assert self.results is None, f"answered twice: {self.results}, then {list(results)}"
        self.results = list(results)
        self.at = asyncio.get_running_loop().time()
        self._there.set()

    async def wait(self) -> list[Result]:
        """The results, in order."""
        async with asyncio.timeout(PATIENCE):
            await self._there.wait()
        assert self.results is not None, "woken without an answer"
        return self.results


def adds(count: int = 1, name: str = "x") -> list[Command]:
    """Commands without a session that each add one."""
    return [Command(0, 0, 0, 1, 1, encode_call(Tally.add, name, 1)) for _ in range(count)]


def submit(node: Node, commands: Sequence[Command]) -> Answers:
    """Hand commands to a node."""
    answers = Answers()
    node.submit(META_GROUP, commands, answers)
    return answers


async def read(node: Node, name: str = "x", level: Level = Level.LINEARIZABLE) -> Result:
    """Ask one node for a counter."""
    released: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()

    def done(refused: Result | None) -> None:
        if not released.done():  # whoever asked may have given up
            released.set_result(refused)

    node.read(META_GROUP, level, done)
    async with asyncio.timeout(PATIENCE):
        refused = await released
    return refused or node.query(META_GROUP, 1, encode_call(Tally.read, name))


def value(result: Result) -> int:
    """The number in an answer."""
    return decode_result(Tally.read, result)


def running(host: Host) -> Node:
    """The host's node."""
    assert host.node is not None, f"{host.name} does not run"
    return host.node


def kinds(results: Sequence[Result]) -> set[Kind]:
    """What became of them, each kind once."""
    return {result.kind for result in results}


async def led(world: World, *, among: Sequence[Host] = ()) -> Host:
    """Wait until one of these hosts (of all) leads and all of them know it; that host."""
    hosts = among or world.hosts
    async with asyncio.timeout(PATIENCE):
        while True:
            statuses = [running(host).status() for host in hosts]
            leaders = {status.leader for status in statuses}
            found = [host for host, s in zip(hosts, statuses, strict=True) if s.role == "leader"]
            if len(found) == 1 and leaders == {found[0].id} and statuses[0].committed > 0:
                return found[0]
            await asyncio.sleep(0.02)


async def noted(world: World, text: str) -> None:
    """Wait until some node has said this."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if any(text in line for line in world.log):
                return
            await asyncio.sleep(0.02)


async def agreed(world: World, count: int, name: str = "x") -> None:
    """Wait until every running node has the counter at `count` and all states are equal."""
    hosts = [host for host in world.hosts if host.node is not None]
    async with asyncio.timeout(PATIENCE):
        while True:
            statuses = [running(host).status() for host in hosts]
            if len({(status.last, status.applied, status.digest) for status in statuses}) == 1:
                break
            await asyncio.sleep(0.02)
    for host in hosts:
        assert value(await read(running(host), name)) == count, f"{host.name}\n" + "\n".join(world.log)


def play(
    story: Callable[[World], Any],
    *,
    seed: int = 1,
    machine: Callable[[], StateMachine] = Tally,
    settings: Settings | None = None,
) -> None:
    """Run a story on three nodes that have a leader."""

    async def main() -> None:
        world = World(seed, machine=machine, weather=Weather(), settings=settings)
        await world.start()
        try:
            await led(world)
            await story(world)
        except BaseException as error:
            error.add_note("\n".join(world.log[-60:]))
            raise
        await world.stop()

    run(main(), seed=seed)
