"""The bugs to plant in the checkers (mutants.toml), and the tests that each must fail."""

import importlib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jepsen_like.mutants.mutant import Mutant

TABLE = Path(__file__).with_name("mutants.toml")


def mutants() -> list[Mutant]:
    """All bugs of the table, in its order."""
    found = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [
        msgspec.convert({"name": name, "class": "harness", **_trimmed(row)}, Mutant)
        for name, row in found.items()
    ]


def _trimmed(row: dict[str, Any]) -> dict[str, Any]:
    # Text in three quotes begins with a line of its own.
    return {field: value.strip("\n") if isinstance(value, str) else value for field, value in row.items()}


def failing(tests: tuple[str, ...]) -> list[str]:
    """Those of the tests that fail with the code as it is at the moment."""
    return [test for test in tests if _fails(test)]


def _fails(test: str) -> bool:
    call = case(test)
    try:
        call()
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a checker that falls over is noticed, too
        return True
    return False


def case(test: str) -> Callable[[], object]:
    """`package.module:function` or `...:function[case]`, ready to be called."""
    module, _, rest = test.partition(":")
    name, _, wanted = rest.removesuffix("]").partition("[")
    function = getattr(importlib.import_module(module), name)
    if not wanted:
        return function  # type: ignore[no-any-return]  # a test
    for label, arguments in cases(function):
        if label == wanted:
            return lambda: function(**arguments)
    raise LookupError(f"{test}: there is no such case, only {[label for label, _ in cases(function)]}")


def cases(function: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The cases of a parametrized test: the first parameter if it is text that no other case has, or their number."""
    (mark,) = (each for each in function.pytestmark if each.name == "parametrize")
    names = [name.strip() for name in mark.args[0].split(",")]
    rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
    firsts = [row[0] for row in rows]
    for number, row in enumerate(rows):
        plain = isinstance(row[0], str) and firsts.count(row[0]) == 1
        yield row[0] if plain else f"#{number}", dict(zip(names, row, strict=True))
