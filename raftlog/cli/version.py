"""`raftlog version`: which release this is, and what it runs on."""

import platform
from importlib.metadata import version

import click

from raftlog import __version__
from raftlog.cli.output import json_option, print_json
from raftlog.storage.format import FORMAT
from raftlog.transport.handshake import PROTOCOL_VERSION


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Show the version, and the formats it reads and speaks."""
    facts = {
        "raftlog": __version__,
        "protocol": PROTOCOL_VERSION,
        "log_format": FORMAT,
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
    }
    if as_json:
        print_json(facts)
    else:
        click.echo(
            f"raftlog {facts['raftlog']} (protocol {facts['protocol']}, log format {facts['log_format']}, "
            f"Python {facts['python']}, grpcio {facts['grpcio']})"
        )
