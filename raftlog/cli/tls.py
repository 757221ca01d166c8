"""The TLS flags that commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from raftlog.transport.tls import TlsFiles

_FILE = click.Path(dir_okay=False, path_type=Path)


def tls_options(*, server: bool) -> Callable[[Any], Any]:
    """`--tls-ca`, `--tls-cert`, `--tls-key`, and what only servers or only dialers need."""
    options = [
        click.option("--tls-ca", type=_FILE, help="PEM file of the authority to trust."),
        click.option("--tls-cert", type=_FILE, help="PEM file of our own certificate."),
        click.option("--tls-key", type=_FILE, help="PEM file of its private key."),
    ]
    if server:
        mutual = "Demand certificates of clients and other nodes."
        options.append(click.option("--tls-mutual", is_flag=True, help=mutual))
    name = "Name that the servers' certificates must carry, instead of the dialed host's."
    options.append(click.option("--tls-name", help=name))

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def tls_files(
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_name: str | None,
    *,
    tls_mutual: bool = False,
) -> TlsFiles | None:
    """The files of the flags; None when no flag was given.

    Raises:
        click.UsageError: some flags were given without the authority.
    """
    if tls_ca is None:
        if tls_cert or tls_key or tls_name or tls_mutual:
            raise click.UsageError("TLS needs the authority to trust: give --tls-ca too")
        return None
    return TlsFiles(tls_ca, tls_cert, tls_key, mutual=tls_mutual, name_override=tls_name)
