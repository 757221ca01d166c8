"""Takes one guard out of the code for a while: a named function, with one piece of its text replaced."""

import ast
import importlib
import inspect
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

TABLE = Path(__file__).with_name("mutants.toml")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug that others shipped, and how to plant it here."""

    name: str
    row: str
    """Id of the trap."""
    what: str
    """The bug, in a sentence."""
    where: str
    """The function: `package.module:Class.function`."""
    old: str
    new: str
    """Text that takes the place of `old`, which occurs exactly once in the function."""
    scripts: tuple[str, ...] = ()
    """Golden scripts that each kill it, by an `expect` or an invariant."""
    tests: tuple[str, ...] = ()
    """Tests that each kill it: `package.module:function`."""


def mutants() -> list[Mutant]:
    """All of them, in the order of the table."""
    table: dict[str, dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [
        Mutant(name, **{field: _value(value) for field, value in row.items()}) for name, row in table.items()
    ]


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value.strip("\n")


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Run with the bug in place."""
    function = _function(mutant.where)
    original = function.__code__
    function.__code__ = _mutated(function, mutant)
    try:
        yield
    finally:
        function.__code__ = original


def _function(where: str) -> FunctionType:
    module, _, path = where.partition(":")
    found: object = importlib.import_module(module)
    for name in path.split("."):
        found = inspect.getattr_static(found, name)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod):
        found = found.__func__
    assert isinstance(found, FunctionType), f"{where} is not a function, but {found!r}"
    return found


def _mutated(function: FunctionType, mutant: Mutant) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    old, new = textwrap.dedent(mutant.old), textwrap.dedent(mutant.new)
    times = source.count(old)
    assert times == 1, f"{mutant.name}: the text to replace occurs {times} times in {mutant.where}:\n{source}"
    tree = ast.parse(source.replace(old, new))
    (definition,) = tree.body
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    # What the function takes from around it (`super()` takes `__class__`) must have the same names here.
    outer = ast.parse(f"def outer({', '.join(function.__code__.co_freevars)}): pass")
    assert isinstance(outer.body[0], ast.FunctionDef)
    outer.body[0].body = [definition]
    code = compile(ast.fix_missing_locations(outer), f"<mutant {mutant.name}>", "exec")
    return next(_codes(next(_codes(code))))


def _codes(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
