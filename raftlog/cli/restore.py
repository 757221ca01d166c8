"""`raftlog restore`: new nodes, and so a new cluster, from a backup."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from raftlog.backup.checking import Contents, check
from raftlog.backup.restoring import machine_of, restore
from raftlog.cli.backup import date
from raftlog.cli.exits import CommandFailed
from raftlog.cli.output import asides, json_option, print_json, typed_as
from raftlog.cli.serve import DEFAULT_MACHINE
from raftlog.clock import SystemClock
from raftlog.cluster import FILE as CLUSTER_FILE
from raftlog.cluster import ClusterFailed, ClusterFile
from raftlog.server import BadMachine, load_machine
from raftlog.storage import Identity, LocalDisk
from raftlog.storage.identity import CUT_SHORT, RESTORING
from raftlog.storage.local import LOCK

_DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command("restore")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data-dir", type=_DIRECTORY, help="The directory of one new node, for `raftlog serve`.")
@click.option(
    "--dir", "directory", type=_DIRECTORY, help="The directory of a new cluster here, for `raftlog cluster`."
)
@click.option("--nodes", type=click.IntRange(1, 9), help="With --dir: how many nodes.  [default: 3]")
@click.option(
    "--machine", help="With --dir: the state machine, as module:Class.  [default: the key-value store]"
)
@json_option
def command(
    file: Path,
    data_dir: Path | None,
    directory: Path | None,
    nodes: int | None,
    machine: str | None,
    as_json: bool,
) -> None:
    """Make the directory of a new node from the backup FILE (--data-dir; once on each machine of the new cluster, with
    the same FILE), or those of all nodes of a new cluster on this machine (--dir).

    The nodes wait for `raftlog init`, as empty ones do, and begin with the state in the backup. The old cluster, if it
    still lives, is another one. Nothing is written before the whole file was found sound, nor into a directory that is
    not empty.
    """
    if (data_dir is None) == (directory is None):
        raise click.UsageError(
            "say where to: --data-dir for one node, or --dir for a cluster on this machine"
        )
    if directory is None and (nodes is not None or machine is not None):
        raise click.UsageError("--nodes and --machine go with --dir: each run with --data-dir makes one node")
    with _bar() as bar:
        found = check(file, _watch(bar, "verifying", file))
        name = machine_of(found)
        if data_dir is not None:
            _refuse_full(data_dir)
            made = asyncio.run(_restore(file, found, [data_dir], _watch(bar, "restoring", file)))
            next_step = (
                f"start it with `raftlog serve --data-dir {data_dir}`, the others too; then `raftlog init`"
            )
        else:
            assert directory is not None, "one of the two was given"
            described = _describe(directory, nodes, machine, name)
            places = [directory / entry.name for entry in described.nodes]
            made = asyncio.run(_restore(file, found, places, _watch(bar, "restoring", file)))
            described.write(directory)
            next_step = f"start it with `{typed_as()} cluster --dir {directory}`"
    _tell(file, found, made, next_step, as_json=as_json)


def _describe(directory: Path, nodes: int | None, machine: str | None, name: str) -> ClusterFile:
    """The new cluster's file, once its machine is known to be the backup's."""
    sys.path.insert(0, os.getcwd())  # where a user's own machine most often is
    try:
        given = load_machine(machine or DEFAULT_MACHINE).name
        if given != name:
            raise CommandFailed(
                f"the backup is of the machine {name!r}, not {given!r}: name it with --machine"
            )
        if (directory / CLUSTER_FILE).exists():
            raise CommandFailed(
                f"{directory} holds a cluster: a restore makes a new one, in another directory"
            )
        return ClusterFile.make(directory, nodes, machine)
    except BadMachine as error:
        raise click.UsageError(str(error)) from error
    except ClusterFailed as error:
        raise CommandFailed(str(error)) from error


def _refuse_full(directory: Path) -> None:
    if (directory / RESTORING).exists():
        raise CommandFailed(f"{directory}: {CUT_SHORT}")
    if directory.is_dir() and any(each.name != LOCK for each in directory.iterdir()):
        raise CommandFailed(
            f"{directory} is not empty: a restore makes a new node, and never goes into one that there is"
        )


async def _restore(
    file: Path, found: Contents, places: Sequence[Path], on_read: Callable[[int], None]
) -> list[Identity]:
    async with AsyncExitStack() as stack:
        disks = []
        for place in places:
            disk = LocalDisk(place)
            stack.push_async_callback(disk.close)
            disks.append(disk)
        return await restore(file, found, disks, clock=SystemClock(), on_read=on_read)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=asides(),
        transient=True,
    )


def _watch(bar: Progress, what: str, file: Path) -> Callable[[int], None]:
    task = bar.add_task(what, total=file.stat().st_size if file.exists() else None)
    return lambda offset: bar.update(task, completed=offset)


def _tell(file: Path, found: Contents, made: list[Identity], next_step: str, *, as_json: bool) -> None:
    header = found.header
    if as_json:
        print_json(
            {
                "file": str(file),
                "source": f"{header.cluster:016x}",
                "taken_at": date(header.taken_at),
                "machine": machine_of(found),
                "nodes": [f"{each.node:016x}" for each in made],
                "groups": [
                    {"group": each.group, "index": each.last.index, "term": each.last.term}
                    for each in found.groups
                ],
            }
        )
        return
    what = "a node that waits" if len(made) == 1 else f"{len(made)} nodes that wait"
    click.echo(f"made {what} with the state of cluster {header.cluster:016x} of {date(header.taken_at)}")
    for each in found.groups:
        click.echo(f"group {each.group}: {each.machine} at {each.last}, {each.size} bytes")
    click.echo(next_step)
