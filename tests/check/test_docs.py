"""What docs/checkers.md shows works as it stands there."""

import re
from pathlib import Path

import pytest

from jepsen_like.check.formats import FORMATS
from jepsen_like.check.judgement import JUDGES
from jepsen_like.cli import run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "checkers.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_file_gives_the_printed_verdict(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (content,), (printed,) = _blocks("json"), _blocks("text")
    Path("history.jsonl").write_text(content)
    (line,) = _blocks("sh")
    assert run(line.split()[3:]) == 1
    shown = re.sub(r"\d\.\d\d s", "0.00 s", capsys.readouterr().out)
    assert shown == printed


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_run(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(_blocks("python")[number], f"example {number}", "exec"), {"__name__": "example"})  # noqa: S102 - our own page
    assert number == 1 or "cas" in capsys.readouterr().out


def test_every_format_and_model_has_its_row() -> None:
    rows = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE))
    assert rows - {"--format", "--model"} == {*FORMATS, *JUDGES}
