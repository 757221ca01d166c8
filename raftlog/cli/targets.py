"""Which nodes a command speaks to: addresses on the command line, a cluster's directory, or the environment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from raftlog.cluster import ClusterFailed, ClusterFile
from raftlog.server import Address, BadAddress

VARIABLE = "RAFTLOG_NODES"
DEFAULT = "127.0.0.1:7001"


class AddressType(click.ParamType[Address]):
    """`host:port`."""

    name = "host:port"

    def convert(
        self, value: str | Address, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        """See click."""
        try:
            return value if isinstance(value, Address) else Address.parse(value)
        except BadAddress as error:
            self.fail(str(error), param, ctx)


ADDRESS = AddressType()


def dir_option(function: Any) -> Any:
    """`--dir`: the directory of a cluster that `raftlog cluster` made."""
    return click.option(
        "--dir",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        help="Directory of a cluster that `raftlog cluster` made.",
    )(function)


def targets(given: Sequence[Address], directory: Path | None, environment: str | None) -> list[str]:
    """The addresses to speak to: those given, those of the directory, those of the environment, or the default one.

    Raises:
        click.UsageError: nothing is there, or two sources were given at once.
    """
    if given and directory is not None:
        raise click.UsageError("give addresses or --dir, not both")
    if directory is not None:
        return _of_directory(directory)
    if given:
        return [str(address) for address in given]
    try:
        return [str(Address.parse(text.strip())) for text in (environment or DEFAULT).split(",")]
    except BadAddress as error:
        raise click.UsageError(f"the environment's {VARIABLE}: {error}") from None


def _of_directory(directory: Path) -> list[str]:
    try:
        found = ClusterFile.read(directory)
    except ClusterFailed as error:
        raise click.UsageError(str(error)) from error
    if found is None:
        raise click.UsageError(f"{directory} holds no cluster: `raftlog cluster --dir {directory}` makes one")
    return [node.address for node in found.nodes]
