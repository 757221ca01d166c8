"""`python -m jepsen_like against ADDR...`: clients on a cluster that somebody else runs and hurts, and a verdict."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import click

from jepsen_like.check import Verdict, write_jsonl
from jepsen_like.cluster.callers import Callers
from jepsen_like.sim.judge import Exit
from jepsen_like.workloads.registers import Registers
from jepsen_like.workloads.workload import Judged
from raftlog import CallError, Client
from raftlog.clock import SystemClock
from raftlog.server import Address, BadAddress
from statemachines.kv import KeyValue

LEAST = 10
"""Operations that must succeed for a run to say anything."""
LAST = 60.0
"""Seconds that the cluster has for the last reads, once nothing hurts it any more."""


def _addresses(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(Address.parse(each)) for each in given)
    except BadAddress as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("addresses", metavar="ADDR...", nargs=-1, required=True, callback=_addresses)
@click.option("--seconds", type=click.FloatRange(1), default=20.0, show_default=True, help="How long.")
@click.option("--clients", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=20.0,
    show_default=True,
    help="Operations of a client in a second.",
)
@click.option("--seed", type=int, help="What the clients ask; a new one if not given.")
@click.option("--history", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
def against(
    addresses: tuple[str, ...],
    seconds: float,
    clients: int,
    rate: float,
    seed: int | None,
    history: Path | None,
) -> int:
    """Read, write and compare registers of the key-value store at ADDR..., and check that all of it is linearizable.

    The nodes must serve statemachines.kv:KeyValue. Their keys are left alone but for new ones that begin with
    `jepsen-like/`, which stay. Hurt the cluster meanwhile as you like: calls that fail are no violation; everything
    must be readable again within a minute after the end.

    Exit codes: 0 linearizable, 1 not, or unreadable in the end, 2 nobody can tell: too little succeeded, or the search
    took too long, 3 nothing was begun.
    """
    entropy = SystemClock().entropy()
    seed = entropy % 1_000_000 if seed is None else seed
    click.echo(
        f"seed {seed}: {clients} clients, {rate:g} operations a second each, {seconds:g} seconds", err=True
    )
    workload = Registers(prefix=f"jepsen-like/{entropy:016x}/")
    callers = Callers(workload, addresses, rate=rate, random=Random(seed))
    readable = asyncio.run(_run(workload, callers, addresses, seconds, clients))
    if history is not None:
        with history.open("wb") as file:
            write_jsonl(callers.history, file)
    judged = workload.judge(callers.history)
    return _tell(judged, callers.counts, readable=readable)


async def _run(
    workload: Registers, callers: Callers, addresses: tuple[str, ...], seconds: float, clients: int
) -> bool:
    """Whether everything could be read in the end."""
    async with Client(addresses) as client:
        try:
            await client.call(KeyValue.count)
        except CallError as error:
            raise click.ClickException(f"these nodes are not of use: {error}") from error
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(callers.run(clients), name="clients")
        await asyncio.sleep(seconds)
        callers.stop()
    try:
        async with asyncio.timeout(LAST):
            await callers.read_all()
    except TimeoutError:
        return False
    return True


def _tell(judged: Sequence[Judged], counts: dict[str, int], *, readable: bool) -> Exit:
    click.echo(f"{counts['ok']} succeeded, {counts['fail']} failed, {counts['info']} unknown")
    for each in judged:
        click.echo("\n  ".join((f"{each.checker}: {each.verdict.value}", *each.sentences)))
    if not readable:
        click.echo(f"not everything could be read within {LAST:g} seconds after the end")
    if not readable or any(each.verdict is Verdict.INVALID for each in judged):
        return Exit.FAILED
    if counts["ok"] < LEAST:
        click.echo(f"fewer than {LEAST} operations succeeded: this says nothing")
        return Exit.INVALID
    return Exit.INVALID if any(each.verdict is Verdict.UNKNOWN for each in judged) else Exit.CLEAN
