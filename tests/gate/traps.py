"""Verifies that tests/traps.toml has one row per known bug and that every test and script it names exists."""

import ast
import functools
import pathlib
import sys
import tomllib
from collections.abc import Iterator, Mapping

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = "tests/traps.toml"

# The ids have holes: they were given once and a row that went is never given again.
_NUMBERS = {
    "E": "3 4 6 7 8 9 10 11 12 14 15 16 19 20 21 22 23 24 25",  # elections, terms, votes
    "R": "1 2 3 4 5 6 7 10 13 14 15 16 18 21 22 23 24 25 26 27 28 29 30 31",  # replication and commit
    "Q": "1 3 5 6 7 8 9 10 11 12 13 14",  # reads and leases
    "C": "1 2 4 5 6 7 8 9 10 11 13",  # clients, sessions, watches, locks
    "A": "1 6 8",  # apply and determinism
    "S": "1 2 3 6 7 8 10 11 12 14 15 16 18 19 20 21",  # snapshots and compaction
    "M": "1 2 3 5 6 7 9 10 12 13 14 15 16 17 18",  # membership
    "T": "2 3 4 5 6",  # leadership transfer
    "W": "2 4 5 6 7 8 9 10 11 12 13 14 16 17 18 19 20",  # storage
    "P": "1 2 3 6 7 8 9 10",  # Python, asyncio, transport
    "I": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",  # invariants
}
IDS = tuple(f"{letter}{number}" for letter, numbers in _NUMBERS.items() for number in numbers.split())
GUARDS = frozenset({"test", "script"})
ANSWERS = GUARDS | {"later", "reason"}
FIELDS = ANSWERS | {"title", "note", "star"}


def faults(root: pathlib.Path, table: Mapping[str, object]) -> Iterator[str]:
    """One sentence per fault of the `table`; the paths in it are below `root`."""
    for trap in (trap for trap in IDS if trap not in table):
        yield f"{trap} has no row: say which test guards it, which feature it belongs to, or why it cannot happen"
    for trap, row in table.items():
        if trap not in IDS:
            yield f"{trap} is not a known trap: correct the id, or add it to the list in tests/gate/traps.py"
        elif not isinstance(row, dict):
            yield f"{trap} is not a table of fields, but {row!r}"
        else:
            yield from (f"{trap} {fault}" for fault in _row_faults(root, row))


def _row_faults(root: pathlib.Path, row: Mapping[str, object]) -> Iterator[str]:
    answers = sorted(ANSWERS & row.keys())
    if unknown := sorted(row.keys() - FIELDS):
        yield f"has the unknown fields {', '.join(unknown)}; the known ones are {', '.join(sorted(FIELDS))}"
    if "title" not in row:
        yield "has no title"
    if not answers or (len(answers) > 1 and not GUARDS.issuperset(answers)):
        yield f"must name exactly one of test / script, later, reason, but names {', '.join(answers) or 'none'}"
    if row.get("star", True) is not True:
        yield "has a star that is not true: leave it out instead"
    for field, value in row.items():
        if field == "star":
            continue
        values = value if isinstance(value, list) and field in GUARDS else [value]
        for text in values or [""]:
            if not isinstance(text, str) or not text.strip():
                yield f"has an empty {field}"
            elif field == "test":
                yield from _missing_test(root, text)
            elif field == "script" and not (root / text).is_file():
                yield f"names the script {text}, which does not exist"


def _missing_test(root: pathlib.Path, node_id: str) -> Iterator[str]:
    path, *names = node_id.partition("[")[0].split("::")
    if not names or not path.startswith("tests/"):
        yield f"names the test {node_id!r}, which is not of the form tests/path.py::name"
    elif not (root / path).is_file():
        yield f"names a test in {path}, which does not exist"
    elif tuple(names) not in _tests(root / path):
        yield f"names the test {'::'.join(names)}, which {path} does not define"


@functools.cache
def _tests(path: pathlib.Path) -> frozenset[tuple[str, ...]]:
    return frozenset(_tests_below(ast.parse(path.read_text(encoding="utf-8"), str(path)), ()))


def _tests_below(node: ast.Module | ast.ClassDef, prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for child in node.body:
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("test"):
                yield (*prefix, name)
            case ast.ClassDef(name=name):
                yield from _tests_below(child, (*prefix, name))
            # A rule-based hypothesis machine becomes a test by `TestName = Machine.TestCase`.
            case ast.Assign(targets=[ast.Name(id=name)]) if name.startswith("Test"):
                yield (*prefix, name)


def summary(table: Mapping[str, Mapping[str, object]]) -> str:
    """How many rows are guarded, owed, later and impossible, in one line."""
    guarded = sum(bool(GUARDS & row.keys()) for row in table.values())
    owed = sum(str(row.get("later", "")).startswith("now") for row in table.values())
    later = sum("later" in row for row in table.values()) - owed
    reasons = sum("reason" in row for row in table.values())
    return f"{len(table)} traps: {guarded} guarded, {owed} owed by this version, {later} later, {reasons} impossible"


def main(root: pathlib.Path = ROOT) -> int:
    """Exit code 0 when the table is complete and true, 1 with one sentence per fault otherwise."""
    try:
        table = tomllib.loads((root / TABLE).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        print(f"{TABLE} cannot be read: {error}")
        return 1
    said = [f"{TABLE}: {fault}" for fault in faults(root, table)]
    print("\n".join(said) if said else summary(table))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
