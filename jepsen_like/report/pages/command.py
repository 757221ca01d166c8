"""`python -m jepsen_like report DIR`: the pages of runs that were done before, made again."""

from pathlib import Path

import click

from jepsen_like.check.unreadable import Unreadable
from jepsen_like.report.pages.written import REPORT, NoRun, folders, write_index, write_run


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report(directory: Path) -> None:
    """Write the pages of all runs in DIR, and the one over them; or that of the one run which DIR holds.

    DIR is what `real` was given as `--dir`. Only the files of the runs are read; nothing is run. Exit code 3: a folder
    holds no run, or one that cannot be read.
    """
    try:
        if (directory / REPORT).exists():
            click.echo(write_run(directory))
            return
        if not folders(directory):
            raise NoRun(f"no folder in {directory} holds a {REPORT}: no run has ended there")
        for folder in folders(directory):
            write_run(folder)
        click.echo(write_index(directory))
    except (NoRun, Unreadable) as error:
        raise click.ClickException(str(error)) from error
