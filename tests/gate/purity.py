"""Proves from its syntax that raftlog.core is a function of its inputs: only pure imports, no clock, no await."""

import ast
import pathlib
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORE = ROOT / "raftlog" / "core"

# A list of what is allowed, because a list of what is forbidden would never be complete.
PURE = frozenset(
    {
        "__future__", "abc", "bisect", "collections", "collections.abc", "dataclasses", "enum", "functools",
        "heapq", "itertools", "math", "operator", "struct", "types", "typing",
        "msgspec", "sortedcontainers", "xxhash",
    }
)  # fmt: skip
FORBIDDEN_CALLS = {
    "breakpoint": "stops for a person",
    "compile": "runs text",
    "eval": "runs text",
    "exec": "runs text",
    "hash": "differs between processes (PYTHONHASHSEED)",
    "id": "is an address and differs between runs",
    "input": "does I/O",
    "open": "does I/O",
    "print": "does I/O",
    "__import__": "hides an import",
}


def breaches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and sentence for everything in a module of the core that is not pure."""
    for node in ast.walk(tree):
        match node:
            case ast.alias(name="random" | "Random", asname=str(alias), lineno=line):
                yield (
                    line,
                    f"calls it {alias}: random and Random keep their names, so that this check sees them",
                )
            case ast.Import(names=names, lineno=line):
                yield from ((line, _import(name.name)) for name in names if not _allowed(name.name))
            case ast.ImportFrom(module="random", names=names, lineno=line):
                yield from (
                    (line, f"takes random.{name.name}: only the type random.Random is allowed")
                    for name in names
                    if name.name != "Random"
                )
            case ast.ImportFrom(level=level, lineno=line) if level:
                yield line, "imports the package by dots: write its full name"
            case ast.ImportFrom(module=str(module), lineno=line) if not _allowed(module):
                yield line, _import(module)
            case ast.AsyncFunctionDef(lineno=line) | ast.Await(lineno=line) | ast.AsyncFor(lineno=line):
                yield line, "awaits: the core decides, the node waits"
            case ast.AsyncWith(lineno=line):
                yield line, "awaits: the core decides, the node waits"
            case ast.Call(func=ast.Name(id=name), lineno=line) if name in FORBIDDEN_CALLS:
                yield line, f"calls {name}(), which {FORBIDDEN_CALLS[name]}"
            case ast.keyword(arg="key", value=ast.Name(id="id" | "hash" as name), lineno=line):
                yield line, f"names {name}() as a sort key, which {FORBIDDEN_CALLS[name]}"
            case ast.Call(func=ast.Name(id="Random") | ast.Attribute(attr="Random"), lineno=line):
                yield line, "makes its own Random: generators are handed in"
            case ast.Attribute(value=ast.Name(id="random"), attr=attr, lineno=line) if attr != "Random":
                yield line, f"uses random.{attr}: only the type random.Random is allowed"


def _allowed(module: str) -> bool:
    return module in PURE or module in ("random", "raftlog.core") or module.startswith("raftlog.core.")


def _import(module: str) -> str:
    return (
        f"imports {module}, which is not on the list of pure modules in tests/gate/purity.py: "
        "hand the value in as an argument, or let the node do it"
    )


def main(core: pathlib.Path = CORE) -> int:
    """Exit code 0 when every module below `core` is pure, 1 with one sentence per breach otherwise."""
    said = [
        f"{path.relative_to(core.parent.parent)}:{line}: {what}"
        for path in sorted(core.rglob("*.py"))
        for line, what in sorted(breaches(ast.parse(path.read_text(encoding="utf-8"), str(path))))
    ]
    print("\n".join(said), end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
