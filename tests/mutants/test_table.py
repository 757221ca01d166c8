"""The table of mutants is read whole, and what is wrong with it is said by name."""

from pathlib import Path

import pytest

from jepsen_like.mutants.mutant import ENDLESS, Focus
from jepsen_like.mutants.table import TableMissing, find, read
from jepsen_like.sim.faults import Crash, Kill
from jepsen_like.sim.plan import Plan
from tests.mutants.rows import mutant

ROW = """
traps = "traps.toml"
[impossible]
I3 = "nobody can"

[wrong]
row = "I5"
class = "safety"
what = "it doubles wrongly"
where = "tests.mutants.fake:Service.answer"
old = "seed * 2"
new = "seed"
oracles = ["I5"]
tiers = ["core"]
"""
TRAPS = """
I1 = { title = "owed", test = "x", star = true }
I2 = { title = "absent", later = "leases", star = true }
I3 = { title = "impossible", test = "x", star = true }
I4 = { title = "without a star", test = "x" }
I5 = { title = "planted", test = "x", star = true }
"""


def table(folder: Path, text: str = ROW) -> Path:
    """A file, with the list of traps beside it."""
    (folder / "traps.toml").write_text(TRAPS)
    (folder / "mutants.toml").write_text(text)
    return folder / "mutants.toml"


def test_rows_without_a_mutant_are_absent_impossible_or_owed(tmp_path: Path) -> None:
    found = read(table(tmp_path))
    assert [each.name for each in found.mutants] == ["wrong"]
    assert list(found.without_mutant()) == ["I1", "I2", "I3"]
    assert list(found.owed()) == ["I1"]
    assert found.rows["I3"].reason == "nobody can"


@pytest.mark.parametrize(
    "old, new, said",
    [
        ('class = "safety"', 'class = "sefety"', r"\[wrong\]: Invalid enum value 'sefety'"),
        ('tiers = ["core"]', 'tiers = ["moon"]', r"\[wrong\]: Invalid enum value 'moon'"),
        ('what = "it doubles wrongly"', "", r"\[wrong\]: .*missing required field `what`"),
        ('row = "I5"', 'rows = "I5"', r"\[wrong\]: .*unknown field `rows`"),
        ('row = "I5"', "", "neither a row nor what it is near"),
        ('oracles = ["I5"]', "", "names no oracle"),
        ('tiers = ["core"]', "", "names nothing that could kill it"),
        ("I3 = ", "I9 = ", "I9"),
        ("[wrong]", "[wrong", "not a table of mutants"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(table(tmp_path, ROW.replace(old, new)))


def test_outside_a_checkout_it_says_where_the_table_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "jepsen_like.mutants.table.__file__", str(tmp_path / "site/jepsen_like/mutants/table.py")
    )
    with pytest.raises(TableMissing, match="--table"):
        find(None)
    with pytest.raises(TableMissing, match="there is no table of mutants at"):
        find(tmp_path / "none.toml")


def test_only_the_intended_oracle_kills_and_only_with_the_intended_words() -> None:
    bug = mutant(oracles=["I9", "assertion~must lie beyond"])
    assert bug.is_killed_by("I9", "whatever")
    assert bug.is_killed_by("assertion", "next 3 must lie beyond match 3")
    assert not bug.is_killed_by("assertion", "something else")
    assert not bug.is_killed_by("I7", "whatever")


def test_an_endless_run_speaks_for_liveness_alone() -> None:
    assert mutant(oracles=["liveness"]).is_killed_by(ENDLESS, "")
    assert not mutant(oracles=["I5", "assertion"]).is_killed_by(ENDLESS, "")


def test_a_focus_admits_plans_that_could_show_the_bug() -> None:
    plan = Plan(seed=1, tier="core", span=10, voters=4, faults=(Kill(at=1, nodes=("n1",), down=1),))
    assert Focus().admits(plan)
    assert Focus(faults=("kill", "crash"), voters=(4, 5)).admits(plan)
    assert not Focus(faults=("crash",)).admits(plan)
    assert not Focus(voters=(3,)).admits(plan)
    assert not Focus(learners=True).admits(plan)
    assert not Focus(window=1_000).admits(plan)
    assert Crash(at=1, nodes=(), down=1) not in plan.faults
