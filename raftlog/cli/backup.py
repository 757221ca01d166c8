"""`raftlog backup`: the state of a live cluster into one file, and a look at such a file."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from raftlog.admin import Operator
from raftlog.backup.checking import Contents, check
from raftlog.backup.taking import Backup, Step, Wishes, back_up
from raftlog.cli.output import asides, json_option, print_json
from raftlog.cli.targets import ADDRESS, VARIABLE, dir_option, targets
from raftlog.cli.tls import tls_files, tls_options
from raftlog.clock import SystemClock
from raftlog.core.ids import Micros
from raftlog.server import Address
from raftlog.transport.tls import TlsFiles

FILE = click.Path(dir_okay=False, path_type=Path)


class _WithDefault(click.Group):
    """A group whose `take` need not be named: `raftlog backup ADDR --to FILE`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Any other word is the first of `take`'s."""
        return self.commands.get(cmd_name, self.commands["take"])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named or not args else ["take", *args])


@click.group("backup", cls=_WithDefault)
def command() -> None:
    """Take a backup (`raftlog backup ADDR... --to FILE`), or verify one.

    See docs/backup.md.
    """


@command.command("take")
@click.argument("addresses", metavar="[ADDR]...", type=ADDRESS, nargs=-1)
@dir_option
@click.option("--to", "file", type=FILE, required=True, help="The file to write.")
@click.option("--replace", is_flag=True, help="An existing file may be replaced.")
@click.option("--latest", is_flag=True, help="The newest snapshot there is; do not have one taken first.")
@click.option("--from-leader", is_flag=True, help="Ask the leader first; otherwise it is asked last.")
@click.option(
    "--patience",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for which nothing may move.",
)
@tls_options(server=False)
@json_option
def take_command(
    addresses: tuple[Address, ...],
    directory: Path | None,
    file: Path,
    replace: bool,
    latest: bool,
    from_leader: bool,
    patience: float,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_name: str | None,
    as_json: bool,
) -> None:
    """Write the state of the cluster at ADDR... (one address is enough) to a file, as of now or later.

    Everything that was acknowledged before the command was started is in it, unless --latest asks for less. The file is
    there when it is whole and durable, and not before.
    """
    asked = targets(addresses, directory, os.environ.get(VARIABLE))
    tls = tls_files(tls_ca, tls_cert, tls_key, tls_name)
    wishes = Wishes(latest=latest, from_leader=from_leader, replace=replace, patience=patience)
    made = asyncio.run(_take(asked, file, tls, wishes))
    if as_json:
        print_json(_taken_value(file, made))
    else:
        for group in made.groups:
            click.echo(f"group {group.group} at {group.last}, {group.size} bytes, from {group.node}")
        click.echo(f"wrote {file}: cluster {made.header.cluster:016x}, {made.size} bytes")


@command.command("verify")
@click.argument("file", metavar="FILE", type=FILE)
@json_option
def verify_command(file: Path, as_json: bool) -> None:
    """Read a whole backup, and say what is in it or where its first damage is.

    Exit code 0: sound; 5: damaged, and of no use; 1: no backup, or one of a later release.
    """
    with _bar("verifying") as bar:
        task = bar.add_task(str(file), total=file.stat().st_size if file.exists() else None)
        found = check(file, lambda offset: bar.update(task, completed=offset))
    if as_json:
        print_json(_contents_value(file, found))
    else:
        header = found.header
        click.echo(
            f"{file}: cluster {header.cluster:016x}, {date(header.taken_at)}, by raftlog {header.release}"
        )
        for group in found.groups:
            click.echo(f"group {group.group}: {group.machine} at {group.last}, {group.size} bytes")
        click.echo("sound")


async def _take(asked: list[str], file: Path, tls: TlsFiles | None, wishes: Wishes) -> Backup:
    with _bar("backup") as bar:
        tasks: dict[int, TaskID] = {}

        def show(step: Step) -> None:
            if step.group not in tasks:
                tasks[step.group] = bar.add_task("", total=None)
            what = "from" if step.fetching else "is being taken at"
            bar.update(
                tasks[step.group],
                description=f"group {step.group} {what} {step.node}",
                completed=step.done,
                total=step.total,
            )

        async with Operator(tls) as operator:
            return await back_up(operator, asked, file, clock=SystemClock(), wishes=wishes, on_step=show)


def _bar(label: str) -> Progress:
    return Progress(
        TextColumn(label),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=asides(),
        transient=True,
    )


def date(at: Micros) -> str:
    """For people and scripts alike."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _taken_value(file: Path, made: Backup) -> dict[str, object]:
    return {
        "file": str(file),
        "bytes": made.size,
        "cluster": f"{made.header.cluster:016x}",
        "taken_at": date(made.header.taken_at),
        "groups": [
            {
                "group": each.group,
                "index": each.last.index,
                "term": each.last.term,
                "bytes": each.size,
                "node": each.node,
                "address": each.address,
            }
            for each in made.groups
        ],
    }


def _contents_value(file: Path, found: Contents) -> dict[str, object]:
    return {
        "file": str(file),
        "sound": True,
        "bytes": found.size,
        "format": 1,
        "cluster": f"{found.header.cluster:016x}",
        "taken_at": date(found.header.taken_at),
        "release": found.header.release,
        "groups": [
            {
                "group": each.group,
                "machine": each.machine,
                "machine_version": each.machines[-1][1],
                "index": each.last.index,
                "term": each.last.term,
                "bytes": each.size,
            }
            for each in found.groups
        ],
    }
