"""`simulate`: a user's own machine, on whole simulated clusters, under many seeds."""

import asyncio
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from jepsen_like.check import Model
from jepsen_like.report.timeline import as_html
from jepsen_like.sim import notation
from jepsen_like.sim.happening import Happening
from jepsen_like.sim.verdict import Run
from jepsen_like.user.audit import Invariant
from jepsen_like.user.elsewhere import Elsewhere
from jepsen_like.user.forks import Forks, Told
from jepsen_like.user.outcome import (
    Failure,
    Report,
    SimulationFailed,
    SimulationInvalid,
    most_seeds,
    narrowed,
    only_seed,
    replay_line,
)
from jepsen_like.user.plans import Demand, Faults, demand, plan_for
from jepsen_like.user.running import Ran, carry_out, simulation_of
from jepsen_like.user.story import Afterwards, Cast, Check, UserStory, Workload
from raftlog.machine.applier import Applier
from raftlog.machine.contract import StateMachine
from raftlog.machine.method import Method


def simulate(
    machine: Callable[[], StateMachine],
    workload: Workload,
    *,
    seeds: int | Iterable[int] = range(200),
    nodes: int = 3,
    clients: int = 3,
    rate: float = 10.0,
    span: str = "30s",
    deadline: float = 5.0,
    faults: Faults = None,
    model: Callable[[], Model] | Model | None = None,
    check: Check | None = None,
    record: Sequence[Method[..., ..., Any]] | None = None,
    invariant: Invariant | None = None,
    afterwards: Afterwards | None = None,
    machine_faults: bool = False,
    slow: str | None = "20ms",
    another_process: bool = True,
    workers: int = 1,
    keep_going: bool = False,
    timeline: str | Path | None = None,
    progress: bool | None = None,
) -> Report:
    """Run a machine on simulated clusters, one run per seed, and look for what breaks it.

    Equal seeds give equal runs. `JEPSEN_LIKE_SEED=n` in the environment runs that seed alone.

    - `machine`: the class of the state machine, or what makes one.
    - `workload(client, random)`: one thing that a user of the machine does. Every client calls it again and again,
      `rate` times per virtual second on average, until the `span` is over. `CallFailed`, `CallUnknown` and declared
      errors may leave it; whatever else it raises is a finding.
    - `seeds`: which, or how many from 0 on.
    - `nodes`, `clients`, `deadline` (virtual seconds of a call).
    - `faults`: None for whatever the swarm draws, names such as `("crash", "partition")`, or values of
      `jepsen_like.faults` with times. The network's weather is drawn in any case.
    - `model`: what the machine's calls mean, one after another; the history of the calls it knows, or of those that
      `record` names, must be linearizable. See `jepsen_like.check`.
    - `check(history)`, instead of a model: one of the checkers of `jepsen_like.check`, such as `check_set_full`, or any
      function that makes a `Finding` of the history of all calls, or of those that `record` names.
    - `invariant(machines)`: called between commands with machines of the cluster; raises, or answers False, if they are
      not as they should be.
    - `afterwards(client)`: after the faults and the recovery, once through each healed node.
    - `machine_faults`: allow commands to raise what they do not declare.
    - `slow`: processor time from which on a command is a finding; None: never. It is measured, not simulated.
    - `another_process`: run every log again in a process with another hash seed.
    - `workers`: processes; forks of this one.
    - `keep_going`: run all seeds and report the failures instead of raising the first.
    - `timeline`: a directory for pictures of runs that failed.
    - `progress`: on standard error; None: if that is a terminal.

    Not promised: that a machine for which nothing is found is correct; that a seed means the same in two releases.

    Raises:
        SimulationFailed: something does not hold; the message names the seed and what found it.
        SimulationInvalid: nothing was found, and nothing could have been.
        MachineRefused, ValueError: what was asked for cannot be simulated.
    """
    wanted = demand(nodes=nodes, clients=clients, span=span, deadline=deadline, faults=faults)
    _refuse_other_shapes(machine, workload)
    cast = Cast(
        machine,
        workload=workload,
        rate=rate,
        model=model,
        check=check,
        record=record,
        invariant=invariant,
        afterwards=afterwards,
        machine_faults=machine_faults,
    )
    limit = None if slow is None else notation.span(slow)
    folder = None if timeline is None else Path(timeline)
    chosen = chosen_seeds(seeds)
    crew = Forks(
        lambda elsewhere: _Runner(cast, wanted, limit, folder, elsewhere),
        machine if another_process else None,
        workers,
    )
    with crew, closing(crew.run(chosen)) as results:
        return _gather(results, wanted, cast, len(chosen), keep_going, _progress(progress))


