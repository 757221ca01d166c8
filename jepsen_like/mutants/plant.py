"""Puts a bug into the code for a while: named functions, each with pieces of its text replaced."""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FunctionType

from jepsen_like.mutants.mutant import Edit, Mutant


class Unplantable(Exception):
    """The code no longer says what a mutant wants to change."""


@contextmanager
def planted(*mutants: Mutant) -> Iterator[None]:
    """Run with these bugs in place.

    Raises:
        Unplantable: an edit does not fit the code; names the mutant.
    """
    originals: list[tuple[FunctionType, CodeType]] = []
    try:
        for mutant in mutants:
            for function, code in _mutated(mutant):
                originals.append((function, function.__code__))
                function.__code__ = code
        yield
    finally:
        for function, code in reversed(originals):
            function.__code__ = code


def _mutated(mutant: Mutant) -> list[tuple[FunctionType, CodeType]]:
    edits: dict[str, list[Edit]] = {}
    for edit in mutant.edits:
        edits.setdefault(edit.where, []).append(edit)
    return [
        (function := _function(where), _rewritten(function, mutant.name, its)) for where, its in edits.items()
    ]


def _function(where: str) -> FunctionType:
    module, _, path = where.partition(":")
    try:
        found: object = importlib.import_module(module)
        for name in path.split("."):
            found = inspect.getattr_static(found, name)
    except (ImportError, AttributeError) as error:
        raise Unplantable(f"there is no {where}: {error}") from error
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    found = inspect.unwrap(found) if callable(found) else found
    if not isinstance(found, FunctionType):
        raise Unplantable(f"{where} is not a function, but {found!r}")
    return found


def _rewritten(function: FunctionType, name: str, edits: Sequence[Edit]) -> CodeType:
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except OSError:
        raise Unplantable(f"{name}: another bug is planted in {edits[0].where} already") from None
    for edit in edits:
        if (times := source.count(edit.old)) != 1:
            raise Unplantable(
                f"{name}: what it replaces occurs {times} times in {edit.where}:\n{edit.old}\n---\n{source}"
            )
        source = source.replace(edit.old, edit.new)
    try:
        return _compiled(source, function, name)
    except SyntaxError as error:
        raise Unplantable(f"{name}: {error}\n{source}") from error


def _compiled(source: str, function: FunctionType, name: str) -> CodeType:
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef), f"{name}: not one function"
    definition.decorator_list = []
    # What the function takes from around it (`super()` takes `__class__`) must have the same names here.
    outer = ast.parse(f"def outer({', '.join(function.__code__.co_freevars)}): pass")
    assert isinstance(outer.body[0], ast.FunctionDef), "what was just written is a function"
    outer.body[0].body = [definition]
    code = compile(ast.fix_missing_locations(outer), f"<mutant {name}>", "exec")
    return next(_codes(next(_codes(code))))


def _codes(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
