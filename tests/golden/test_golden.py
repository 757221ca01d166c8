"""Golden scripts: protocol scenarios that read as stories, and the record of what happened in each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cranked.script import play, title

FOLDER = Path(__file__).parent / "scripts"
SCRIPTS = sorted(FOLDER.glob("*.txt"))
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path, rewrite: bool) -> None:
    """A story goes as recorded; its `expect` lines hold, rewritten or not."""
    played, recorded = play(path), path.read_text(encoding="utf-8")
    if rewrite:
        path.write_text(played, encoding="utf-8")
    else:
        assert played == recorded, f"{path.name} went another way: run pytest --rewrite and read the diff"


def test_stories_open_with_a_sentence_and_expect_something() -> None:
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert title(text).endswith("."), f"{path.name} does not open with a sentence"
        assert "\nexpect " in text, f"{path.name} expects nothing: it cannot fail"


def test_there_are_enough_stories() -> None:
    assert len(SCRIPTS) >= 40


def test_same_bytes_under_any_hash_seed() -> None:
    script = (
        "import sys, pathlib; sys.path.insert(0, '.');"
        "from tests.cranked.script import play;"
        "sys.stdout.write(''.join(play(p) for p in sorted(pathlib.Path('tests/golden/scripts').glob('*.txt'))))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4711")
    ]
    assert said[0] == said[1]
