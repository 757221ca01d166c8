"""The story that runs by default: clients read, write and compare-and-set keys of the key-value store."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from jepsen_like.check import History, Verdict, check_linearizable
from jepsen_like.check import KeyValue as KeyValueModel
from jepsen_like.sim.node.callers import Caller
from jepsen_like.sim.plan import Workload
from jepsen_like.sim.verdict import Violation
from raftlog.core.entry import EntryKind
from raftlog.machine.calls import CallError, CallFailed, CallUnknown
from raftlog.machine.contract import StateMachine
from statemachines.kv import KeyValue, Mismatch, Versioned

if TYPE_CHECKING:
    from jepsen_like.sim.node.world import World

BUDGET = 20_000_000
"""Steps of the search for a linearization; a run that needs more is not judged by it."""


class Registers:
    """Every written value is unique, so whoever reads one knows which write it came from.

    Invariants: `_asked` holds every value that was ever sent; `_acknowledged` those of acknowledged writes, with their
    versions; per client and key, versions never go back.
    """

    machine: Callable[[], StateMachine] = KeyValue

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self.history = History()
        self._serial = 0
        self._asked: dict[bytes, str] = {}
        self._refused: set[bytes] = set()
        self._acknowledged: dict[bytes, int] = {}
        self._versions: dict[int, bytes] = {}
        self._floor: dict[tuple[str, str], int] = {}
        self._known: dict[tuple[str, str], bytes | None] = {}

    # -- what clients do

    async def live(self, caller: Caller, until: float) -> None:
        """See `Story.live`."""
        loop, work, random = caller.world.loop, self._workload, caller.random
        due = loop.time()
        while True:
            due = max(due, loop.time() - 1.0) + random.expovariate(work.rate)
            await asyncio.sleep(due - loop.time())
            if loop.time() >= until:
                return
            await self._any(caller)

    async def _any(self, caller: Caller) -> None:
        work, random = self._workload, caller.random
        key = f"k{random.randrange(work.keys)}"
        try:
            if random.random() < work.reads:
                await self._read(caller, key)
            elif random.random() < work.swaps:
                await self._swap(caller, key)
            else:
                await self._write(caller, key)
        except (CallFailed, CallUnknown):
            return

    async def _read(self, caller: Caller, key: str) -> None:
        self.history.invoke(caller.name, "read", time=caller.nanos, key=key)
        try:
            found = await caller.call(KeyValue.get, key)
        except CallError as error:
            self._lost(caller, error)
            raise
        self._saw(caller, key, found)
        self.history.ok(caller.name, _shown(found), time=caller.nanos)

    async def _write(self, caller: Caller, key: str) -> None:
        value = self._fresh(key)
        self.history.invoke(caller.name, "write", _text(value), time=caller.nanos, key=key)
        try:
            version = await caller.call(KeyValue.put, key, value)
        except CallError as error:
            self._lost(caller, error, value)
            raise
        self._wrote(caller, key, value, version)
        self.history.ok(caller.name, time=caller.nanos)

    async def _swap(self, caller: Caller, key: str) -> None:
        value, expected = self._fresh(key), self._known.get((caller.name, key))
        pair = [_text(expected), _text(value)]
        self.history.invoke(caller.name, "cas", pair, time=caller.nanos, key=key)
        try:
            version = await caller.call(KeyValue.compare_and_set, key, expected, value)
        except Mismatch as other:
            self._refused.add(value)
            self._passed(caller, key, other.version)
            self.history.ok(caller.name, False, time=caller.nanos)
            return
        except CallError as error:
            self._lost(caller, error, value)
            raise
        self._wrote(caller, key, value, version)
        self.history.ok(caller.name, True, time=caller.nanos)

    def _fresh(self, key: str) -> bytes:
        self._serial += 1
        value = f"{key}.{self._serial}".encode() + bytes(self._workload.size)
        self._asked[value] = key
        return value

    # -- what they learn: phantoms, read your writes, monotonic reads

    def _saw(self, caller: Caller, key: str, found: Versioned | None) -> None:
        if found is not None:
            if self._asked.get(found.value) != key or found.value in self._refused:
                raise Violation(
                    "client", f"{caller.name} reads {_text(found.value)} of {key}: nobody wrote it"
                )
            known = self._versions.setdefault(found.version, found.value)
            if known != found.value:
                raise Violation(
                    "client", f"version {found.version} is {_text(known)} and {_text(found.value)}"
                )
        self._passed(caller, key, found.version if found is not None else 0)
        self._known[caller.name, key] = found.value if found is not None else None

    def _wrote(self, caller: Caller, key: str, value: bytes, version: int) -> None:
        self._acknowledged[value] = version
        known = self._versions.setdefault(version, value)
        if known != value:
            raise Violation("client", f"version {version} is {_text(known)} and {_text(value)}")
        self._passed(caller, key, version)
        self._known[caller.name, key] = value

    def _passed(self, caller: Caller, key: str, version: int) -> None:
        floor = self._floor.get((caller.name, key), 0)
        if version < floor:
            raise Violation(
                "client", f"{caller.name} knew version {floor} of {key} and is answered from {version}"
            )
        self._floor[caller.name, key] = version

    def _lost(self, caller: Caller, error: CallError, value: bytes | None = None) -> None:
        if isinstance(error, CallFailed):
            if value is not None:
                self._refused.add(value)
            self.history.fail(caller.name, time=caller.nanos, error=str(error))
        elif isinstance(error, CallUnknown):
            self.history.info(caller.name, time=caller.nanos, error=str(error))
        else:
            raise Violation("client", f"{caller.name}: the store broke: {error}")

    # -- after the faults

    async def try_node(self, caller: Caller, calls: int) -> None:
        """See `Story.try_node`."""
        for at in range(calls):
            await (self._read if at % 3 == 2 else self._write)(caller, f"k{at % self._workload.keys}")

    async def audit(self, caller: Caller) -> None:
        """See `Story.audit`: what each key holds is at least as new as anything acknowledged on it."""
        newest: dict[str, int] = {}
        for value, version in self._acknowledged.items():
            key = self._asked[value]
            newest[key] = max(version, newest.get(key, 0))
        for key, version in sorted(newest.items()):
            found = await caller.call(KeyValue.get, key)
            if found is None or found.version < version:
                raise Violation(
                    "client",
                    f"{caller.name} reads {_shown(found)} of {key}; version {version} was acknowledged",
                )

    def verdict(self, world: "World") -> None:
        """See `Story.verdict`: everything acknowledged is in the log, and the history is linearizable."""
        self._in_log(world)
        judged = check_linearizable(self.history, KeyValueModel(), budget=BUDGET)
        if judged.verdict is Verdict.UNKNOWN:
            world.chronicle.count("event/not-judged")
        if judged.verdict is Verdict.INVALID:
            raise Violation("linearizable", f"{judged.impossible}")

    def _in_log(self, world: "World") -> None:
        payloads = b"".join(
            entry.payload for entry in world.committed_log() if entry.kind is EntryKind.COMMANDS
        )
        for value in self._acknowledged:
            if value not in payloads:
                raise Violation("client", f"{_text(value)} was acknowledged and is not in the log")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.rstrip(b"\0").decode()


def _shown(found: Versioned | None) -> str | None:
    return None if found is None else _text(found.value)
