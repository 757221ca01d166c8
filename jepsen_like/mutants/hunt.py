"""The hunt for one mutant: seed after seed on the build with the bug and on the clean one, until the oracle fires."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import msgspec

from jepsen_like.mutants import telling
from jepsen_like.mutants.mutant import Mutant
from jepsen_like.mutants.process import Process
from jepsen_like.mutants.worker import Assignment
from jepsen_like.sim.judge import judge
from jepsen_like.sim.plan import Plan, Tier
from jepsen_like.sim.swarm import SPAN, draw
from jepsen_like.sim.tally import Tally
from jepsen_like.sim.tiers import PLACES, gates
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros

SURE = 5
"""How often something must have happened on the clean build for its absence beside a harness bug to say anything."""

Fate: TypeAlias = Literal["killed", "survived", "absent", "elsewhere"]
"""absent: no run can show it before its feature is there. elsewhere: none of its tiers was asked."""
STORIES = "stories"
"""In place of a tier: its own scripts and tests, for what no simulation shows."""


class Hunted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a mutant."""

    mutant: Mutant
    fate: Fate
    tier: str = ""
    """Where it was killed, or looked for last: a tier, or `STORIES`."""
    seed: int | None = None
    """That showed it; None while none did, or where only many seeds together did."""
    seeds: int = 0
    """Seeds of the ordinary swarm that it took, those of other plans counted; over all tiers that were asked."""
    oracle: str = ""
    problem: str = ""
    others: Mapping[str, int] = {}
    """Oracles that fired without counting as the intended kill, and on how many seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where hunts take place."""

    seeds: int = 200
    """At most, per tier."""
    first_seed: int = 0
    span: Micros = SPAN
    seconds: int = 120
    """Processor time of one run."""
    harness_seeds: int = 24
    """How many a harness mutant gets before the campaign is judged."""
    tiers: tuple[Tier, ...] = ("core", "node")
    places: Mapping[Tier, str] = field(default_factory=lambda: PLACES)
    """What runs the plans."""
    stories: str = ""
    """What plays scripts and tests, if anything does."""
    root: Path = Path()
    """Where that is found from."""

    def place(self, tier: Tier) -> str:
        """What runs the plans of a tier."""
        return self.places[tier]

    def plans(self, tier: Tier, most: int) -> Iterator[Plan]:
        """The ordinary plans of the first `most` seeds."""
        for seed in range(self.first_seed, self.first_seed + most):
            yield draw(seed, tier, span=self.span)


class Stopped(Exception):
    """The campaign is over before the hunt is."""


