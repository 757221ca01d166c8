"""A TOML file with the same names as the flags; the command line overrides it."""

import difflib
import tomllib
from pathlib import Path

import click


def config_option(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """The callback of `--config FILE.toml`: its values become the defaults of the command's other flags.

    Raises:
        click.UsageError: the file cannot be read, or says something that no flag does.
    """
    if path is not None:
        given = _read(path)
        flags = _flags(ctx.command)
        ctx.default_map = dict(_default(path, key, value, flags) for key, value in given.items())


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise click.UsageError(f"the config file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"the config file {path} is no TOML: {error}") from None


def _flags(command: click.Command) -> dict[str, click.Option]:
    options = (parameter for parameter in command.params if isinstance(parameter, click.Option))
    return {
        flag.removeprefix("--"): option
        for option in options
        for flag in option.opts
        if flag.startswith("--") and flag not in ("--config", "--help")
    }


def _default(path: Path, key: str, value: object, flags: dict[str, click.Option]) -> tuple[str, str | bool]:
    """The parameter that a key stands for, and its value as the command line would give it."""
    if key not in flags:
        near = difflib.get_close_matches(key, flags, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it may say: {', '.join(sorted(flags))}"
        raise click.UsageError(f"the config file {path} says {key!r}, which is no setting; {hint}")
    name = flags[key].name
    assert name is not None, f"--{key} is an option, and options have names"
    if flags[key].is_flag:
        if not isinstance(value, bool):
            raise click.UsageError(f"the config file {path}: {key} is true or false, not {value!r}")
        return name, value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise click.UsageError(f"the config file {path}: {key} takes one text or number, not {value!r}")
    return name, str(value)
