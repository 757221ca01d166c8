"""`python -m jepsen_like soak`: both tiers, seed after seed, until told to stop; every run is in a ledger."""

from pathlib import Path

import click

from jepsen_like.sim import build
from jepsen_like.sim.campaign import Campaign
from jepsen_like.sim.commands.options import asides, span_option, workers_option
from jepsen_like.sim.commands.sim import carry_out
from jepsen_like.sim.judge import Exit
from jepsen_like.sim.ledger import BadLedger, read
from jepsen_like.sim.plan import RESERVED, Tier
from raftlog.core.ids import Micros

FIRST_SEED = 1_000_000
"""Campaigns by hand begin at 1: a soak does not run what they have run."""
ROUND: dict[Tier, int] = {"core": 300, "node": 60}
"""Seeds of each tier in a round: about as much work for one as for the other."""


@click.command()
@workers_option
@span_option
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".soak"),
    show_default=True,
    help="Where the ledgers are.",
)
@click.option("--rounds", type=click.IntRange(1), help="Stop after so many rounds.  [default: never]")
@click.option("--keep-going", is_flag=True, help="Go on after a round in which a run failed.")
def soak(workers: int, span: Micros, directory: Path, rounds: int | None, keep_going: bool) -> int:
    """Run both tiers, a few hundred seeds at a time, until Ctrl-C or a failure.

    Each round goes on where the last one ended, also after a restart. A ledger is of one build: with other sources a
    new one is begun. The coverage gates apply to the ledger's whole campaign. Exit codes are those of `sim`.
    """
    worst, made = Exit.CLEAN, 0
    while rounds is None or made < rounds:
        for tier in ROUND:
            if build.changed():
                raise click.ClickException("the sources have changed: start the soak anew, its ledgers go on")
            code = Exit(_one_round(tier, workers, span, directory))
            if code == Exit.INTERRUPTED:
                return worst if worst == Exit.FAILED else code
            worst = Exit.FAILED if Exit.FAILED in (worst, code) else max(worst, code)
            if worst == Exit.FAILED and not keep_going:
                return worst
        made += 1
    return worst


def _one_round(tier: Tier, workers: int, span: Micros, directory: Path) -> int:
    path = directory / f"{tier}-{build.this().source}.jsonl"
    first = _next_seed(directory, tier)
    asides().print(f"{path}: seeds {first:,} to {first + ROUND[tier] - 1:,}", style="dim", soft_wrap=True)
    campaign = Campaign(
        tier=tier,
        seeds=range(first, first + ROUND[tier]),
        first_seed=first,
        span=span,
        workers=workers,
        ledger=path,
        resume=True,
    )
    return carry_out(campaign, total=ROUND[tier], with_gates=True, as_json_wanted=False)


def _next_seed(directory: Path, tier: Tier) -> int:
    """The first seed that no ledger here has, so that every build adds new ones."""
    highest = FIRST_SEED - 1
    for path in sorted(directory.glob(f"{tier}-*.jsonl")):
        try:
            _, lines = read(path)
        except BadLedger as error:
            raise click.ClickException(f"{error}; move it away") from error
        highest = max([highest, *(line.run.seed for line in lines)])
    if highest + ROUND[tier] >= RESERVED:
        raise click.ClickException(
            f"the seeds below {RESERVED:,} are used up: move the ledgers in {directory} away"
        )
    return highest + 1