class Clean:
    """Runs of the build as it is, each made once; safe to ask from several threads. Used with `with`."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._locks = {tier: threading.Lock() for tier in ground.tiers}
        self._processes: dict[Tier, Process] = {}
        self._runs: dict[tuple[Tier, int], Run] = {}
        self._stopped = False

    def __enter__(self) -> "Clean":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tier, process in sorted(self._processes.items()):
            with self._locks[tier]:
                process.__exit__(kind, error, trace)

    def stop(self) -> None:
        """Let every hunt end at its next seed."""
        self._stopped = True

    def run(self, plan: Plan) -> Run:
        """The clean run of this plan.

        Raises:
            Stopped: nobody waits for the hunt's end any more.
        """
        if self._stopped:
            raise Stopped
        with self._locks[plan.tier]:
            key = (plan.tier, plan.seed)
            if key not in self._runs:
                self._runs[key] = self._process(plan.tier).run(plan)
            return self._runs[key]

    @property
    def failures(self) -> list[Run]:
        """Seeds on which the build itself is red, in order."""
        runs = sorted(self._runs.items())
        return [run for _, run in runs if run.outcome == "failed"]

    @property
    def made(self) -> Mapping[Tier, int]:
        """How many clean runs each tier has made."""
        return {tier: sum(asked == tier for asked, _ in self._runs) for tier in self._ground.tiers}

    def _process(self, tier: Tier) -> Process:
        if tier not in self._processes:
            ground = self._ground
            self._processes[tier] = Process(Assignment(ground.place(tier), seconds=ground.seconds))
        return self._processes[tier]


def hunt(mutant: Mutant, ground: Ground, clean: Clean, beside: Mutant | None = None) -> Hunted:
    """Look for a mutant in each of its tiers until one kills it. `beside` is the mutant that it names so.

    Raises:
        Unplantable: the code no longer has what it changes, or a tier cannot be imported.
    """
    tiers = tuple(tier for tier in mutant.tiers if tier in ground.tiers)
    if mutant.absent or not mutant.tiers:
        return _by_stories(mutant, ground)
    if not tiers:
        return Hunted(mutant=mutant, fate="elsewhere")
    found = Hunted(mutant=mutant, fate="survived")
    for tier in tiers:
        if mutant.kind != "harness":
            here = _product(mutant, ground, clean, tier)
        elif beside is None:
            here = _harness(mutant, ground, clean, tier)
        else:
            here = _hiding(mutant, beside, ground, clean, tier)
        found = _together(found, here)
        if here.fate == "killed":
            break
    return found


def _by_stories(mutant: Mutant, ground: Ground) -> Hunted:
    fate: Fate = "absent" if mutant.absent else "killed"
    if not ground.stories or not (mutant.scripts or mutant.tests):
        return Hunted(mutant=mutant, fate="absent" if mutant.absent else "elsewhere")
    told = telling.told(mutant, ground.stories, ground.root)
    if told.clean or set(told.planted) != {*mutant.scripts, *mutant.tests}:
        problem = f"failed without it: {told.clean}; with it: {told.planted}"
        return Hunted(mutant=mutant, fate="survived", tier=STORIES, problem=problem)
    return Hunted(
        mutant=mutant, fate=fate, tier=STORIES, oracle="its own test", problem=", ".join(told.planted)
    )


def _together(before: Hunted, here: Hunted) -> Hunted:
    others = dict(before.others)
    for oracle, times in here.others.items():
        others[oracle] = others.get(oracle, 0) + times
    return msgspec.structs.replace(here, seeds=before.seeds + here.seeds, others=others)


def _product(mutant: Mutant, ground: Ground, clean: Clean, tier: Tier) -> Hunted:
    others: dict[str, int] = {}
    tried = 0
    with Process(Assignment(ground.place(tier), (mutant,), ground.seconds)) as process:
        for plan in ground.plans(tier, ground.seeds):
            tried += 1
            # A kill counts only where the build as it is comes out green, so it is asked first.
            if not mutant.focus.admits(plan) or clean.run(plan).outcome != "passed":
                continue
            run = process.run(plan)
            if run.outcome == "failed" and mutant.is_killed_by(run.oracle, run.problem):
                return _killed(mutant, run, tried, others)
            if run.outcome == "failed":
                others[run.oracle] = others.get(run.oracle, 0) + 1
    return Hunted(mutant=mutant, fate="survived", tier=tier, seeds=tried, others=others)


def _killed(mutant: Mutant, run: Run, tried: int, others: Mapping[str, int]) -> Hunted:
    return Hunted(
        mutant=mutant,
        fate="killed",
        tier=run.tier,
        seed=run.seed,
        seeds=tried,
        oracle=run.oracle,
        problem=run.problem.splitlines()[0] if run.problem else "",
        others=dict(others),
    )


def _harness(mutant: Mutant, ground: Ground, clean: Clean, tier: Tier) -> Hunted:
    """A bug of the harness shows in a run that is not green, or in a campaign that is not valid any more."""
    broken, whole = Tally(ground.span), Tally(ground.span)
    tried = 0
    with Process(Assignment(ground.place(tier), (mutant,), ground.seconds)) as process:
        for plan in ground.plans(tier, ground.harness_seeds):
            tried += 1
            sound = clean.run(plan)
            if sound.outcome != "passed":
                continue
            run = process.run(plan)
            if run.outcome != "passed":
                seen = msgspec.structs.replace(run, oracle=run.oracle or "invalid run")
                return _killed(mutant, seen, tried, {})
            broken.add(run, 0.0)
            whole.add(sound, 0.0)
    said = _invalid(broken, whole, tier, ground)
    return Hunted(
        mutant=mutant,
        fate="killed" if said else "survived",
        tier=tier,
        seeds=tried,
        oracle="invalid campaign" if said else "",
        problem=said,
    )


def _invalid(broken: Tally, whole: Tally, tier: Tier, ground: Ground) -> str:
    registry = gates(ground.place(tier))
    judged, sound = judge(broken, tier, registry), judge(whole, tier, registry)
    if problems := [problem for problem in judged.problems if len(judged.problems) > len(sound.problems)]:
        return "; ".join(problems)
    missed = [
        gate.name for gate in judged.missed if whole.coverage.get(gate.name, 0) >= max(SURE, gate.least)
    ]
    return f"never happened: {', '.join(missed)}" if missed else ""


def _hiding(mutant: Mutant, hidden: Mutant, ground: Ground, clean: Clean, tier: Tier) -> Hunted:
    """A checker that is off is caught by the mutant that it lets survive where it was killed before."""
    alone = _product(hidden, ground, clean, tier)
    if alone.fate != "killed":
        problem = f"{hidden.name}, which it should hide, survives by itself"
        return Hunted(mutant=mutant, fate="survived", tier=tier, seeds=alone.seeds, problem=problem)
    with Process(Assignment(ground.place(tier), (hidden, mutant), ground.seconds)) as process:
        for plan in ground.plans(tier, alone.seeds):
            if not hidden.focus.admits(plan) or clean.run(plan).outcome != "passed":
                continue
            run = process.run(plan)
            if run.outcome == "failed" and hidden.is_killed_by(run.oracle, run.problem):
                problem = f"{hidden.name} is killed all the same: {run.oracle}: {run.problem}"
                return Hunted(mutant=mutant, fate="survived", tier=tier, seeds=alone.seeds, problem=problem)
    problem = f"{hidden.name} survives, which {alone.oracle} kills on seed {alone.seed}"
    return Hunted(
        mutant=mutant, fate="killed", tier=tier, seeds=alone.seeds, oracle="self-check", problem=problem
    )
