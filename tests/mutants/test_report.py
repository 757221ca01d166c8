"""The report: figures, shortcomings and exit codes, for people and for scripts."""

import json
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.cli import run
from jepsen_like.mutants import report as reports
from jepsen_like.mutants.campaign import Report
from jepsen_like.mutants.hunt import Hunted
from jepsen_like.mutants.table import Row
from jepsen_like.sim import build
from jepsen_like.sim.judge import Exit
from tests.mutants.rows import FAKE, mutant


def found(name: str, seeds: int, *, fate: str = "killed", kind: str = "safety", tier: str = "core") -> Hunted:
    """What became of a mutant."""
    bug = mutant(name, **{"class": kind})
    return Hunted(mutant=bug, fate=fate, seeds=seeds, tier=tier, oracle="I5")  # type: ignore[arg-type]


def report(*hunted: Hunted, rows: dict[str, Row] | None = None) -> Report:
    """A campaign's."""
    return Report(hunted, (), 10, rows or {})


def test_all_killed_early_is_good_enough() -> None:
    whole = report(found("a", 1), found("b", 50), found("c", 150), found("d", 9, kind="liveness"))
    assert whole.median == 50
    assert whole.shortcomings == []
    assert "Every safety and durability mutant is killed" in reports.text(whole)


@pytest.mark.parametrize("kind", ["safety", "durability", "harness"])
def test_one_survivor_is_one_too_many(kind: str) -> None:
    whole = report(found("a", 1), found("b", 200, fate="survived", kind=kind))
    assert whole.shortcomings == [f"b ({kind}, ~I5) survived 200 seeds"]


def test_a_median_over_fifty_is_too_late() -> None:
    assert report(found("a", 51)).shortcomings == [
        "safety and durability mutants took 51 seeds in the median, over 50"
    ]
    assert report(found("a", 51), found("b", 0, tier="stories")).median == 51


def test_nine_in_ten_liveness_mutants_are_enough() -> None:
    killed = [found(f"m{n}", 1, kind="liveness") for n in range(9)]
    survivor = found("s", 200, fate="survived", kind="liveness")
    assert report(*killed, survivor).shortcomings == []
    assert report(*killed[1:], survivor).shortcomings == ["8 of 9 liveness mutants were killed, under 90%"]


def test_a_starred_row_without_a_mutant_is_owed() -> None:
    rows = {"I1": Row("owed"), "I2": Row("absent", later="leases"), "I3": Row("never", reason="nobody can")}
    assert report(rows=rows).shortcomings == ["I1 has a star and no mutant: owed"]
    text = reports.text(report(rows=rows))
    assert "I2   absent: leases" in text
    assert "I3   impossible: nobody can" in text


TABLE = f"""
[wrong]
near = "I5"
class = "safety"
what = "it doubles wrongly"
where = "{FAKE}:Service.answer"
old = "seed * 2"
new = "seed * 2 + (seed >= NUMBER)"
oracles = ["I5"]
tiers = ["core"]
"""


def command(tmp_path: Path, *arguments: str, number: int = 2) -> tuple[int, Path]:
    """The command over the fake tier."""
    table = tmp_path / "a/b/mutants.toml"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(TABLE.replace("NUMBER", str(number)))
    usual = ["mutants", "--table", str(table), "--simulator", f"{FAKE}:run", "--tier", "core", "--seeds", "3"]
    return run([*usual, *arguments]), table


def test_the_command_prints_a_table_and_leaves_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path)[0] == Exit.CLEAN
    printed = capsys.readouterr()
    head, line = printed.out.splitlines()[:2]
    assert head.split() == ["mutant", "row", "class", "killed", "by", "tier", "seed", "seeds"]
    assert line.split() == ["wrong", "~I5", "safety", "I5", "core", "2", "3"]
    assert "wrong (~I5, safety): I5, core, 3 seeds; 0 to go" in printed.err


def test_a_survivor_leaves_with_1_and_json_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, "--json", number=3)[0] == Exit.FAILED
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert not said["good"]
    assert said["shortcomings"] == ["wrong (safety, ~I5) survived 3 seeds"]
    assert said["mutants"][0]["fate"] == "survived"


def test_markdown_has_a_table_per_class(tmp_path: Path) -> None:
    command(tmp_path, "--markdown", str(tmp_path / "tables.md"))
    said = (tmp_path / "tables.md").read_text()
    assert "### Safety\n\n| Mutant | Row | The bug |" in said
    assert "| `wrong` | ~I5 | it doubles wrongly | I5 | core | 3 |" in said


def test_a_recorded_campaign_goes_on_where_it_was_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.jsonl"
    assert command(tmp_path, "--record", str(path))[0] == Exit.CLEAN
    first = capsys.readouterr()
    assert "0 to go" in first.err
    whole = path.read_bytes()
    path.write_bytes(whole + whole[-40:-1])  # stopped in the midst of a line
    assert command(tmp_path, "--record", str(path))[0] == Exit.CLEAN
    again = capsys.readouterr()
    assert again.out == first.out
    assert "to go" not in again.err, "nothing is hunted twice"
    assert path.read_bytes() == whole
    assert command(tmp_path, "--record", str(path), number=3)[0] == Exit.FAILED, "it is another mutant now"
    assert "0 to go" in capsys.readouterr().err


def test_a_record_of_another_campaign_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.jsonl"
    assert command(tmp_path, "--record", str(path))[0] == Exit.CLEAN
    assert command(tmp_path, "--record", str(path), "--seeds", "4")[0] == Exit.USAGE
    assert "is of a campaign with other seeds or tiers" in capsys.readouterr().err
    other = path.read_bytes().replace(build.this().source.encode(), b"0" * 16)
    path.write_bytes(other)
    assert command(tmp_path, "--record", str(path))[0] == Exit.USAGE
    assert "other code than this: name another file" in capsys.readouterr().err
    path.write_text("nonsense\n")
    assert command(tmp_path, "--record", str(path))[0] == Exit.USAGE
    assert "is no record of a mutation campaign" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--table", "/nowhere/mutants.toml"], "there is no table of mutants at /nowhere"),
        (["--only", "nobody"], "no mutant and no row is called nobody"),
        (["--simulator", "tests.mutants.gone:run"], "cannot be imported"),
        (["--first-seed", "9000000000"], "is reserved"),
    ],
)
def test_bad_usage_is_told_and_leaves_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert command(tmp_path, *arguments)[0] == Exit.USAGE
    assert said in capsys.readouterr().err


def test_a_mutant_is_chosen_by_its_name_or_by_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("wrong", "I5"):
        assert command(tmp_path, "--list", "--only", name)[0] == Exit.CLEAN
        assert capsys.readouterr().out.startswith("wrong ")
