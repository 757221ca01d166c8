"""What commands print: results on standard output, as JSON when asked; all else on standard error."""

import shutil
import sys
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console

from raftlog.cli.invocation import Invocation

F = TypeVar("F")

_TABLE_WIDTH = 116


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
    """Where results for people go. A table may be wider than the terminal: cut numbers are worse than folded lines."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, _TABLE_WIDTH)
    return console


def typed_as() -> str:
    """The name of our command for a shell: as it was typed, where the shell does not find the bare name."""
    typed = Path(sys.argv[0])
    if typed.name != "raftlog":
        return "raftlog"
    found = shutil.which(typed.name)
    return "raftlog" if found is not None and typed.samefile(found) else str(typed)


def asides() -> Console:
    """Where progress and remarks go; quiet unless somebody watches."""
    return Console(stderr=True, highlight=False)
