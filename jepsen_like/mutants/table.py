"""The table of mutants, which is part of a checkout and of no release, and the list of traps it answers."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from jepsen_like.mutants.mutant import Mutant

IN_A_CHECKOUT = Path("tests/guards/mutants.toml")
"""Where it lies, from the root of a checkout."""


class TableMissing(Exception):
    """There is no table to plant from."""


class Row(msgspec.Struct, frozen=True):
    """One known bug of the list of traps."""

    title: str
    star: bool = False
    """It must exist as a mutant once its feature does."""
    later: str = ""
    """The feature it waits for."""
    reason: str = ""
    """Why it cannot happen here."""


class Table(msgspec.Struct, frozen=True):
    """All mutants, in the order of the file, and the rows of the list of traps by id."""

    mutants: tuple[Mutant, ...]
    rows: Mapping[str, Row]
    stories: str = ""
    """What plays a mutant's scripts and tests: `package.module:function`, given the mutant, names those that fail."""

    def named(self, name: str) -> Mutant:
        """The mutant of that name.

        Raises:
            KeyError: there is none.
        """
        return {mutant.name: mutant for mutant in self.mutants}[name]

    def without_mutant(self) -> dict[str, Row]:
        """Starred rows that nothing plants, by id."""
        planted = {mutant.row for mutant in self.mutants}
        return {id: row for id, row in self.rows.items() if row.star and id not in planted}

    def owed(self) -> dict[str, Row]:
        """Starred rows that nothing plants although their feature exists and nothing makes them impossible."""
        return {id: row for id, row in self.without_mutant().items() if not (row.later or row.reason)}


def find(given: Path | None) -> Path:
    """The table's file: the given one, or that of the checkout this code runs from or stands in.

    Raises:
        TableMissing: there is none; says what to do.
    """
    if given is not None:
        if given.is_file():
            return given
        raise TableMissing(f"there is no table of mutants at {given}")
    checkout = Path(__file__).resolve().parents[2]
    for root in (Path.cwd(), checkout):
        if (root / IN_A_CHECKOUT).is_file():
            return root / IN_A_CHECKOUT
    raise TableMissing(
        f"mutants are in no release: run this in a checkout, which has {IN_A_CHECKOUT}, or name a table with --table"
    )


def read(path: Path) -> Table:
    """Read a table; its `traps` names the list of traps, beside it.

    Raises:
        ValueError: it is not a table of mutants; says where it stops being one.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        traps, stories = content.pop("traps", None), content.pop("stories", "")
        impossible = content.pop("impossible", {})
        mutants = tuple(_mutant(name, row) for name, row in content.items())
        rows = {} if traps is None else _rows(path.parent / traps)
        for id, argument in impossible.items():
            rows[id] = msgspec.structs.replace(rows[id], reason=argument.strip())
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a table of mutants: {error}") from error
    return Table(mutants, rows, stories)


def _mutant(name: str, row: Mapping[str, Any]) -> Mutant:
    try:
        mutant = msgspec.convert({"name": name, **_trimmed(row)}, Mutant)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"[{name}]: {error}") from error
    if not (mutant.row or mutant.near):
        raise msgspec.ValidationError(f"[{name}] names neither a row nor what it is near")
    if mutant.kind != "harness" and mutant.tiers and not mutant.oracles:
        raise msgspec.ValidationError(f"[{name}] names no oracle that must see it")
    if not (mutant.tiers or mutant.scripts or mutant.tests):
        raise msgspec.ValidationError(f"[{name}] names nothing that could kill it: tiers, scripts or tests")
    return mutant


def _trimmed(row: Mapping[str, Any]) -> dict[str, Any]:
    # Text in three quotes begins and ends with a line of its own.
    return {field: value.strip("\n") if isinstance(value, str) else value for field, value in row.items()}


def _rows(path: Path) -> dict[str, Row]:
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), dict[str, Row])
