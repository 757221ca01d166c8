"""The frame of the `raftlog` command: its subcommands, how errors are told, and commands that other packages bring."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click
import msgspec

from raftlog.cli.exits import Exit, exit_of
from raftlog.cli.invocation import Invocation, add_connection_flags
from raftlog.machine.errors import MachineError

PLUGINS = "raftlog.commands"
"""The entry-point group in which a package names a click command of its own, such as `kv`."""

_OWN = {
    "init": ("raftlog.cli.init", "Make waiting nodes into a cluster."),
    "serve": ("raftlog.cli.serve", "Run one node."),
    "cluster": ("raftlog.cli.cluster", "Run several nodes on this machine, supervised."),
    "status": ("raftlog.cli.status", "Show every node: role, term, indexes, lag."),
    "snapshot": ("raftlog.cli.snapshot", "Have nodes take a snapshot now."),
    "backup": ("raftlog.cli.backup", "Take a backup of a live cluster, or check one."),
    "restore": ("raftlog.cli.restore", "Make new nodes from a backup."),
    "log": ("raftlog.cli.log", "Read the files of a log: dump, verify."),
    "version": ("raftlog.cli.version", "Show the version."),
}


class Commands(click.Group):
    """Our own commands and those of installed packages; each is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, our own first."""
        return [*_OWN, *sorted(set(_plugins()) - set(_OWN))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is no such one."""
        if cmd_name in _OWN:
            command = getattr(importlib.import_module(_OWN[cmd_name][0]), "command")  # noqa: B009 - of any module
            assert isinstance(command, click.Command), f"{cmd_name} is no click command"
            return command
        plugin = _plugins().get(cmd_name)
        return None if plugin is None else _load(plugin)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing ours."""
        with formatter.section("Commands"):
            rows = [(name, text) for name, (_, text) in _OWN.items()]
            for name in sorted(set(_plugins()) - set(_OWN)):
                command = self.get_command(ctx, name)
                rows.append((name, command.get_short_help_str() if command is not None else ""))
            formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error (also: RAFTLOG_DEBUG=1).")
@click.pass_context
def app(ctx: click.Context, debug: bool) -> None:
    """A replicated, durable log on several machines, and the programs that read it."""
    invocation = ctx.ensure_object(Invocation)
    invocation.debug = invocation.debug or debug


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code (docs/cli.md lists them); an error is one sentence."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """The same, with the exit code as the answer."""
    invocation = Invocation()
    try:
        code: object = app.main(arguments, prog_name="raftlog", standalone_mode=False, obj=invocation)
        return code if isinstance(code, int) else Exit.OK
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain while flushing it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:  # noqa: BLE001 - every error ends as one sentence and an exit code
        _tell(error, invocation)
        return exit_of(error)


def _tell(error: Exception, invocation: Invocation) -> None:
    if invocation.debug:
        traceback.print_exception(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return
    text = error.format_message() if isinstance(error, click.ClickException) else _sentence(error)
    click.echo(f"raftlog: {text}", err=True)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)
    if invocation.json:
        click.echo(msgspec.json.encode({"error": text, "exit": int(exit_of(error))}))


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MachineError):
        return f"the machine refused: {text}"
    known = type(error).__module__.partition(".")[0] == "raftlog"
    return text if known and text else f"{type(error).__name__}: {text} (a defect; --debug shows where)"


def _plugins() -> dict[str, EntryPoint]:
    return {plugin.name: plugin for plugin in entry_points(group=PLUGINS)}


def _load(plugin: EntryPoint) -> click.Command:
    try:
        command: Any = plugin.load()
    except Exception as error:
        raise click.ClickException(
            f"the command {plugin.name!r} of {plugin.value} cannot be loaded: {error}"
        ) from error
    if not isinstance(command, click.Command):
        raise click.ClickException(f"{plugin.value} is no click command")
    add_connection_flags(command)
    return command
