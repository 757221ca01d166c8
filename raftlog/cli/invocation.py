"""What holds for one run of the command, and what commands that other packages bring are given: nodes and a printer."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec

from raftlog.admin import Operator, Refused, StatusReply, Unreachable
from raftlog.cli.exits import CommandFailed, Exit
from raftlog.cli.targets import ADDRESS, VARIABLE, targets
from raftlog.cli.tls import tls_files
from raftlog.client import BlockingClient
from raftlog.machine.typed import Machine
from raftlog.server import Address
from raftlog.transport.grpc_link import GrpcDialer
from raftlog.transport.tls import TlsFiles

_LOOK_SECONDS = 3.0


@dataclass(slots=True)
class Invocation:
    """Commands of other packages find it as click's `obj`."""

    debug: bool = field(default_factory=lambda: bool(os.environ.get("RAFTLOG_DEBUG")))
    """Show tracebacks."""
    json: bool = False
    """Standard output carries JSON, an error's too."""
    nodes: tuple[Address, ...] = ()
    directory: Path | None = None
    timeout: float = 10.0
    """Seconds that one call may take."""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_name: str | None = None

    @contextmanager
    def connect(self, machine: type[Machine]) -> Iterator[BlockingClient]:
        """A client of the nodes that the flags name, for as long as the block runs.

        Raises:
            CommandFailed: nobody answers there, so nothing was done.
        """
        addresses = targets(self.nodes, self.directory, os.environ.get(VARIABLE))
        tls = tls_files(self.tls_ca, self.tls_cert, self.tls_key, self.tls_name)
        asyncio.run(_somebody(addresses, tls, machine, min(self.timeout, _LOOK_SECONDS)))
        with BlockingClient(addresses, dialer=lambda: GrpcDialer(tls=tls), deadline=self.timeout) as client:
            yield client

    def answer(self, value: object, words: str | None) -> None:
        """Print `value` if JSON was asked for, else the words, if there are any."""
        if self.json:
            click.echo(msgspec.json.encode(value))
        elif words is not None:
            click.echo(words)

    def refuse(self, sentence: str) -> Exception:
        """What to raise when the answer is a definite no."""
        return CommandFailed(sentence)


async def _somebody(
    addresses: Sequence[str], tls: TlsFiles | None, machine: type[Machine], seconds: float
) -> None:
    """See that there is a member to talk to, and that it runs this machine.

    Raises:
        CommandFailed: there is none, or it runs another.
    """
    async with Operator(tls) as operator:
        answers = await operator.statuses(addresses, timeout=seconds)
    members = [answer for answer in answers.values() if isinstance(answer, StatusReply) and answer.groups]
    if not members:
        said = "; ".join(
            str(answer)
            if isinstance(answer, Unreachable | Refused)
            else f"{address} waits for `raftlog init`"
            for address, answer in answers.items()
        )
        raise CommandFailed(f"{said}; nothing was done", Exit.UNREACHABLE)
    others = {group.machine for member in members for group in member.groups[:1]} - {machine.name}
    if others:
        raise CommandFailed(
            f"this cluster runs {', '.join(sorted(others))}, not {machine.name}; nothing was done"
        )


_FILE = click.Path(dir_okay=False, path_type=Path)
_FLAGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "nodes",
        "--node",
        {"type": ADDRESS, "multiple": True, "help": "A node, as host:port; may be repeated."},
    ),
    (
        "directory",
        "--dir",
        {
            "type": click.Path(file_okay=False, path_type=Path),
            "help": "Directory of a cluster that `raftlog cluster` made.",
        },
    ),
    (
        "timeout",
        "--timeout",
        {
            "type": click.FloatRange(0, min_open=True),
            "default": 10.0,
            "show_default": True,
            "help": "Seconds a call may take.",
        },
    ),
    ("tls_ca", "--tls-ca", {"type": _FILE, "help": "PEM file of the authority to trust."}),
    ("tls_cert", "--tls-cert", {"type": _FILE, "help": "PEM file of our own certificate."}),
    ("tls_key", "--tls-key", {"type": _FILE, "help": "PEM file of its private key."}),
    ("tls_name", "--tls-name", {"help": "Name that the servers' certificates must carry."}),
    ("json", "--json", {"is_flag": True, "is_eager": True, "help": "Print one JSON document."}),
)


def add_connection_flags(command: click.Command) -> None:
    """Give every command below `command` the flags that say which nodes, how, and in what form to answer."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_connection_flags(below)
    elif not any(parameter.callback is _note for parameter in command.params):
        for name, flag, settings in _FLAGS:
            command.params.append(click.Option([flag, name], expose_value=False, callback=_note, **settings))


def _note(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    assert parameter.name is not None, "flags have names"
    setattr(ctx.ensure_object(Invocation), parameter.name, value)
