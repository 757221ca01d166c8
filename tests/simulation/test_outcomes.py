"""What nodes say of commands without a session is true: ok happened once, failed never, unknown at most once.

No client stands between: commands go straight to any node, most are passed on, and nobody ever tries again. Run one
seed with: make test ARGS="tests/simulation/test_outcomes.py -k seed0007"
"""

import asyncio
from collections import Counter
from random import Random

import pytest

from raftlog.core.settings import Settings
from raftlog.machine.result import Kind
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.simulation.asking import Answers, Stepping, adds, led, read, running, submit, value
from tests.simulation.checks import Watch
from tests.simulation.world import Host, World

SEEDS = range(5)
LENGTH = 10.0
"""Virtual seconds under faults."""
STUMBLES = 0.001
"""How often a command finds no memory on one node."""


@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"seed{seed:04d}") for seed in SEEDS])
def test_every_answer_is_true(seed: int) -> None:
    run(Story(seed).tell(), seed=seed)


class Ledger:
    """Every command under a name of its own, with what was said of it."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[Answers, int]] = {}
        self._confirmed: list[str] = []
        self.reads = 0

    def ask(self, host: Host, count: int) -> None:
        """A batch of commands at one node."""
        names = [f"t{len(self._said) + n}" for n in range(count)]
        answers = submit(running(host), [command for name in names for command in adds(1, name)])
        self._said |= {name: (answers, at) for at, name in enumerate(names)}

    def kind(self, name: str) -> Kind | None:
        """What was said of a command so far."""
        answers, at = self._said[name]
        return None if answers.results is None else answers.results[at].kind

    async def look(self, host: Host, random: Random) -> None:
        """A read of something that was confirmed before it began."""
        confirmed = [name for name in list(self._said)[-200:] if self.kind(name) is Kind.OK]
        if confirmed:
            name = random.choice(confirmed)
            result = await read(running(host), name)
            if result.kind is Kind.OK:
                self.reads += 1
                assert value(result) == 1, f"{host.name} read {name} as {value(result)}"

    async def reckon(self, host: Host) -> None:
        """Compare what was said with what is."""
        for name, (answers, at) in self._said.items():
            kind = (await answers.wait())[at].kind
            count = value(await read(running(host), name))
            allowed = {Kind.OK: {1}, Kind.FAILED: {0}, Kind.UNKNOWN: {0, 1}}[kind]
            assert count in allowed, f"{name} was answered {kind.name} and happened {count} times"
        kinds = Counter(self.kind(name) for name in self._said)
        assert min(kinds[kind] for kind in (Kind.OK, Kind.FAILED, Kind.UNKNOWN)) > 0, f"no test: {kinds}"
        assert self.reads > 0, "nothing was read: no test"


class Story:
    """Faults for a while, then peace, then the reckoning."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.seed = seed
        self.peace = False
        self.ledger = Ledger()

    def stumble(self) -> None:
        """Now and then a node has no memory for a command."""
        if not self.peace and self.random.random() < STUMBLES:
            raise MemoryError("no memory left")

    async def tell(self) -> None:
        """The whole run."""
        weather = Weather(delay=(100, 20_000), loss=0.02, duplicate=0.1, reorder=0.1, breaks=0.0005)
        world = World(
            self.seed,
            machine=lambda: Stepping(self.stumble),
            weather=weather,
            settings=Settings(max_recent=self.random.choice((1, 1 << 20))),
        )
        try:
            await world.start()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.trouble(world))
                await self.work(world, tasks)
            self.peace = True
            world.network.weather = Weather()
            leader = await led(world)
            await asyncio.sleep(10)  # whoever stumbled last builds its state anew
            await self.ledger.reckon(leader)
            states = {running(host).status().digest for host in world.hosts}
            assert len(states) == 1, "the nodes differ"
        except BaseException as error:
            error.add_note("\n".join(world.log[-80:]))
            raise
        await world.stop()

    async def work(self, world: World, tasks: asyncio.TaskGroup) -> None:
        """Commands and reads at random nodes."""
        random, watch = self.random, Watch(world)
        while world.loop.time() < LENGTH:
            if up := [host for host in world.hosts if host.node is not None]:
                self.ledger.ask(random.choice(up), random.choice((1, 1, 3, 40)))
                tasks.create_task(self.ledger.look(random.choice(up), random))
            watch.look()
            await asyncio.sleep(random.uniform(0.0, 0.05))

    async def trouble(self, world: World) -> None:
        """One fault after the other."""
        random, network = self.random, world.network
        names = [host.name for host in world.hosts]
        while world.loop.time() < LENGTH:
            await asyncio.sleep(random.uniform(0.2, 1.5))
            host = random.choice(world.hosts)
            match random.choice(("crash", "partition", "one way", "hang", "disk")):
                case "crash":
                    await host.crash()
                    await asyncio.sleep(random.uniform(0.0, 1.0))
                    await host.start()
                case "partition":
                    network.isolate(host.name, [name for name in names if name != host.name])
                case "one way":
                    network.cut(host.name, random.choice([name for name in names if name != host.name]))
                case "hang":
                    network.hang(host.name)
                case _:
                    host.disk.hold("sync")
            await asyncio.sleep(random.uniform(0.0, 2.5))
            network.heal()
            for each in world.hosts:
                network.resume(each.name)
                each.disk.release("sync")
