"""docs/simulate.md is true: each planted bug is found and told as the page says, and the mended machines pass."""

import ast
import re
from pathlib import Path

import pytest

from tests.user.inner import pytest_in

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "simulate.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The files of the page by name, what it says of those with a bug, and the same files mended."""
    files: dict[str, str] = {}
    said: dict[str, str] = {}
    mended: dict[str, str] = {}
    last = ""
    for kind, text in BLOCK.findall(PAGE):
        head = text.partition("\n")[0]
        if kind == "text":
            said[last] = text
        elif head.startswith("# in "):
            last = head.removeprefix("# in ")
            mended[last] = replaced(files[last], text)
        else:
            last = head.removeprefix("# ")
            files[last] = text
    return files, said, mended


def replaced(old: str, new: str) -> str:
    """The old file with the definitions of the new block in the place of those with the same names."""
    lines, fresh = old.splitlines(), new.splitlines()
    for node in reversed(ast.parse(old).body):
        for other in ast.parse(new).body:
            if isinstance(node, ast.ClassDef | ast.AsyncFunctionDef) and isinstance(other, type(node)):
                if node.name == other.name:
                    lines[node.lineno - 1 : node.end_lineno] = fresh[other.lineno - 1 : other.end_lineno]
    return "\n".join(lines) + "\n"


def run(folder: Path, files: dict[str, str]) -> str:
    """What pytest prints of these files, in a folder of their own."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return pytest_in(folder, "--simulate-seeds=2", "--tb=short", *sorted(files))


@pytest.mark.slow
def test_every_planted_bug_is_found_as_the_page_tells(tmp_path: Path) -> None:
    files, said, _ = blocks()
    assert sorted(said) == [f"test_{each}.py" for each in BUGS]
    output = run(tmp_path, {name: files[name] for name in said})
    assert f"{len(said)} failed in" in output, output
    told = " ".join(re.sub(r"^E +", "", line) for line in output.splitlines())
    for name, text in said.items():
        at = 0
        for piece in " ".join(text.split()).split("..."):
            found = told.find(piece.strip(), at)
            assert found >= 0, f"{name}: the page promises {piece!r}; pytest says:\n{output}"
            at = found


@pytest.mark.slow
def test_the_mended_machines_and_the_other_examples_pass(tmp_path: Path) -> None:
    files, said, mended = blocks()
    assert sorted(mended) == sorted(said), "each bug of the page is mended on it"
    whole = {name: text for name, text in files.items() if name not in said} | mended
    output = run(tmp_path, whole)
    assert f"{len(whole) + 2} passed in" in output, output


BUGS = ("bank", "cell", "inbox", "primes", "tags", "visits", "wallet")
