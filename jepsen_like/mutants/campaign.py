"""The mutation campaign: a hunt for every mutant of the table, some at once, and whether its outcome is good enough."""

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from jepsen_like.mutants.hunt import STORIES, Clean, Fate, Ground, Hunted, hunt
from jepsen_like.mutants.mutant import Kind, Mutant
from jepsen_like.mutants.record import Line, Record
from jepsen_like.mutants.table import Row, Table
from jepsen_like.sim.verdict import Run

MEDIAN = 50
"""Seeds that safety and durability mutants may take in the median."""
LIVENESS = 0.9
"""Share of the liveness mutants that must be killed."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all mutants, in the order of the table."""

    hunted: tuple[Hunted, ...]
    clean_failures: tuple[Run, ...]
    """The build itself is red on these seeds: nothing can be said before they are understood."""
    clean_runs: int
    without_mutant: dict[str, Row]
    """Starred rows without a mutant: absent, impossible or owed."""

    def of(self, *kinds: Kind) -> list[Hunted]:
        """Those that count, of some kinds: killed or survived."""
        counting: tuple[Fate, ...] = ("killed", "survived")
        return [each for each in self.hunted if each.mutant.kind in kinds and each.fate in counting]

    @property
    def median(self) -> float:
        """Seeds that the killed safety and durability mutants took; 0 without any."""
        took = [
            each.seeds
            for each in self.of("safety", "durability")
            if each.fate == "killed" and each.tier != STORIES
        ]
        return statistics.median(took) if took else 0.0

    @property
    def shortcomings(self) -> list[str]:
        """Why the campaign is not good enough, a sentence each."""
        said = [
            f"the clean build fails on seed {run.seed} ({run.tier}): {run.oracle}"
            for run in self.clean_failures
        ]
        survivors = [each for each in self.of("safety", "durability", "harness") if each.fate == "survived"]
        said += [
            f"{each.mutant.name} ({each.mutant.kind}, {each.mutant.trap}) survived {each.seeds} seeds"
            for each in survivors
        ]
        if self.median > MEDIAN:
            said.append(
                f"safety and durability mutants took {self.median:g} seeds in the median, over {MEDIAN}"
            )
        living = self.of("liveness")
        killed = sum(each.fate == "killed" for each in living)
        if killed < LIVENESS * len(living):
            said.append(f"{killed} of {len(living)} liveness mutants were killed, under {LIVENESS:.0%}")
        said += [
            f"{id} has a star and no mutant: {row.title}"
            for id, row in self.without_mutant.items()
            if not (row.later or row.reason)
        ]
        return said


def campaign(
    table: Table,
    mutants: Sequence[Mutant],
    ground: Ground,
    *,
    workers: int = 1,
    seen: Callable[[Hunted], None] = lambda _: None,
    record: Record | None = None,
) -> Report:
    """Hunt for these mutants of the table; `seen` is told of each when its hunt is over, from this thread.

    What a record knows is not hunted for again, and what is found is added to it.

    Raises:
        Unplantable: the code no longer has what a mutant changes, or a tier cannot be imported.
    """
    earlier = record.lines if record else []
    hunted = {mutant.name: known for mutant in mutants if record and (known := record.known(mutant))}
    with Clean(ground) as clean, ThreadPoolExecutor(workers) as pool:
        pending = [
            pool.submit(hunt, mutant, ground, clean, table.named(mutant.beside) if mutant.beside else None)
            for mutant in mutants
            if mutant.name not in hunted
        ]
        try:
            for done in as_completed(pending):
                found = done.result()
                hunted[found.mutant.name] = found
                if record and found.fate != "elsewhere":
                    runs = sum(clean.made.values())
                    record.note(Line(hunted=found, clean_runs=runs, red=tuple(clean.failures)))
                seen(found)
        except BaseException:
            clean.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return Report(
            hunted=tuple(hunted[mutant.name] for mutant in mutants),
            clean_failures=_each_once([*clean.failures, *(run for line in earlier for run in line.red)]),
            clean_runs=max([sum(clean.made.values()), *(line.clean_runs for line in earlier)]),
            without_mutant=table.without_mutant(),
        )


def _each_once(runs: Sequence[Run]) -> tuple[Run, ...]:
    return tuple({(run.tier, run.seed): run for run in runs}.values())
