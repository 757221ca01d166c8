"""The traps checker accepts a true table and names every kind of lie in one."""

import pathlib

import pytest

from tests.gate import traps

TESTS = """
def helper(): ...
def test_one(): ...
class TestGroup:
    async def test_two(self): ...
TestMachine = Machine.TestCase
"""


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project with one test file and one golden script."""
    (tmp_path / "tests/golden").mkdir(parents=True)
    (tmp_path / "tests/test_it.py").write_text(TESTS)
    (tmp_path / "tests/golden/figure_8.txt").write_text("propose n1 x\n")
    return tmp_path


def table(**row: object) -> dict[str, object]:
    """A complete table whose row E3 is `row`."""
    return {trap: {"title": "a bug", "later": "feature"} for trap in traps.IDS} | {"E3": row}


TRUE_ROWS = {
    "test": {"test": "tests/test_it.py::test_one"},
    "one case of a test": {"test": "tests/test_it.py::test_one[5]"},
    "test in a class": {"test": "tests/test_it.py::TestGroup::test_two"},
    "hypothesis machine": {"test": "tests/test_it.py::TestMachine"},
    "two tests": {"test": ["tests/test_it.py::test_one", "tests/test_it.py::TestMachine"]},
    "script and test": {"script": "tests/golden/figure_8.txt", "test": "tests/test_it.py::test_one"},
    "reason": {"reason": "it cannot be switched off", "note": "see D7"},
    "star": {"later": "feature", "star": True},
}

LIES = {
    "has a star that is not true": {"later": "feature", "star": False},
    "names the test test_three, which tests/test_it.py does not": {"test": "tests/test_it.py::test_three"},
    "names the test helper, which": {"test": "tests/test_it.py::helper"},
    "names the test test_two, which": {"test": "tests/test_it.py::test_two"},
    "names a test in tests/test_gone.py, which does not exist": {"test": "tests/test_gone.py::test_one"},
    "not of the form": {"test": "tests/test_it.py"},
    "names the script tests/golden/x.txt": {"script": "tests/golden/x.txt"},
    "must name exactly one of test / script, later, reason, but names later, test": {
        "later": "feature",
        "test": "tests/test_it.py::test_one",
    },
    "but names none": {"note": "nothing else"},
    "has an empty later": {"later": " "},
    "has an empty test": {"test": []},
    "has the unknown fields tests": {"tests": "tests/test_it.py::test_one"},
}


@pytest.mark.parametrize("row", TRUE_ROWS.values(), ids=TRUE_ROWS)
def test_a_true_row_has_no_fault(root: pathlib.Path, row: dict[str, object]) -> None:
    assert list(traps.faults(root, table(title="a bug", **row))) == []


@pytest.mark.parametrize("sentence, row", LIES.items(), ids=LIES)
def test_a_lie_is_named(root: pathlib.Path, sentence: str, row: dict[str, object]) -> None:
    said = list(traps.faults(root, table(title="a bug", **row)))
    assert any(line.startswith("E3 ") and sentence in line for line in said), said


def test_a_row_without_title_is_named(root: pathlib.Path) -> None:
    assert list(traps.faults(root, table(later="feature"))) == ["E3 has no title"]


def test_missing_and_unknown_rows_are_named(root: pathlib.Path) -> None:
    rows = table(title="a bug", later="feature") | {"E5": {"title": "never given", "later": "feature"}}
    del rows["R1"]
    said = list(traps.faults(root, rows))
    assert [line.partition(" ")[0] for line in said] == ["R1", "E5"]


def test_a_row_given_twice_is_refused(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / traps.TABLE).write_text('E3 = { title = "a", later = "b" }\n' * 2)
    assert traps.main(root) == 1
    assert "tests/traps.toml cannot be read" in capsys.readouterr().out


def test_ids_are_unique() -> None:
    assert len(traps.IDS) == len(set(traps.IDS))
