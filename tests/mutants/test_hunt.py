"""A kill is the intended oracle on a green seed, counted honestly; everything else is a survivor and says why."""

from pathlib import Path
from typing import Any

import pytest

from jepsen_like.mutants.campaign import Report, campaign
from jepsen_like.mutants.hunt import Ground, Hunted
from jepsen_like.mutants.mutant import Mutant
from jepsen_like.mutants.plant import Unplantable
from jepsen_like.mutants.table import Row, Table
from jepsen_like.sim.plan import Tier
from tests.mutants.rows import FAKE, mutant

PLACES: dict[Tier, str] = {"core": f"{FAKE}:run", "node": f"{FAKE}:run"}


def hunted(*mutants: Mutant, rows: dict[str, Row] | None = None, **options: Any) -> Report:
    """A campaign over the fake tier."""
    ground = Ground(
        **{"seeds": 12, "harness_seeds": 12, "tiers": ("core",), "places": PLACES, "span": 1, **options}
    )
    return campaign(Table(mutants, rows or {}), mutants, ground, workers=2)


def one(bug: Mutant, **options: Any) -> Hunted:
    """What became of this one."""
    return hunted(bug, **options).hunted[0]


def test_the_first_green_seed_on_which_the_oracle_fires_is_the_kill() -> None:
    found = one(mutant())
    assert (found.fate, found.tier, found.seed, found.seeds) == ("killed", "core", 6, 7)
    assert (found.oracle, found.problem) == ("I5", "6 doubled is not 13")


def test_a_seed_on_which_the_clean_build_is_red_or_says_nothing_kills_nobody() -> None:
    report = hunted(mutant(new="seed * 2 + (seed in (3, 4))"))
    assert report.hunted[0].fate == "survived"
    assert [run.seed for run in report.clean_failures] == [4]
    assert any("the clean build fails on seed 4" in said for said in report.shortcomings)


def test_another_oracle_is_counted_and_kills_nobody() -> None:
    found = one(mutant(oracles=["I7"]))
    assert (found.fate, found.seeds, found.others) == ("survived", 12, {"I5": 6})


def test_seeds_of_other_plans_are_passed_over_and_counted() -> None:
    found = one(mutant(new="0", focus={"voters": [5]}), seeds=40)
    assert found.seed is not None
    assert found.seed > 0, "seed 0 has five voters: choose another number for this test"
    assert found.seeds == found.seed + 1


def test_clean_runs_are_made_once_for_all() -> None:
    report = hunted(mutant(), mutant("other"))
    assert report.clean_runs == 7


def test_a_run_that_never_ends_kills_liveness_mutants_alone() -> None:
    loop = "[0 for _ in iter(int, 1)] and 0"
    living = mutant(new=loop, oracles=["liveness"], **{"class": "liveness"})
    assert one(living, seconds=1).oracle == "endless"
    safe = one(mutant(new=loop), seconds=1, seeds=1)
    assert (safe.fate, safe.others) == ("survived", {"endless": 1})


def test_a_process_that_dies_is_replaced() -> None:
    dies = 'seed * 2 if seed % 2 else __import__("tests.mutants.fake", fromlist=["stop"]).stop()'
    found = one(mutant(new=dies), seeds=3)
    assert (found.fate, found.others) == ("survived", {"worker": 2})


def test_code_that_has_moved_on_ends_the_campaign() -> None:
    with pytest.raises(Unplantable, match="occurs 0 times"):
        hunted(mutant(old="gone"))


def test_a_tier_that_cannot_be_imported_ends_the_campaign() -> None:
    with pytest.raises(Unplantable, match="cannot be imported"):
        hunted(mutant(), places={"core": "tests.mutants.gone:run"})


def test_a_mutant_of_another_tier_is_not_asked() -> None:
    assert one(mutant(tiers=["node"])).fate == "elsewhere"


def test_an_absent_feature_counts_neither_way() -> None:
    report = hunted(mutant(absent="leases"), rows={"Q6": Row("a lease", star=True, later="leases")})
    assert report.hunted[0].fate == "absent"
    assert report.shortcomings == []


def test_scripts_and_tests_kill_what_no_simulation_shows(tmp_path: Path) -> None:
    (tmp_path / "stories.py").write_text(
        "from tests.mutants.fake import Service\n"
        "def tell(mutant): return ['doubling'] if Service().answer(1) != 2 else []\n"
    )
    root = Path(__file__).parents[2]
    (tmp_path / "tests").symlink_to(root / "tests")
    (tmp_path / "jepsen_like").symlink_to(root / "jepsen_like")
    options = {"stories": "stories:tell", "root": tmp_path}
    found = one(mutant(tiers=[], oracles=[], scripts=["doubling"], new="0"), **options)
    assert (found.fate, found.tier, found.problem) == ("killed", "stories", "doubling")
    assert one(mutant(tiers=[], oracles=[], scripts=["doubling"]), **options).fate == "survived"
    assert one(mutant(absent="leases", scripts=["doubling"], new="0"), **options).fate == "absent"


# -- the harness


def harness(name: str = "broken", **fields: Any) -> Mutant:
    """A bug of the laboratory."""
    return mutant(name, **{"class": "harness", "oracles": [], **fields})


def test_a_nemesis_that_does_nothing_makes_the_campaign_invalid() -> None:
    found = one(harness(where=f"{FAKE}:storms", old="1 + seed % 2", new="0"))
    assert (found.fate, found.oracle) == ("killed", "invalid campaign")
    assert found.problem == "never happened: fault/storm"


def test_what_happens_seldom_on_the_clean_build_proves_nothing_by_its_absence() -> None:
    bug = harness(where=f"{FAKE}:storms", old="1 + seed % 2", new="0")
    assert one(bug, harness_seeds=3).fate == "survived"


def test_a_run_that_is_not_green_catches_a_harness_bug() -> None:
    found = one(harness(where=f"{FAKE}:check", old="seed * 2:", new="seed:"))
    assert (found.fate, found.seed) == ("killed", 1)


def test_a_harness_bug_that_changes_nothing_survives() -> None:
    assert one(harness(where=f"{FAKE}:storms", old="1 + seed % 2", new="2 - seed % 2")).fate == "survived"


def test_a_checker_that_is_off_is_caught_by_the_mutant_that_survives() -> None:
    bug = mutant()
    off = harness(where=f"{FAKE}:check", old="answer != seed * 2", new="False", beside="wrong")
    found = hunted(bug, off).hunted[1]
    assert (found.fate, found.oracle, found.seeds) == ("killed", "self-check", 7)
    blunt = harness(where=f"{FAKE}:storms", old="1 + seed % 2", new="2", beside="wrong")
    found = hunted(bug, blunt).hunted[1]
    assert found.fate == "survived"
    assert "is killed all the same" in found.problem
