"""`raftlog snapshot`: has nodes take a snapshot now, and waits until it is durable."""

import asyncio
import os
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from raftlog.admin import Operator, Refused, SnapshotReply, StatusReply, Unreachable
from raftlog.backup.asking import NoSnapshot, take
from raftlog.cli.exits import CommandFailed, Exit
from raftlog.cli.output import asides, json_option, print_json
from raftlog.cli.targets import ADDRESS, VARIABLE, dir_option, targets
from raftlog.cli.tls import tls_files, tls_options
from raftlog.core.ids import GroupId
from raftlog.server import Address
from raftlog.transport.tls import TlsFiles


@click.command("snapshot")
@click.argument("addresses", metavar="[ADDR]...", type=ADDRESS, nargs=-1)
@dir_option
@tls_options(server=False)
@click.option(
    "--patience",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for which a node may make no progress.",
)
@json_option
def command(
    addresses: tuple[Address, ...],
    directory: Path | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_name: str | None,
    patience: float,
    as_json: bool,
) -> None:
    """Have each node at ADDR... (default: those in RAFTLOG_NODES, else 127.0.0.1:7001) take a snapshot of its state.

    A node with nothing new since its last snapshot answers with that one. Exit code 0: all of them have one.
    """
    asked = targets(addresses, directory, os.environ.get(VARIABLE))
    tls = tls_files(tls_ca, tls_cert, tls_key, tls_name)
    made, failed = asyncio.run(_take_all(asked, tls, patience))
    if as_json:
        print_json({"snapshots": made, "failed": [str(each) for each in failed]})
    else:
        for row in made:
            click.echo(
                f"{row['node']}: group {row['group']} at {row['index']}@{row['term']}, {row['bytes']} bytes"
            )
    if failed:
        silent = not made and all(isinstance(each, Unreachable) for each in failed)
        said = "; ".join(map(str, failed))
        raise CommandFailed(said, Exit.UNREACHABLE if silent else Exit.FAILED)


async def _take_all(
    asked: list[str], tls: TlsFiles | None, patience: float
) -> tuple[list[dict[str, object]], list[Exception]]:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=asides(),
        transient=True,
    )

    async def one(address: str) -> list[dict[str, object]] | Exception:
        try:
            return await _of_node(operator, address, patience, bar)
        except (Unreachable, Refused, NoSnapshot) as error:
            return error

    async with Operator(tls) as operator:
        nodes = list(dict.fromkeys(asked))
        with bar:
            answers = await asyncio.gather(*map(one, nodes))
    made = [row for answer in answers if isinstance(answer, list) for row in answer]
    return made, [answer for answer in answers if isinstance(answer, Exception)]


async def _of_node(
    operator: Operator, address: str, patience: float, bar: Progress
) -> list[dict[str, object]]:
    status = await operator.status(address)
    if not status.groups:
        raise Refused(
            f"{address} ({status.name}) has nothing to take a snapshot of: it waits for `raftlog init`"
        )
    return [
        await _of_group(operator, address, status, GroupId(group.group), patience, bar)
        for group in status.groups
    ]


async def _of_group(
    operator: Operator, address: str, status: StatusReply, group: GroupId, patience: float, bar: Progress
) -> dict[str, object]:
    task = bar.add_task(f"{status.name}, group {group}", total=None)

    def show(reply: SnapshotReply) -> None:
        bar.update(task, completed=reply.newest.size if reply.done else reply.written)

    newest = (await take(operator, address, group, seconds=patience, on_progress=show)).newest
    bar.update(task, total=newest.size)
    return {
        "node": status.name,
        "address": address,
        "group": group,
        "index": newest.index,
        "term": newest.term,
        "bytes": newest.size,
        "id": f"{newest.id:016x}",
    }