class _Runner:
    """Runs seeds one after the other, in this process or in a fork."""

    def __init__(
        self, cast: Cast, wanted: Demand, slow: int | None, folder: Path | None, elsewhere: Elsewhere | None
    ) -> None:
        self._cast = cast
        self._wanted = wanted
        self._slow = slow
        self._folder = folder
        self._elsewhere = elsewhere

    def __call__(self, seed: int) -> Ran:
        plan, story = plan_for(seed, self._wanted), UserStory(self._cast)
        ran = carry_out(simulation_of(plan, story), story, self._elsewhere, self._slow)
        if ran.run.outcome == "failed" and self._folder is not None:
            ran.timeline = self._draw(ran.run)
        return ran

    def _draw(self, run: Run) -> str:
        """The same run once more, watched."""
        plan, story = plan_for(run.seed, self._wanted), UserStory(self._cast)
        seen: list[Happening] = []
        simulation_of(plan, story, seen.append).run()
        assert self._folder is not None, "nobody asked for a picture"
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"seed-{run.seed}.html"
        path.write_text(as_html(plan, run, seen, replay=replay_line(run.seed)))
        return str(path)


def chosen_seeds(seeds: int | Iterable[int]) -> list[int]:
    """The seeds to run: the one that the environment names, or those asked for."""
    if (only := only_seed()) is not None:
        return [only]
    chosen = list(range(seeds) if isinstance(seeds, int) else seeds)
    if not chosen:
        raise ValueError("no seeds: give a number of them, or a range")
    return chosen[: most_seeds()]


def _gather(
    results: Iterator[Ran | Told],
    wanted: Demand,
    cast: Cast,
    total: int,
    keep_going: bool,
    show: Callable[[int, int], None],
) -> Report:
    runs: list[Run] = []
    failures: list[Failure] = []
    unjudged = 0
    for ran in results:
        runs.append(ran.run)
        unjudged += not ran.judged
        show(len(runs), total)
        if ran.run.outcome != "failed":
            continue
        failures.append(Failure(ran.run, replay_line(ran.run.seed), ran.timeline))
        if not keep_going:
            raise SimulationFailed(failures[0]) from ran.cause
    report = Report(
        runs=tuple(sorted(runs, key=lambda run: run.seed)),
        failures=tuple(sorted(failures, key=lambda failure: failure.seed)),
        remarks=(
            f"{unjudged} histories could not be judged: too long for the model, or the check cannot tell",
        )
        if unjudged
        else (),
        wanted=wanted.kinds or (),
        faults=sum((Counter(run.faults) for run in runs), Counter()),
    )
    if report.shortcomings and not failures and not narrowed():
        raise SimulationInvalid(report)
    return report


def _refuse_other_shapes(machine: Callable[[], StateMachine], workload: Workload) -> None:
    """Raises ValueError, RuntimeError or MachineRefused now rather than in the first run."""
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "simulate brings its own event loop: call it from a plain function, not from a coroutine"
        )
    if not inspect.iscoroutinefunction(workload):
        raise ValueError(f"the workload {workload!r} is not `async def workload(client, random)`")
    if len(inspect.signature(workload).parameters) != 2:
        raise ValueError(f"the workload {workload.__qualname__} must take (client, random)")
    Applier(machine)


def _progress(wanted: bool | None) -> Callable[[int, int], None]:
    if not (sys.stderr.isatty() if wanted is None else wanted):
        return lambda done, total: None

    def show(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done} of {total} seeds{end}")
        sys.stderr.flush()

    return show
