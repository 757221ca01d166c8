"""One run: a cluster, a workload's clients, a schedule of faults, and what came of it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import quantiles
from time import monotonic_ns

import msgspec

from jepsen_like.check import Verdict, write_jsonl
from jepsen_like.cluster.broken import CLIENTS
from jepsen_like.cluster.callers import LAST, Callers
from jepsen_like.cluster.host import HostFailed
from jepsen_like.cluster.nemesis import Nemesis
from jepsen_like.cluster.schedules import SCHEDULES, schedule
from jepsen_like.cluster.system import RAFTLOG, Nodes, System
from jepsen_like.cluster.trial import Figures, Outcome, Report, Struck, Trial
from jepsen_like.cluster.truth import compare, log_of
from jepsen_like.report.pages.written import HISTORY, REPORT, write_run
from jepsen_like.sim.faults import AnyFault, OneWay, Partition, Ring
from jepsen_like.workloads.workload import Judged, Workload
from raftlog.core.ids import Index

LEAST = 0.2
"""The share of the operations asked for in a calm run that must succeed for a run to say anything."""
HEALED_WITHIN = 10.0
"""Seconds after the last heal within which something must succeed."""


async def run(
    trial: Trial,
    workload: Workload,
    directory: Path,
    say: Callable[[str], None] = lambda text: None,
    *,
    system: System = RAFTLOG,
    command: str = "",
) -> Report:
    """Do it; the history, the nodes' directories and what they wrote are in `directory` afterwards, beside a page."""
    random = Random(f"{trial.seed}/{trial.workload}/{trial.schedule}")
    names = [f"n{number}" for number in range(1, trial.nodes + 1)]
    faults = schedule(trial.schedule, random, names, trial.seconds * 1_000_000)
    async with system.nodes(trial, workload.machine, directory, random) as cluster:
        done = _Run(trial, workload, cluster, system, faults, random, say)
        report = msgspec.structs.replace(await done.run(), command=command)
    with (directory / HISTORY).open("wb") as file:
        write_jsonl(done.callers.history, file)
    (directory / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    write_run(directory)
    return report


class _Run:
    def __init__(
        self,
        trial: Trial,
        workload: Workload,
        cluster: Nodes,
        system: System,
        faults: Sequence[AnyFault],
        random: Random,
        say: Callable[[str], None],
    ) -> None:
        self._trial = trial
        self._workload = workload
        self._cluster = cluster
        self._connect = partial(system.client, trial)
        self._say = say
        self._first = list(workload.first())
        self._nemesis = Nemesis(cluster, faults, self._told)
        self.callers = Callers(
            workload,
            cluster.addresses,
            rate=trial.rate,
            random=random,
            session=trial.broken not in CLIENTS,
            connect=self._connect,
        )
        self._began = 0
        self._open: dict[int, Struck] = {}
        self._struck: list[Struck] = []
        self._problems: list[str] = []
        self._healed: float | None = None
        self._recovered_after: float | None = None

    async def run(self) -> Report:
        async with self._connect(self._cluster.addresses, Random(self._trial.seed)) as client:
            for request in self._first:
                await self._workload.perform(client, request, LAST)
        self._began = monotonic_ns()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.callers.run(self._trial.clients), name="clients")
            await self._nemesis.run()
            await self._rest(self._trial.seconds)
            await self._heal()
            self.callers.stop()
        committed = await self._end()
        judged = list(self._workload.judge(self.callers.history))
        if committed:
            judged.append(await self._truth(committed))
        return self._report(judged)

    def _told(self, what: str, fault: AnyFault, targets: Sequence[str]) -> None:
        now = self._now()
        if what == "begins":
            self._open[id(fault)] = Struck(fault=fault, targets=tuple(targets), began=now)
            self._say(f"{now:6.1f} s  {type(fault).__name__.lower()} {', '.join(dict.fromkeys(targets))}")
        elif what == "ends":
            self._struck.append(msgspec.structs.replace(self._open.pop(id(fault)), ended=now))
        else:
            self._struck.append(Struck(fault=fault, targets=(), began=now))

    def _now(self) -> float:
        return (monotonic_ns() - self._began) / 1e9

    async def _rest(self, until: float) -> None:
        """Go on under load until the run is over, but for the healing."""
        await asyncio.sleep(max(0.0, until - self._now()))

    async def _heal(self) -> None:
        await self._nemesis.heal()
        self._healed = healed = self._now()
        try:
            async with asyncio.timeout(HEALED_WITHIN):
                await self.callers.next_success()
            self._recovered_after = self._now() - healed
        except TimeoutError:
            self._problems.append(f"nothing succeeded within {HEALED_WITHIN:g} s of the heal")

    async def _truth(self, committed: Index) -> Judged:
        """Once no process runs any more."""
        members = [host for host in self._cluster.hosts.values() if not host.stranger]
        logs = {host.name: await log_of(host.directory) for host in members}
        return compare(logs, committed, self._first, self.callers.history, self._workload.command)

    async def _end(self) -> Index:
        """Everything is read, all nodes become equal, and the processes end in good order: how far the log went."""
        try:
            async with asyncio.timeout(6 * HEALED_WITHIN):
                await self.callers.read_all()
            return await self._cluster.settled()
        except HostFailed as failed:
            self._problems.append(str(failed))
        except TimeoutError:
            self._problems.append("the last reads were never answered")
        return Index(0)

    def _report(self, judged: Sequence[Judged]) -> Report:
        invalid = self._invalid()
        return Report(
            trial=self._trial,
            outcome=_outcome(judged, self._problems, invalid),
            judged=tuple(judged),
            figures=self._figures(),
            struck=tuple(sorted(self._struck, key=lambda struck: struck.began)),
            problems=(*self._problems, *invalid),
            began=self._began,
            healed=self._healed,
        )

    def _invalid(self) -> list[str]:
        """Why this run says nothing, if it does."""
        trial, counts = self._trial, self.callers.counts
        found: list[str] = []
        least = LEAST * trial.clients * trial.rate * trial.seconds
        if counts["ok"] < least:
            found.append(f"only {counts['ok']} operations succeeded, not {least:.0f}")
        done = [struck for struck in self._struck if struck.ended is not None]
        if SCHEDULES[trial.schedule] and not done:
            found.append("no fault of the schedule was done: too little time, or nobody led when one was due")
        if (
            any(isinstance(each.fault, Partition | OneWay | Ring) for each in done)
            and not self._cluster.network.held
        ):
            found.append("ways were cut, and nothing ever tried to pass")
        return found

    def _figures(self) -> Figures:
        moments, took = sorted(self.callers.succeeded), sorted(self.callers.took)
        percentiles = quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
        counts = self.callers.counts
        return Figures(
            ok=counts["ok"],
            failed=counts["fail"],
            unknown=counts["info"],
            longest_gap=max((b - a for a, b in pairwise(moments)), default=0) / 1e9,
            recovered_after=self._recovered_after,
            median_ms=percentiles[49] / 1e6,
            p99_ms=percentiles[98] / 1e6,
        )


def _outcome(judged: Sequence[Judged], problems: Sequence[str], invalid: Sequence[str]) -> Outcome:
    if problems or any(each.verdict is Verdict.INVALID for each in judged):
        return "failed"
    if invalid or any(each.verdict is Verdict.UNKNOWN for each in judged):
        return "invalid"
    return "passed"
