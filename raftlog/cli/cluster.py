"""`raftlog cluster`: several nodes on this machine, started, initialised once, and kept running."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import click

from raftlog.admin import Operator
from raftlog.cli.exits import CommandFailed
from raftlog.cli.output import asides, json_option, print_json, typed_as, words
from raftlog.cli.status import as_table, as_values, look
from raftlog.cluster import ClusterFailed, LocalCluster


@click.command("cluster")
@click.option("--nodes", type=click.IntRange(1, 9), help="How many.  [default: 3, or what the directory has]")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where the nodes keep their data; the same directory starts the same cluster again.",
)
@click.option("--machine", help="The state machine, as module:Class.  [default: the key-value store]")
@click.option(
    "--election-timeout", type=click.IntRange(10, 600_000), help="Milliseconds; see `raftlog serve`."
)
@click.option("--heartbeat", type=click.IntRange(1, 200_000), help="Milliseconds; see `raftlog serve`.")
@json_option
def command(
    nodes: int | None,
    directory: Path,
    machine: str | None,
    election_timeout: int | None,
    heartbeat: int | None,
    as_json: bool,
) -> None:
    """Run several nodes on this machine until Ctrl-C; one that ends by itself is started again.

    With --json, the nodes are printed as one document as soon as they serve.
    """
    flags: list[str] = []
    for flag, value in (("--election-timeout", election_timeout), ("--heartbeat", heartbeat)):
        if value is not None:
            flags += [flag, str(value)]
    notes = asides()
    cluster = LocalCluster(
        directory,
        nodes=nodes,
        machine=machine,
        flags=flags,
        supervised=True,
        on_event=lambda text: notes.print(text, style="dim"),
    )
    try:
        asyncio.run(_run(cluster, as_json=as_json))
    except* ClusterFailed as failed:
        raise CommandFailed(str(failed.exceptions[0])) from failed


async def _run(cluster: LocalCluster, *, as_json: bool) -> None:
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        with asides().status("starting the nodes"):
            await stack.enter_async_context(cluster)
            await cluster.until_serving()
        async with Operator() as operator:
            answers = await look(operator, list(cluster.addresses))
        if as_json:
            print_json({"dir": str(cluster.directory), "nodes": list(as_values(answers))})
        else:
            console = words()
            console.print(as_table(answers))
            console.print(_commands(cluster), style="dim")
        # Not earlier: until now a Ctrl-C gives up the start.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()
        asides().print("stopping", style="dim")


def _commands(cluster: LocalCluster) -> str:
    program = typed_as()
    where = f"--dir {cluster.directory}"
    return (
        "\nThe cluster runs until Ctrl-C. To play with it, from another terminal:\n"
        f"  {program} status {where} --watch\n"
        f"  {program} kv put greeting hello {where}\n"
        f"  {program} kv get greeting {where}\n"
        f"  kill -9 {cluster.pids[0]}    # it is started again, and catches up\n"
        f"What the nodes say is in {cluster.directory}/*.log"
    )
