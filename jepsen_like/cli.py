"""The `python -m jepsen_like` command: one subcommand for each thing the laboratory does.

Each subcommand lives beside the code it runs and is imported when it is used: one that is broken takes no other along.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from jepsen_like.sim.judge import Exit

_COMMANDS = {
    "sim": ("jepsen_like.sim.commands.sim:sim", "Run whole clusters under many seeds."),
    "replay": (
        "jepsen_like.sim.commands.replay:replay",
        "Run one seed or plan again: compare, trace, draw it.",
    ),
    "shrink": ("jepsen_like.sim.commands.shrink:shrink", "Cut a failing run down to what matters."),
    "verify": (
        "jepsen_like.sim.commands.verify:verify",
        "Run lines of a ledger again and compare the hashes.",
    ),
    "soak": ("jepsen_like.sim.commands.soak:soak", "Run both tiers until told to stop."),
    "explore": ("jepsen_like.sim.explore.command:explore", "Try every order of events in a small cluster."),
    "real": ("jepsen_like.cluster.command:real", "Run real processes and do faults to them."),
    "report": ("jepsen_like.report.pages.command:report", "Write the pages of runs on real processes again."),
    "mutants": ("jepsen_like.mutants.command:mutants", "Plant known bugs and see them found."),
    "against": (
        "jepsen_like.cluster.against:against",
        "Ask a running cluster and check what it says.",
    ),
    "check": ("jepsen_like.check.command:check", "Check a recorded history."),
}


class Commands(click.Group):
    """The subcommands, imported by need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, in the order of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is no such one."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        try:
            command = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise click.ClickException(f"the command {cmd_name} cannot be loaded: {error}") from error
        assert isinstance(command, click.Command), f"{module}:{name} is no click command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def app() -> None:
    """Break clusters on purpose, under one seed, and see whether they keep their promises.

    Exit codes: 0 clean, 1 something failed, 2 the campaign was invalid (it could not have found anything), 3 bad usage,
    4 a defect of the laboratory itself, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """The same, with the exit code as the answer."""
    try:
        code: object = app.main(arguments, prog_name="python -m jepsen_like", standalone_mode=False)
        return code if isinstance(code, int) else Exit.CLEAN
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
    except click.ClickException as error:
        click.echo(f"jepsen_like: {error.format_message()}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain while flushing it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.CLEAN
    except Exception as error:  # noqa: BLE001 - a defect must not pass for a run that failed
        traceback.print_exception(error)
        return Exit.DEFECT
    return Exit.USAGE
