"""The list of failpoints and the places in the code are the same."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

from raftlog.failpoints import ALL, FailpointError
from raftlog.failpoints.points import DEFECT, DISK, FULL

ROOT = Path(__file__).resolve().parents[2] / "raftlog"
FILLED_IN = {
    "kind": ("append", "truncate", "seal", "roll", "mark"),
    "purpose": ("bootstrap", "ahead", "quarantine"),
}
"""What the names that are put together at the place may hold."""


def places() -> Iterator[tuple[str, str, str, str]]:
    """Name, method, error and file of every call at a place."""
    for path in sorted(ROOT.rglob("*.py")):
        if path.parent.name == "failpoints":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="hit" | "hit_now" | "fails" as method), args=[first, *rest]
                ) if method != "fails" or _speaks_of_one(first):
                    error = rest[0].id if rest and isinstance(rest[0], ast.Name) else ""
                    for name in _names(first):
                        yield name, method, error, path.name


def _speaks_of_one(first: ast.expr) -> bool:
    return isinstance(first, ast.Constant) and isinstance(first.value, str) and "." in first.value


def _names(first: ast.expr) -> Iterator[str]:
    match first:
        case ast.Constant(value=str(name)):
            yield name
        case ast.JoinedStr(values=values):
            parts = [_parts(value) for value in values]
            yield from ("".join(chosen) for chosen in itertools.product(*parts))
        case ast.Name(id="between"):
            yield from (f"wal.{kind}.before_sync" for kind in FILLED_IN["kind"])
        case _:
            raise AssertionError(f"a failpoint whose name nobody can look up: {ast.unparse(first)}")


def _parts(value: ast.expr) -> tuple[str, ...]:
    match value:
        case ast.Constant(value=str(text)):
            return (text,)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return FILLED_IN[name]
        case _:
            raise AssertionError(ast.unparse(value))


def test_every_place_is_in_the_list_and_every_name_of_the_list_has_one_place() -> None:
    assert sorted(name for name, *_ in places()) == sorted(ALL)


def test_there_are_at_least_forty() -> None:
    assert len(ALL) >= 40


def test_the_list_says_how_each_place_waits_and_fails() -> None:
    words = {"DiskError": DISK, "DiskFull": FULL, FailpointError.__name__: DEFECT}
    for name, method, error, file in places():
        point = ALL[name]
        assert point.waits == (method == "hit"), f"{name} in {file} uses {method}"
        match method:
            case "hit":
                assert point.error == words[error], f"{name} in {file} raises {error}"
            case "hit_now":
                assert point.error == DEFECT, f"{name} in {file} stops the node"
            case _:
                assert point.error not in words.values(), f"{name} in {file} knows what to do"


def test_the_core_has_none() -> None:
    for path in sorted((ROOT / "core").rglob("*.py")):
        assert "failpoint" not in path.read_text().lower(), path
