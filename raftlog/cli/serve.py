"""`raftlog serve`: one node as a process of its own."""

import importlib
import os
import sys
from pathlib import Path
from random import Random

import click

from raftlog.cli.exits import CommandFailed, Exit
from raftlog.cli.retention import retention_options
from raftlog.cli.targets import ADDRESS
from raftlog.cli.tls import tls_files, tls_options
from raftlog.cli.toml import config_option
from raftlog.clock import SystemClock
from raftlog.core.settings import Settings
from raftlog.failpoints import INERT, Action, BadRule, Failpoints
from raftlog.node.retention import Retention
from raftlog.server import (
    Address,
    BadMachine,
    BadOptions,
    CannotServe,
    ServeOptions,
    load_machine,
)
from raftlog.server.options import DiskFactory
from raftlog.server.process import ServerFailed, run
from raftlog.server.reports import log_warning
from raftlog.server.server import refuse_optimised
from raftlog.storage import DiskError, DiskFull, LocalDisk, LogDamaged

DEFAULT_MACHINE = "statemachines.kv:KeyValue"
FAILPOINTS = "RAFTLOG_FAILPOINTS"
"""The only way to arm a real node, and only at its start: no call and no file can."""


@click.command("serve")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=config_option,
    help="TOML file with the names of these flags; flags override it.",
)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), required=True, help="The node's own."
)
@click.option(
    "--listen", type=ADDRESS, default="127.0.0.1:7001", show_default=True, help="Port 0: a free one."
)
@click.option("--advertise", type=ADDRESS, help="Where others reach this node, if not at --listen.")
@click.option("--name", default="", help="For people; the data directory's name if not given.")
@click.option(
    "--machine", default=DEFAULT_MACHINE, show_default=True, help="The state machine, as module:Class."
)
@tls_options(server=True)
@click.option("--insecure", is_flag=True, help="Listen beyond loopback without TLS.")
@click.option(
    "--election-timeout",
    type=click.IntRange(10, 600_000),
    default=1000,
    show_default=True,
    help="Milliseconds without a leader until a node campaigns, at least.",
)
@click.option(
    "--heartbeat",
    type=click.IntRange(1, 200_000),
    default=100,
    show_default=True,
    help="Milliseconds between a leader's signs of life.",
)
@retention_options
@click.option(
    "--drain", type=click.FloatRange(0, 600), default=5.0, show_default=True, help="Seconds a stop waits."
)
@click.option("--log-json", is_flag=True, help="Write the log as JSON lines.")
@click.option("--parent-fd", type=click.IntRange(0), hidden=True, help="Stop when this pipe closes.")
@click.option("--disk-factory", hidden=True, help="module:callable that opens the data directory; for tests.")
def command(
    data_dir: Path,
    listen: Address,
    advertise: Address | None,
    name: str,
    machine: str,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_mutual: bool,
    tls_name: str | None,
    insecure: bool,
    election_timeout: int,
    heartbeat: int,
    retention: Retention,
    drain: float,
    log_json: bool,
    parent_fd: int | None,
    disk_factory: str | None,
) -> None:
    """Run one node until SIGTERM or Ctrl-C; a second signal ends it at once.

    A fresh data directory only waits: `raftlog init` with the addresses of all nodes makes them a cluster.
    """
    sys.path.insert(0, os.getcwd())  # where a user's own machine most often is
    try:
        refuse_optimised()
        options = ServeOptions(
            data_dir=data_dir,
            listen=listen,
            advertise=advertise,
            name=name,
            machine=load_machine(machine),
            tls=tls_files(tls_ca, tls_cert, tls_key, tls_name, tls_mutual=tls_mutual),
            insecure=insecure,
            settings=Settings(election_timeout=election_timeout * 1000, heartbeat=heartbeat * 1000),
            retention=retention,
            drain_seconds=drain,
            disk_factory=_factory(disk_factory),
            failpoints=_failpoints(os.environ.get(FAILPOINTS, "")),
        )
    except (BadOptions, BadMachine, ValueError) as error:
        raise click.UsageError(str(error)) from error
    except CannotServe as error:
        raise CommandFailed(str(error)) from error
    try:
        run(options, log_json=log_json, parent_fd=parent_fd)
    except ServerFailed as error:
        raise _ended(error) from error


def _ended(error: ServerFailed) -> CommandFailed:
    match error.cause:
        case LogDamaged():
            return CommandFailed(str(error), Exit.DAMAGED)
        case DiskFull():
            return CommandFailed(str(error))
        case DiskError():
            what = "The node has stopped and promises nothing more: look at its disk, then start it again"
            return CommandFailed(f"{error}. {what}", Exit.DISK_FAILED)
        case _:
            return CommandFailed(str(error))


def _failpoints(rules: str) -> Failpoints:
    if not rules.strip():
        return INERT
    try:
        return Failpoints(rules, on_hit=_tell, random=Random(SystemClock().entropy()))
    except BadRule as error:
        raise click.UsageError(f"{FAILPOINTS}: {error}") from error


def _tell(name: str, action: Action | None) -> None:
    if action is not None:
        log_warning("failpoint strikes", at=name, action=str(action))


def _factory(spec: str | None) -> DiskFactory:
    if spec is None:
        return LocalDisk
    module, _, name = spec.partition(":")
    factory: DiskFactory = getattr(importlib.import_module(module), name)
    return factory
