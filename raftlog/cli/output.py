"""What commands print: JSON when asked, else words and tables; results on standard output, all else on standard error."""

from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console

from raftlog.cli.app import Invocation

F = TypeVar("F")


def json_option(function: F) -> F:
    """`--json`: one JSON document on standard output, for scripts."""

    def note(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        ctx.ensure_object(Invocation).json |= value
        return value

    option: Any = click.option(
        "--json", "as_json", is_flag=True, callback=note, is_eager=True, help="Print one JSON document."
    )
    decorated: F = option(function)
    return decorated


def print_json(value: object) -> None:
    """One document, on one line."""
    click.echo(msgspec.json.encode(value))


def words() -> Console:
    """Where results for people go."""
    return Console(highlight=False, soft_wrap=True)


def asides() -> Console:
    """Where progress and remarks go; quiet unless somebody watches."""
    return Console(stderr=True, highlight=False)
