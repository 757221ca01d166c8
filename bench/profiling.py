"""Profiles of a benchmark's processes, and the functions that cost most in each."""

import pathlib
import pstats
from collections.abc import Iterator
from typing import cast

import msgspec
from rich.table import Column, Table


class Spent(msgspec.Struct, frozen=True):
    """One function in one process's profile. Seconds of the main thread; the profiler itself slows short calls."""

    function: str
    calls: int
    own_seconds: float
    """Without what it called."""
    all_seconds: float


Entry = tuple[int, int, float, float, object]
"""What pstats keeps per function: calls, calls without recursion, own and cumulated seconds, callers."""


def dearest(profile: pathlib.Path, count: int) -> list[Spent]:
    """The functions with the most time of their own."""
    # Absent from the type stubs, though documented by use since Python 1.x.
    entries = cast(dict[tuple[str, int, str], Entry], pstats.Stats(str(profile)).stats)  # type: ignore[attr-defined]
    found = [
        Spent(_place(*where), calls, own, cumulated)
        for where, (_, calls, own, cumulated, _) in entries.items()
    ]
    return sorted(found, key=lambda spent: -spent.own_seconds)[:count]


def profile_tables(directory: pathlib.Path, count: int = 25) -> Iterator[Table]:
    """One table per `*.prof` file in `directory`."""
    for profile in sorted(directory.glob("*.prof")):
        table = Table(
            "function", *(Column(name, justify="right") for name in ("calls", "own s", "with callees s")),
            title=profile.stem, title_justify="left",
        )  # fmt: skip
        for spent in dearest(profile, count):
            table.add_row(
                spent.function, f"{spent.calls:,}", f"{spent.own_seconds:.3f}", f"{spent.all_seconds:.3f}"
            )
        yield table


def _place(file: str, line: int, function: str) -> str:
    if file == "~":
        return function
    return f"{'/'.join(pathlib.PurePath(file).parts[-2:])}:{line} {function}"
