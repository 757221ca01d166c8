"""Options that several subcommands share, and how they are read."""

import sys
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console

from jepsen_like.sim import notation
from jepsen_like.sim.plan import RESERVED, Plan, Tier, decode
from jepsen_like.sim.swarm import draw
from jepsen_like.sim.tiers import PLACES
from raftlog.core.ids import Micros

F = TypeVar("F")


class _Span(click.ParamType[Micros]):
    """Virtual time as `30s`, `250ms`, `2min`."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        if isinstance(value, int):
            return value
        try:
            return notation.span(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


SPAN = _Span()

tier_option = click.option(
    "--tier",
    type=click.Choice(list(PLACES)),
    default="core",
    show_default=True,
    help="core: the algorithm on modelled disks, fast. node: whole nodes and the real client.",
)
span_option = click.option(
    "--span", type=SPAN, default="30s", show_default=True, help="Virtual time under faults, per run."
)
place_option = click.option(
    "--simulator", "place", metavar="MODULE:NAME", default="", hidden=True, help="What runs the plans."
)
reserved_option = click.option(
    "--allow-reserved", is_flag=True, help=f"Allow seeds from {RESERVED:,} on, which are kept unseen."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
workers_option = click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes at work."
)


def refuse_reserved(last_seed: int, allowed: bool) -> None:
    """Stop before a seed is used up that nobody should have seen.

    Raises:
        click.UsageError: it is reserved, and nobody said that it may be used.
    """
    if last_seed >= RESERVED and not allowed:
        raise click.UsageError(
            f"seed {last_seed:,} is reserved: seeds from {RESERVED:,} on are kept for trying what nobody has seen; "
            "say --allow-reserved if that is what you do"
        )


def the_plan(seed: int | None, file: Path | None, tier: Tier, span: Micros, *, allow_reserved: bool) -> Plan:
    """The plan of a seed or of a file.

    Raises:
        click.ClickException: neither or both are named, or the file holds no plan.
    """
    if (seed is None) == (file is None):
        raise click.UsageError("name either a seed or a --plan FILE")
    if file is not None:
        try:
            return decode(file.read_bytes())
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{file}: {error}") from error
    assert seed is not None
    refuse_reserved(seed, allow_reserved)
    return draw(seed, tier, span=span)


def asides() -> Console:
    """Where progress and remarks go."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 120)


def words() -> Console:
    """Where results for people go."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def print_json(value: object) -> None:
    """One document, on one line."""
    click.echo(msgspec.json.encode(value))
