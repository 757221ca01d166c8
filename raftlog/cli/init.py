"""`raftlog init`: makes waiting nodes into a cluster."""

import asyncio
from pathlib import Path

import click

from raftlog.admin import Operator
from raftlog.bootstrap import Plan, initialise
from raftlog.cli.output import json_option, print_json
from raftlog.cli.targets import ADDRESS
from raftlog.cli.tls import tls_files, tls_options
from raftlog.clock import SystemClock
from raftlog.core.ids import ClusterId
from raftlog.server import Address
from raftlog.transport.tls import TlsFiles


@click.command("init")
@click.argument("addresses", metavar="ADDR...", type=ADDRESS, nargs=-1, required=True)
@tls_options(server=False)
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=0.0,
    show_default=True,
    help="Seconds to try again while nodes do not answer.",
)
@json_option
def command(
    addresses: tuple[Address, ...],
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_name: str | None,
    wait: float,
    as_json: bool,
) -> None:
    """Make the waiting nodes at ADDR... (all of them, each host:port) one cluster.

    Refuses when one of them belongs to a cluster already. If it stops half-way, mend what it names and repeat the same
    command: it goes on where it stopped. Where they are one cluster already, it changes nothing and ends with 0.
    """
    tls = tls_files(tls_ca, tls_cert, tls_key, tls_name)
    done = asyncio.run(_initialise([str(address) for address in addresses], tls, wait))
    if as_json:
        print_json(_as_json(done))
    else:
        click.echo(_in_words(done))


async def _initialise(addresses: list[str], tls: TlsFiles | None, wait: float) -> Plan:
    async with Operator(tls) as operator:
        cluster = ClusterId(SystemClock().entropy())
        return await initialise(operator, addresses, cluster, wait=wait, on_wait=_say)


def _say(why: str) -> None:
    click.echo(f"waiting: {why}", err=True)


def _in_words(done: Plan) -> str:
    members = ", ".join(f"{voter.name} ({voter.client_address})" for voter in done.voters)
    if not done.waiting:
        return f"cluster {done.cluster:016x} of {members} is initialised already; nothing was changed"
    if done.done:
        return (
            f"completed cluster {done.cluster:016x} of {members}: {', '.join(done.waiting)} had been left out"
        )
    return f"initialised cluster {done.cluster:016x} of {members}"


def _as_json(done: Plan) -> dict[str, object]:
    return {
        "cluster": f"{done.cluster:016x}",
        "initialised": list(done.waiting),
        "already": list(done.done),
        "voters": [
            {"id": f"{voter.id:016x}", "name": voter.name, "address": voter.client_address}
            for voter in done.voters
        ],
    }
