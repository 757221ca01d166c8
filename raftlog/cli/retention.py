"""The flags of `raftlog serve` that say when a snapshot is due and what of the log is kept behind it."""

import functools
import re
from collections.abc import Callable
from typing import Any

import click

from raftlog.node.retention import Retention

_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_SIZE = re.compile(r"\A(\d+) ?([A-Za-z]*)\Z")
_LARGEST = 1 << 62


class SizeType(click.ParamType[int]):
    """Bytes: a number, or one with KiB, MiB, GiB or TiB."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        if isinstance(value, int):
            return value
        found = _SIZE.match(value.strip())
        unit = None if found is None else _UNITS.get(found[2].lower())
        if found is None or unit is None:
            self.fail(f"{value!r} is no size: write bytes, or a number with KiB, MiB, GiB or TiB", param, ctx)
        size = int(found[1]) * unit
        if size > _LARGEST:
            self.fail(f"{value!r} is more than any disk has", param, ctx)
        return size


_DEFAULT = Retention()
_COUNT = click.IntRange(1, _LARGEST)
_FLAGS: tuple[tuple[str, str, Any, str, str], ...] = (
    (
        "entries",
        "--snapshot-entries",
        _COUNT,
        str(_DEFAULT.entries),
        "A snapshot is due after so many entries,",
    ),
    ("bytes", "--snapshot-bytes", SizeType(), "64 MiB", "or so many bytes of entries,"),
    ("age", "--snapshot-age", click.FloatRange(0, 1e9, min_open=True), "3600", "or so many seconds."),
    (
        "keep_entries",
        "--keep-entries",
        click.IntRange(0, _LARGEST),
        str(_DEFAULT.keep_entries),
        "Entries kept behind a snapshot at most,",
    ),
    ("keep_bytes", "--keep-bytes", SizeType(), "16 MiB", "and bytes of them,"),
    ("keep_age", "--keep-age", click.FloatRange(0, 1e9), "3600", "and none older than so many seconds."),
    (
        "most_bytes",
        "--most-bytes",
        SizeType(),
        "1 GiB",
        "Size of the log beyond which nothing is kept for followers.",
    ),
)


def retention_options(function: Callable[..., Any]) -> Any:
    """The flags; the command gets one `retention`."""

    @functools.wraps(function)
    def gathered(*args: Any, **given: Any) -> Any:
        values = {field: given.pop(_parameter(flag)) for field, flag, *_ in _FLAGS}
        for field in ("age", "keep_age"):
            values[field] = round(values[field] * 1_000_000)
        try:
            retention = Retention(**values)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return function(*args, retention=retention, **given)

    decorated: Any = gathered
    for _, flag, kind, default, text in reversed(_FLAGS):
        decorated = click.option(flag, type=kind, default=default, show_default=True, help=text)(decorated)
    return decorated


def _parameter(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
