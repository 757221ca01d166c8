"""How a user's runs ended: what `simulate` gives back, and what it raises."""

import os
import shlex
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from jepsen_like.sim.verdict import Run

SEED_VARIABLE = "JEPSEN_LIKE_SEED"
"""Set to a number, every `simulate` runs this one seed."""
MOST_VARIABLE = "JEPSEN_LIKE_SEEDS"
"""Set to a number, every `simulate` runs at most so many of its seeds."""


class Failure(msgspec.Struct, frozen=True):
    """One seed under which something did not hold."""

    run: Run
    """With `seed`, `oracle` and `problem`."""
    replay: str
    """One line that runs this seed again."""
    timeline: str = ""
    """Where the picture of the run lies, if one was asked for."""

    @property
    def seed(self) -> int:
        """The seed."""
        return self.run.seed

    @property
    def oracle(self) -> str:
        """What noticed: `determinism`, `linearizable`, `invariant`, ... docs/simulate.md lists them."""
        return self.run.oracle

    @property
    def problem(self) -> str:
        """What it said."""
        return self.run.problem

    def __str__(self) -> str:
        drawn = f"\n  timeline: {self.timeline}" if self.timeline else ""
        return f"seed {self.seed} failed: {self.oracle}: {self.problem}\n  again: {self.replay}{drawn}"


@dataclass(frozen=True)
class Report:
    """A whole campaign."""

    runs: tuple[Run, ...] = ()
    failures: tuple[Failure, ...] = ()
    remarks: tuple[str, ...] = ()
    """What was not looked at, a sentence each."""
    wanted: tuple[str, ...] = ()
    """Kinds of fault that were asked for by name."""
    faults: Counter[str] = field(default_factory=Counter)
    """How often each kind was carried out."""

    @property
    def acknowledged(self) -> int:
        """Calls of the workload that were acknowledged, in all."""
        return sum(run.acknowledged for run in self.runs)

    @property
    def shortcomings(self) -> list[str]:
        """Why the silence of this campaign means nothing; empty if it does mean something."""
        found = [
            f"no {kind} was carried out in {len(self.runs)} runs"
            for kind in self.wanted
            if not self.faults[kind]
        ]
        idle = [run.seed for run in self.runs if run.outcome == "invalid"]
        if len(idle) * 2 > len(self.runs):
            found.append(f"the workload had no call acknowledged in {len(idle)} of {len(self.runs)} runs")
        return found if self.runs else ["no run was made"]

    def __str__(self) -> str:
        virtual = sum(run.span for run in self.runs) / 1e6
        head = (
            f"{len(self.runs)} runs, {len(self.failures)} failed; {virtual:,.0f} virtual seconds, "
            f"{self.acknowledged:,} calls acknowledged, {sum(run.leader_changes for run in self.runs)} leader changes, "
            f"{sum(run.restarts for run in self.runs)} restarts, {self.faults.total()} faults"
        )
        return "\n".join([head, *self.remarks, *map(str, self.failures)])


class SimulationFailed(AssertionError):
    """Something does not hold under one seed: the message says what, and how to see it again."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class SimulationInvalid(AssertionError):
    """Nothing failed, but nothing was shown either: the message says what did not happen."""

    def __init__(self, report: Report) -> None:
        super().__init__(f"nothing failed, and that means nothing: {'; '.join(report.shortcomings)}")
        self.report = report


def replay_line(seed: int) -> str:
    """One line for a shell that runs this program or test again, with this seed alone."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if test:
        return f"python -m pytest {shlex.quote(test)} --simulate-seed={seed}"
    words = [Path(sys.executable).name, *sys.orig_argv[1:]]
    return f"{SEED_VARIABLE}={seed} {shlex.join(words)}"


def only_seed() -> int | None:
    """The one seed to run, if the environment or `--simulate-seed` names one."""
    return _number(SEED_VARIABLE)


def most_seeds() -> int | None:
    """How many seeds to run at most, if the environment or `--simulate-seeds` says so."""
    return _number(MOST_VARIABLE)


def narrowed() -> bool:
    """Whether somebody runs less than the whole on purpose: what did not happen then means nothing."""
    return only_seed() is not None or most_seeds() is not None


def _number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text is not None and not text.isdigit():
        raise ValueError(f"{variable}={text!r} in the environment is no number")
    return None if text is None else int(text)
