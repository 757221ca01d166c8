"""A cluster made of one log in memory: real streams, real session table, and answers that the test can spoil."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from raftlog.core.entry import Command
from raftlog.core.ids import ClusterId, GroupId, Index
from raftlog.machine.contract import Context
from raftlog.machine.errors import MachineError
from raftlog.machine.method import command, query
from raftlog.machine.result import Kind, Result, refusal
from raftlog.machine.sessions import Limits, Session, Sessions
from raftlog.machine.typed import Machine
from raftlog.service import Service
from raftlog.transport.client_frames import Level
from raftlog.transport.link import Link, LinkBroken
from tests.service.memory import Wire

Done = Callable[[Sequence[Result]], None]
META = GroupId(0)


class Taken(MachineError):
    """The name is in use."""

    by: str


class Register(Machine):
    """Remembers every command that was ever applied, so that a second time shows."""

    applied: list[str]

    def __init__(self) -> None:
        self.applied = []

    @command(errors=[Taken])
    def add(self, name: str) -> int:
        """Note a name; its place."""
        if name.startswith("taken"):
            raise Taken(by=name)
        if name.startswith("break"):
            raise ZeroDivisionError(name)
        self.applied.append(name)
        return len(self.applied)

    @query
    def count(self) -> int:
        """How many names there are."""
        return len(self.applied)

    @query
    def has(self, name: str) -> bool:
        """Whether a name was noted."""
        return name in self.applied


class Log:
    """What the cluster has decided."""

    def __init__(self, limits: Limits | None = None, machine: Machine | None = None) -> None:
        self.sessions = Sessions(limits)
        self.register = Register()
        self.machine = machine or self.register
        self.index = 0

    def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Decide and apply one entry."""
        self.index += 1
        return [self._apply_one(command, ordinal) for ordinal, command in enumerate(commands)]

    def _apply_one(self, command: Command, ordinal: int) -> Result:
        context = Context(group=META, index=self.index, ordinal=ordinal)
        if not command.client_id:
            return self._run(command, context)
        admitted = self.sessions.admit(command, self.index)
        if not isinstance(admitted, Session):
            return admitted
        result = self._run(command, context)
        self.sessions.keep(admitted, command.sequence, result)
        return result

    def _run(self, command: Command, context: Context) -> Result:
        machine = self.machine if command.machine else self.sessions
        try:
            return machine.apply(command.body, context)
        except ZeroDivisionError:
            return Result(Kind.FAULT)

    def forget_sessions(self) -> None:
        """What a table too small for all its clients does."""
        self.sessions = Sessions()


class FakeNode:
    """One node of the cluster; `trouble` may take a batch over and answer it, or not, in its own way."""

    def __init__(self, log: Log, name: str) -> None:
        self.cluster_id = ClusterId(77)
        self.log = log
        self.name = name
        self.batches: list[Sequence[Command]] = []
        self.delay: Callable[[], float] = lambda: 0.001
        self.trouble: Callable[[Sequence[Command], Done], bool] = lambda commands, done: False
        self.named = ""
        """The leader's address that its frames carry."""
        self.read_trouble: Callable[[Level], Result | None] = lambda level: None

    def serves(self, group: GroupId) -> bool:
        return group == META

    def refusals(self, group: GroupId, commands: Sequence[Command]) -> dict[int, Result]:
        return {}

    def check(self, group: GroupId, command: Command) -> Result | None:
        return None

    def submit(self, group: GroupId, commands: Sequence[Command], done: Done) -> None:
        self.batches.append(commands)
        if not self.trouble(commands, done):
            asyncio.get_running_loop().call_later(self.delay(), lambda: done(self.log.apply(commands)))

    def read(self, group: GroupId, level: Level, done: Callable[[Result | None], None]) -> None:
        asyncio.get_running_loop().call_later(self.delay(), lambda: done(self.read_trouble(level)))

    def query(self, group: GroupId, machine: int, body: bytes) -> Result:
        return self.log.machine.query(body)

    def leader(self, group: GroupId) -> str:
        return self.named

    def applied(self, group: GroupId) -> Index:
        return self.log.index


class Cluster:
    """Nodes by name, and a dialer to them. Use with `async with`."""

    def __init__(self, *names: str, limits: Limits | None = None, machine: Machine | None = None) -> None:
        self.log = Log(limits, machine)
        self.nodes = {name: FakeNode(self.log, name) for name in names or ("a",)}
        self.down: set[str] = set()
        """Nobody answers there."""
        self.silent: set[str] = set()
        """Connects, then says nothing."""
        self.dialed: list[str] = []
        self.wires: list[Wire] = []
        self.room = 1_000
        self._served: list[asyncio.Task[None]] = []

    @property
    def node(self) -> FakeNode:
        """The first node."""
        return next(iter(self.nodes.values()))

    @property
    def applied(self) -> list[str]:
        """The names noted so far."""
        return self.log.register.applied

    async def dial(self, address: str) -> Link:
        """See `Dialer.dial`."""
        self.dialed.append(address)
        await asyncio.sleep(0.001)
        if address in self.down or address not in self.nodes:
            raise LinkBroken("connection refused")
        wire = Wire(self.room)
        self.wires.append(wire)
        if address not in self.silent:
            served = Service(self.nodes[address]).serve_link(wire.node)
            self._served.append(asyncio.get_running_loop().create_task(served))
        return wire.client

    async def close(self) -> None:
        """See `Dialer.close`."""

    def cut(self) -> None:
        """Every link breaks; what was sent and not received is lost."""
        for wire in self.wires:
            wire.cut()
        self.wires.clear()

    async def __aenter__(self) -> "Cluster":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        for served in self._served:
            served.cancel()
        if self._served:
            await asyncio.wait(self._served)
        for served in self._served:
            if not served.cancelled() and (error := served.exception()) is not None:
                raise error


def refuse(result: Result) -> Callable[[Sequence[Command], Done], bool]:
    """Trouble that answers everything with one result."""

    def trouble(commands: Sequence[Command], done: Done) -> bool:
        asyncio.get_running_loop().call_later(0.001, lambda: done([result] * len(commands)))
        return True

    return trouble


def chaos(cluster: Cluster, random: Random) -> None:
    """Every node answers late, in any order, and now and then refuses, leaves open, or breaks the link."""
    names = list(cluster.nodes)
    for node in cluster.nodes.values():
        node.delay = lambda: random.choice((0.0, 0.001, 0.01, 0.1, 1.0))

        def trouble(commands: Sequence[Command], done: Done, node: FakeNode = node) -> bool:
            loop = asyncio.get_running_loop()
            leader = random.choice((None, *names))
            match random.randrange(12):
                case 0:
                    done(
                        [refusal(Kind.FAILED, "no leader", leader=leader, retry_after=1_000)] * len(commands)
                    )
                case 1:
                    done([refusal(Kind.UNKNOWN, "lost it", leader=leader)] * len(commands))
                case 2:  # it happens all the same, later
                    done([refusal(Kind.UNKNOWN, "left office", leader=leader)] * len(commands))
                    loop.call_later(node.delay(), cluster.log.apply, commands)
                case 3:  # it happens, the answer is lost
                    cluster.log.apply(commands)
                    cluster.cut()
                    done([Result(Kind.OK)] * len(commands))
                case 4:  # it never arrives
                    cluster.cut()
                    done([refusal(Kind.FAILED, "too late")] * len(commands))
                case 5:
                    if random.random() < 0.1:
                        cluster.log.forget_sessions()
                    return False
                case _:
                    return False
            return True

        node.trouble = trouble
