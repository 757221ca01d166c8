"""The story from the first key to the verdict."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from raftlog.clock import Clock
from raftlog.mainjob.corpus import Corpus, Record
from raftlog.mainjob.failover import FailOverWatch, Watch
from raftlog.mainjob.ledger import Ledger, Outcome, percentile
from raftlog.mainjob.nodes import Nodes
from raftlog.mainjob.reading import Found, read_all
from raftlog.mainjob.scene import Scene
from raftlog.mainjob.store import Store
from raftlog.mainjob.summary import Doubt, FailOver, Latency, ReadBack, Summary
from raftlog.mainjob.writing import Writing

OpenStore = Callable[[list[str]], AbstractAsyncContextManager[Store]]
"""Opens the store through the nodes at these addresses, in a session of its own that is closed with the block."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a run."""

    callers: int = 256
    kill_at: float = 0.5
    """Share of the keys acknowledged when the leader is killed."""
    patience: float = 60.0
    """Seconds for a leader to appear, a node to return, the replicas to agree."""
    stage_patience: float = 600.0
    """Seconds for writing everything, and for reading everything back through one node."""


class Job:
    """One run on a cluster that serves: write, kill, go on, restart, read back, compare."""

    def __init__(
        self, nodes: Nodes, open_store: OpenStore, corpus: Corpus, scene: Scene, clock: Clock, plan: Plan
    ) -> None:
        self._nodes = nodes
        self._open_store = open_store
        self._corpus = corpus
        self._scene = scene
        self._clock = clock
        self._plan = plan
        self._ledger = Ledger(len(corpus.records))
        self._watch = Watch(nodes, scene)
        self._failover = FailOverWatch(nodes, self._watch, scene, clock, patience=plan.patience)

    async def run(self) -> Summary:
        """Everything, in order.

        Raises:
            TimeoutError: a stage got nowhere; the text says what it waited for. May come in an ExceptionGroup.
        """
        async with _beside(self._watch.run()):
            await self._watch.until(lambda: self._watch.leader != "", "a leader", self._plan.patience)
            seconds = await self._write()
            found = {name: await self._read_back(name) for name in self._nodes.addresses}
            doubts = self._resolve(found)
            agree = await self._replicas_agree()
        return self._sum_up(seconds, doubts, found, agree)

    # -- the stages

    async def _write(self) -> float:
        """Write every key, with a kill and a restart on the way; the seconds that the writing took."""
        records, plan = self._corpus.records, self._plan
        self._scene.begin("writing", len(records))
        self._scene.say(f"writing {len(records):,} keys with {plan.callers} concurrent callers")
        began = self._clock.monotonic()
        async with (
            _patience(plan.stage_patience, "all keys to be written"),
            self._open_store(list(self._nodes.addresses.values())) as store,
            asyncio.TaskGroup() as tasks,
        ):
            writing = Writing(
                store,
                records,
                self._ledger,
                self._scene,
                self._clock,
                strike_at=int(len(records) * plan.kill_at),
                strike=self._failover.strike,
            )
            tasks.create_task(self._failover.follow(writing.resumed.wait))
            await writing.run(plan.callers)
            seconds = (self._clock.monotonic() - began) / 1e6
            self._scene.say(f"every key is acknowledged or in doubt after {seconds:.1f} s")
        return seconds

    async def _read_back(self, name: str) -> Found:
        """Read every key through one node, after the session that wrote was closed."""
        keys = [record.key for record in self._corpus.records]
        self._scene.begin(f"reading through {name}", len(keys))
        async with (
            _patience(self._plan.stage_patience, f"{name} to answer all reads"),
            self._open_store([self._nodes.addresses[name]]) as store,
        ):
            found = await read_all(store, keys, self._scene, self._clock, callers=self._plan.callers)
        self._scene.say(f"read {len(keys):,} keys through {name} in {found.seconds:.1f} s")
        return found

    def _resolve(self, found: dict[str, Found]) -> tuple[Doubt, ...]:
        """What the nodes, asked after the writing session was closed, say of each write in doubt."""
        records = self._corpus.records
        doubts = []
        for position in self._ledger.positions(Outcome.UNKNOWN):
            record = records[position]
            answers = {each.values[record.key] == record.value for each in found.values()}
            happened = answers.pop() if len(answers) == 1 else None
            doubts.append(Doubt(key=record.key, reason=self._ledger.reasons[position], happened=happened))
        return tuple(doubts)

    async def _replicas_agree(self) -> bool:
        """Whether all nodes come to the same state: the same digest at the same index."""
        self._scene.begin("comparing the replicas")

        def agree() -> bool:
            views = self._watch.views
            return (
                len(views) == len(self._nodes.addresses)
                and len({(v.applied, v.digest) for v in views.values()}) == 1
            )

        try:
            await self._watch.until(agree, "equal states", self._plan.patience)
        except TimeoutError:
            return False
        return True

    # -- the sum

    def _sum_up(
        self, seconds: float, doubts: tuple[Doubt, ...], found: dict[str, Found], agree: bool
    ) -> Summary:
        ledger, failover = self._ledger, self._failover
        acknowledged = [self._corpus.records[position] for position in ledger.positions(Outcome.ACKNOWLEDGED)]
        silence = ledger.silence_after(failover.killed_at) if failover.kill is not None else None
        silent = silence.length if silence is not None else 0
        return Summary(
            keys=len(ledger.lines),
            sources=self._corpus.sources,
            corpus_bytes=self._corpus.bytes_read,
            callers=self._plan.callers,
            acknowledged=len(acknowledged),
            doubts=doubts,
            lost=len({key for each in found.values() for key in _wrong(each, acknowledged)}),
            seconds=seconds,
            throughput=len(acknowledged) / seconds,
            throughput_without_failover=len(acknowledged) / max(seconds - silent / 1e6, 1e-6),
            latency=Latency(
                p50=percentile(ledger.latencies, 0.50),
                p99=percentile(ledger.latencies, 0.99),
                max=max(ledger.latencies, default=0),
            ),
            kill=failover.kill,
            failover=FailOver(
                leader=failover.successor,
                term=failover.successor_term,
                silence=silent,
                rejoined=failover.rejoined,
            )
            if failover.successor
            else None,
            readbacks=tuple(_read_back(name, each, acknowledged) for name, each in found.items()),
            digests_agree=agree,
        )


def _wrong(found: Found, expected: list[Record]) -> list[str]:
    return found.missing(expected) + found.different(expected)


def _read_back(name: str, found: Found, expected: list[Record]) -> ReadBack:
    return ReadBack(
        node=name,
        compared=len(expected),
        missing=len(found.missing(expected)),
        different=len(found.different(expected)),
        seconds=found.seconds,
    )


@asynccontextmanager
async def _beside(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run something endless for the length of the block; its failure ends the block."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        try:
            yield
        finally:
            task.cancel()


@asynccontextmanager
async def _patience(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        if error.args:  # of something inside, which says more
            raise
        raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}") from None
