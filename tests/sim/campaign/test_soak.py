"""A soak goes on where it was, adds new seeds for every build, and stops when a run fails or the sources change."""

from pathlib import Path

import pytest

from jepsen_like import cli
from jepsen_like.sim import build
from jepsen_like.sim.commands import soak
from jepsen_like.sim.judge import Exit
from jepsen_like.sim.ledger import read
from jepsen_like.sim.tiers import PLACES
from tests.sim.campaign import fake


@pytest.fixture(autouse=True)
def small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "ROUND", {"core": 3})
    monkeypatch.setitem(PLACES, "core", f"{fake.HERE}:run")


def soaked(directory: Path, *arguments: str) -> int:
    return cli.run(["soak", "--dir", str(directory), *arguments])


def seeds(directory: Path) -> list[int]:
    return sorted(line.run.seed for path in directory.glob("*.jsonl") for line in read(path)[1])


def test_rounds_go_on_in_one_ledger_also_after_a_restart(tmp_path: Path) -> None:
    # The gates are those of the real tiers, which nothing simulated can pass: invalid, and no reason to stop.
    assert soaked(tmp_path, "--rounds", "2") == Exit.INVALID
    assert soaked(tmp_path, "--rounds", "1") == Exit.INVALID
    assert len(list(tmp_path.iterdir())) == 1
    assert seeds(tmp_path) == list(range(soak.FIRST_SEED, soak.FIRST_SEED + 9))


def test_another_build_adds_other_seeds(tmp_path: Path) -> None:
    soaked(tmp_path, "--rounds", "1")
    (path,) = tmp_path.iterdir()
    path.rename(path.with_name("core-0123456789abcdef.jsonl"))
    soaked(tmp_path, "--rounds", "1")
    assert len(list(tmp_path.iterdir())) == 2
    assert seeds(tmp_path) == list(range(soak.FIRST_SEED, soak.FIRST_SEED + 6))


def test_a_failure_stops_it_unless_told_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLACES, "core", f"{fake.HERE}:every_seventh_fails")
    assert soaked(tmp_path / "stops", "--rounds", "9") == Exit.FAILED
    stopped = seeds(tmp_path / "stops")
    assert any(seed % 7 == 0 for seed in stopped[-3:])
    assert not any(seed % 7 == 0 for seed in stopped[:-3])
    assert soaked(tmp_path / "goes-on", "--rounds", "4", "--keep-going") == Exit.FAILED
    assert len(seeds(tmp_path / "goes-on")) == 12


def test_changed_sources_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "changed", lambda: True)
    assert soaked(tmp_path) == Exit.USAGE
    assert "sources have changed" in capfd.readouterr().err
    assert seeds(tmp_path) == []
