"""Busy seconds of three whole nodes in which every failpoint of a node is passed, and what must hold after them."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from random import Random

from raftlog.core.settings import Settings
from raftlog.failpoints import Action, FailpointCrash, FailpointError, OnHit, Rule
from raftlog.machine.result import Kind
from raftlog.storage import DiskError
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.simulation.asking import adds, agreed, led, read, running, submit, value
from tests.simulation.tally import Tally
from tests.simulation.world import Host, World

BUSY = 7.0
"""Virtual seconds of calls and trouble."""
PATIENCE = 4.0
"""Virtual seconds after which a caller gives up: the outcome is unknown to it."""
LARGE = 9_000
"""Bytes of a counter's name that fill a segment soon."""


@dataclass
class Calls:
    """What callers were told.

    Invariants: the counter is never below `ok` nor above `ok + unknown`; each call is counted in `unknown` until its
    answer is there.
    """

    ok: int = 0
    unknown: int = 0
    failed: int = 0
    reads: int = 0
    wrong: list[str] = field(default_factory=list)


class Busy:
    """Nodes whose failpoints are armed, callers, some trouble beside, and peace at the end."""

    def __init__(self, *rules: Rule, once: bool = False, beside: str = "") -> None:
        """`rules` are armed on every node, with `once` until one strikes anywhere; those `beside` on the first."""
        self.rules = rules
        self.once = once
        self.beside = beside
        self.calls = Calls()
        self.hits: dict[str, int] = {}
        self.struck: list[tuple[str, Action]] = []
        """Where `rules` have struck, in order."""
        self._rising = asyncio.Lock()

    def play(self, seed: int) -> "Busy":
        """From empty disks to a cluster at rest, in virtual time."""
        run(self._play(seed), seed=seed)
        return self

    async def _play(self, seed: int) -> None:
        self._world = world = World(seed, machine=Tally, weather=Weather(), settings=Settings(max_recent=1))
        try:
            self._arm(self.rules)
            for host in world.hosts:
                host.on_hit = self._watch(host)
                await host.bootstrap(world.membership)
                await self._rise(host)
            async with asyncio.TaskGroup() as tasks:
                until = world.loop.time() + BUSY
                for host in world.hosts:
                    tasks.create_task(self._call(host, until))
                tasks.create_task(self._bury(until))
                tasks.create_task(self._trouble())
            await self._rest()
        except BaseException as error:
            error.add_note("\n".join(world.log[-80:]))
            raise
        await world.stop()

    def _arm(self, rules: tuple[Rule, ...]) -> None:
        for host in self._world.hosts:
            host.rules = ";".join(map(str, rules))
        self._world.hosts[0].rules += f";{self.beside}"

    def _watch(self, host: Host) -> OnHit:
        targets = {rule.name for rule in self.rules}

        def hit(name: str, action: Action | None) -> None:
            self.hits[name] = self.hits.get(name, 0) + 1
            if action is not None:
                self._world.note(host.name, f"{action} at {name}", {})
            if action is not None and name in targets:
                self.struck.append((name, action))
                if self.once:
                    self._arm(())
                    self._disarm()

        return hit

    def _disarm(self) -> None:
        for host in self._world.hosts:
            for rule in self.rules:
                host.failpoints.disarm(rule.name)

    # -- callers

    async def _call(self, host: Host, until: float) -> None:
        """Add and read at one node, again and again."""
        random = Random(host.id)
        while self._world.loop.time() < until:
            if host.node is None or host.ended:
                await asyncio.sleep(0.05)
                continue
            await (self._read(host) if random.random() < 0.3 else self._add(host))
            await asyncio.sleep(random.uniform(0.0, 0.12))

    async def _add(self, host: Host) -> None:
        self.calls.unknown += 1
        answers = submit(running(host), adds())
        try:
            async with asyncio.timeout(PATIENCE):
                kind = (await answers.wait())[0].kind
        except TimeoutError:
            return
        if kind is not Kind.UNKNOWN:
            self.calls.unknown -= 1
            self.calls.ok += kind is Kind.OK
            self.calls.failed += kind is Kind.FAILED

    async def _read(self, host: Host) -> None:
        least = self.calls.ok
        try:
            async with asyncio.timeout(PATIENCE):
                seen = await read(running(host))
        except TimeoutError:
            return
        if seen.kind is Kind.OK:
            self.calls.reads += 1
            most = self.calls.ok + self.calls.unknown
            if not least <= value(seen) <= most:
                self.calls.wrong.append(
                    f"{host.name} read {value(seen)}, promised were {least} to {most} additions"
                )

    # -- trouble

    async def _trouble(self) -> None:
        """A follower falls behind, a disk is full for a while, a node is stopped in good order."""
        await asyncio.sleep(2.0)
        hosts, network = self._world.hosts, self._world.network
        network.partition([hosts[0].name], [host.name for host in hosts[1:]])
        await asyncio.sleep(1.5)
        network.heal()
        await asyncio.sleep(0.5)
        full = next(
            (host for host in hosts if host.node and running(host).status().role == "leader"), hosts[1]
        )
        full.disk.capacity = 0
        for _ in range(12):
            if full.node is not None and not full.ended:
                submit(running(full), adds(1, "y" * LARGE))
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.2)
        full.disk.capacity = None
        with contextlib.suppress(
            FailpointCrash, Exception, BaseExceptionGroup
        ):  # it may be struck while it stops
            await hosts[2].stop()
        await self._rise(hosts[2])

    async def _bury(self, until: float) -> None:
        """Start again whoever ended."""
        while self._world.loop.time() < until:
            await asyncio.sleep(0.1)
            for host in self._world.hosts:
                if host.ended:
                    await asyncio.sleep(0.3)
                    await self._rise(host)

    async def _rise(self, host: Host) -> None:
        """Start a host unless it runs, as often as it takes."""
        async with self._rising:
            while host.node is None or host.ended:
                if host.ended and host.failpoints.crashed:
                    await host.crash()
                elif host.ended:
                    self._see(await host.death())
                with contextlib.suppress(FailpointCrash, Exception, BaseExceptionGroup):
                    await host.start()

    def _see(self, error: BaseException) -> None:
        """A node may end because a rule said so, in no other way."""
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                self._see(each)
        elif not isinstance(error, FailpointError | DiskError):
            raise error

    # -- peace

    async def _rest(self) -> None:
        """No more trouble: everyone starts once more, which ends what lasts as long as a process."""
        self.beside = ""
        self._arm(())
        self._disarm()
        for host in self._world.hosts:
            host.disk.capacity = None
            await self._rise(host)
            await host.stop()
        for host in self._world.hosts:
            await self._rise(host)
        await led(self._world)
        calls = self.calls
        final = value(await read(running(self._world.hosts[0])))
        assert calls.ok <= final <= calls.ok + calls.unknown, (
            f"{final} additions, and {calls.ok} were promised, {calls.unknown} more possible"
        )
        await agreed(self._world, final)
        assert calls.wrong == []
        assert calls.ok >= 10, f"only {calls.ok} calls went through: {calls}"
        assert calls.reads >= 3, f"only {calls.reads} reads went through"
