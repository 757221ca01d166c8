"""`raftlog status`: every node's view of itself and of its log, as a table or as JSON."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raftlog.admin import GroupStatus, Operator, Refused, StatusReply, Unreachable
from raftlog.cli.exits import CommandFailed, Exit
from raftlog.cli.output import json_option, print_json, words
from raftlog.cli.targets import ADDRESS, VARIABLE, dir_option, targets
from raftlog.cli.tls import tls_files, tls_options
from raftlog.server import Address
from raftlog.transport.tls import TlsFiles

Answers = Mapping[str, StatusReply | Unreachable | Refused]

_WATCH_SECONDS = 0.5
_COLUMNS = (
    "node",
    "id",
    "role",
    "term",
    "leader",
    "committed",
    "applied",
    "last",
    "durable",
    "lag",
    "pid",
    "address",
)
_NUMBERS = ("term", "committed", "applied", "last", "durable", "lag", "pid")


@click.command("status")
@click.argument("addresses", metavar="[ADDR]...", type=ADDRESS, nargs=-1)
@dir_option
@tls_options(server=False)
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@json_option
def command(
    addresses: tuple[Address, ...],
    directory: Path | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_name: str | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Show the nodes at ADDR... (default: those in RAFTLOG_NODES, else 127.0.0.1:7001) and all others they know.

    Exit code 0: a majority answers, has a leader and equal replicas; 1: not so; 4: nobody answers.
    """
    asked = targets(addresses, directory, os.environ.get(VARIABLE))
    tls = tls_files(tls_ca, tls_cert, tls_key, tls_name)
    if watch and as_json:
        raise click.UsageError("--watch is for people: run --json again and again instead")
    with contextlib.suppress(KeyboardInterrupt) if watch else contextlib.nullcontext():
        answers = asyncio.run(_watch(asked, tls) if watch else _look_once(asked, tls))
        _show(answers, as_json=as_json)


def _show(answers: Answers, *, as_json: bool) -> None:
    health = verdict(answers)
    if as_json:
        print_json({"healthy": health is None, "verdict": health, "nodes": list(as_values(answers))})
    else:
        words().print(as_table(answers))
    if health is not None:
        nobody = not any(isinstance(answer, StatusReply) for answer in answers.values())
        raise CommandFailed(health, Exit.UNREACHABLE if nobody else Exit.FAILED)


async def _look_once(asked: list[str], tls: TlsFiles | None) -> Answers:
    async with Operator(tls) as operator:
        return await look(operator, asked)


async def _watch(asked: list[str], tls: TlsFiles | None) -> Answers:
    console = words()
    async with Operator(tls) as operator:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(as_table(await look(operator, asked)), refresh=True)
                await asyncio.sleep(_WATCH_SECONDS)


async def look(operator: Operator, asked: list[str]) -> Answers:
    """Ask these nodes, and then the members that their answers name and that were not asked."""
    answers = await operator.statuses(asked)
    known = {member.client_address for group in _groups(answers) for member in group.members}
    # A node may be asked under another name than it advertises: its own answer tells.
    met = {answer.client_address for answer in answers.values() if isinstance(answer, StatusReply)}
    return {**answers, **await operator.statuses(sorted(known - met - set(asked)))}


def verdict(answers: Answers) -> str | None:
    """What is wrong with the cluster as a whole, in a sentence; None when it serves."""
    replies = [answer for answer in answers.values() if isinstance(answer, StatusReply)]
    if not replies:
        return f"none of the nodes answers: {', '.join(answers)}"
    if all(not reply.cluster_id for reply in replies):
        return "the nodes wait to be initialised: run `raftlog init` with all their addresses"
    if len({reply.cluster_id for reply in replies if reply.cluster_id}) > 1:
        return "the nodes belong to different clusters"
    if (unlike := _unlike(answers)) is not None:
        return unlike
    led = [group for group in _groups(answers) if group.leader]
    voters = max((len(group.voters) for group in led), default=0)
    top = max((group.term for group in led), default=0)
    following = sum(group.term == top for group in led)
    if following * 2 <= voters or not voters:
        return "no leader is followed by a majority of the nodes that answer"
    return None


def _unlike(answers: Answers) -> str | None:
    """Whether replicas that must be equal are not."""
    machines = sorted({group.machine for group in _groups(answers)})
    if len(machines) > 1:
        return f"the nodes run different machines, {' and '.join(machines)}: start all of them with the same --machine"
    digests: dict[int, set[int]] = {}
    for group in _groups(answers):
        digests.setdefault(group.applied, set()).add(group.digest)
    for applied, found in sorted(digests.items()):
        if len(found) > 1:
            return (
                f"replicas that have applied the log up to {applied} differ: the machine is not deterministic"
            )
    return None


def as_table(answers: Answers) -> RenderableType:
    """A row per node, silent ones too, and below them what is wrong with single nodes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", no_wrap=True)
    for row in as_values(answers):
        style = "red" if row["error"] else "bold" if row["role"] == "leader" else ""
        cells = ["" if (value := row.get(column)) is None else str(value) for column in _COLUMNS]
        cells[1] = cells[1][:8]  # enough to tell nodes apart; --json has the whole
        table.add_row(*cells, style=style)
    return Group(table, *(Text(remark) for remark in _remarks(answers)))


def _remarks(answers: Answers) -> Iterator[str]:
    for answer in answers.values():
        if isinstance(answer, StatusReply):
            yield from (f"{answer.name}: {impairment}" for impairment in answer.impairments)
        else:
            yield str(answer)


def as_values(answers: Answers) -> Iterator[dict[str, object]]:
    """The same for scripts: one object per node."""
    members = {m.client_address: m for group in _groups(answers) for m in group.members}
    names = {m.id: m.name for m in members.values()}
    top = max((group.committed for group in _groups(answers)), default=0)
    for address, answer in answers.items():
        if not isinstance(answer, StatusReply):
            member = members.get(address)
            name, node = (member.name, f"{member.id:016x}") if member is not None else (None, None)
            yield {"node": name, "id": node, "role": "unreachable", "address": address, "error": str(answer)}
            continue
        row: dict[str, object] = {
            "node": answer.name,
            "id": f"{answer.node_id:016x}",
            "cluster": f"{answer.cluster_id:016x}" if answer.cluster_id else None,
            "role": "waiting",
            "pid": answer.pid,
            "address": address,
            "serving": answer.serving,
            "version": answer.version,
            "impairments": list(answer.impairments),
            "retention": _retention(answer),
            "restored_from": f"{answer.restored.cluster_id:016x}" if answer.HasField("restored") else None,
            "error": None,
        }
        for group in answer.groups[:1]:
            row |= {
                "role": group.role,
                "term": group.term,
                "leader": names.get(group.leader, f"{group.leader:016x}") if group.leader else None,
                "first": group.first,
                "last": group.last,
                "committed": group.committed,
                "applied": group.applied,
                "durable": group.durable,
                "snapshot": group.snapshot,
                "lag": max(top - group.applied, 0),
                "digest": f"{group.digest:016x}",
                "machine": group.machine,
            }
        yield row


def _retention(answer: StatusReply) -> dict[str, int] | None:
    if not answer.HasField("retention"):  # of a release that does not tell
        return None
    return {
        field.name: int(getattr(answer.retention, field.name)) for field in answer.retention.DESCRIPTOR.fields
    }


def _groups(answers: Answers) -> list[GroupStatus]:
    """Group 0 of every node that has it."""
    return [
        group
        for answer in answers.values()
        if isinstance(answer, StatusReply)
        for group in answer.groups
        if group.group == 0
    ]
