"""docs/machines.md runs: its blocks, in order, are one module, and the tests they define pass."""

import importlib
import pathlib
import re
import sys

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "machines.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = BLOCK.findall(DOCS.read_text(encoding="utf-8"))
    assert len(blocks) == 9
    # A file, because the test kit's fresh processes import the classes by their module's name.
    (tmp_path / "docs_machines.py").write_text("\n\n".join(blocks), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("docs_machines")
    try:
        tests = [value for name, value in vars(module).items() if name.startswith("test_")]
        assert len(tests) == 4
        for test in tests:
            test()
    finally:
        del sys.modules["docs_machines"]
