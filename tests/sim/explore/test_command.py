"""The `explore` command: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest

from jepsen_like.cli import run
from jepsen_like.mutants.plant import planted
from jepsen_like.mutants.table import find, read
from jepsen_like.sim.judge import Exit


def test_a_clean_scope_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explore", "--scope", "four-nodes", "--max-states", "2000"]) == Exit.CLEAN
    shown = capsys.readouterr()
    assert "four-nodes" in shown.out
    assert "exhaustive to depth" in shown.out
    assert "four-nodes: exhaustive to depth" in shown.err


def test_scripts_get_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explore", "--scope", "joint-3", "--scope", "four-nodes", "--max-states", "2000", "--json"]
    assert run(arguments) == Exit.CLEAN
    first, second = json.loads(capsys.readouterr().out)
    assert (first["scope"], second["scope"]) == ("four-nodes", "joint-3")
    assert first["states"] >= 2000
    assert first["finding"] is None
    assert not first["exhausted"]


def test_a_finding_ends_with_1_and_can_be_replayed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with planted(read(find(None)).named("half_is_a_majority")):
        assert run(["explore", "--scope", "four-nodes", "--json"]) == Exit.FAILED
        (document,) = json.loads(capsys.readouterr().out)
        found = document["finding"]
        assert found["oracle"] == "I1"
        assert found["story"].startswith("# I1: ")
        actions = tmp_path / "actions.txt"
        actions.write_text("\n".join(found["actions"]), encoding="utf-8")
        assert run(["explore", "--scope", "four-nodes", "--replay", str(actions)]) == Exit.FAILED
        assert "I1" in capsys.readouterr().out
        assert run(["explore", "--scope", "four-nodes"]) == Exit.FAILED
        assert "As a golden script:" in capsys.readouterr().out
    capsys.readouterr()
    assert run(["explore", "--scope", "four-nodes", "--replay", str(actions)]) == Exit.USAGE
    assert "cannot happen here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--scope", "nowhere"], "there is no scope nowhere; there are two-nodes"),
        (["--max-states", "0"], "max-states"),
        (["--replay", __file__], "--replay needs the one --scope"),
    ],
)
def test_bad_usage_ends_with_3(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explore", *arguments]) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_it_can_be_asked_for_its_scopes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explore", "--list"]) == Exit.CLEAN
    assert "figure-8" in capsys.readouterr().out
