"""Campaigns: every seed is run once, whatever becomes of the processes that run them."""

import subprocess
import sys
from pathlib import Path

import pytest

from jepsen_like.sim import campaign as campaigns
from jepsen_like.sim import crew
from jepsen_like.sim.campaign import Campaign, Report
from jepsen_like.sim.ledger import read
from jepsen_like.sim.tally import Tally
from tests.sim.campaign import fake


def carried_out(campaign: Campaign) -> Report:
    report = Report(Tally(campaign.span), [])
    campaigns.run(campaign, report)
    return report


def the_campaign(simulator: str, seeds: range, ledger: Path | None = None, **rest: object) -> Campaign:
    place = f"{fake.HERE}:{simulator}"
    return Campaign(tier="core", seeds=seeds, place=place, ledger=ledger, workers=2, **rest)  # type: ignore[arg-type]


def test_every_seed_is_run_once_by_two_workers(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    report = carried_out(the_campaign("every_seventh_fails", range(1, 31), path))
    assert report.tally.outcomes == {"passed": 26, "failed": 4, "invalid": 0}
    assert sorted(run.seed for run in report.failures) == [7, 14, 21, 28]
    assert sorted(line.run.seed for line in read(path)[1]) == list(range(1, 31))


def test_what_the_ledger_has_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    carried_out(the_campaign("every_seventh_fails", range(1, 11), path))
    path.write_bytes(path.read_bytes()[:-5])
    lines = path.read_bytes().splitlines(keepends=True)[:-1]
    report = carried_out(the_campaign("every_seventh_fails", range(1, 21), path, resume=True))
    assert report.resumed == 9
    assert report.tally.runs == 20
    assert path.read_bytes().startswith(b"".join(lines))
    assert sorted(line.run.seed for line in read(path)[1]) == list(range(1, 21))


def test_a_run_that_takes_its_process_along_is_a_failed_run_and_the_others_go_on() -> None:
    report = carried_out(the_campaign("some_die", range(1, 13), patience=2.0))
    broken = {run.seed: run.oracle for run in report.failures}
    assert broken == {3: "worker", 4: "harness", 5: "hang"}
    assert report.tally.runs == 12
    assert "exit code 9" in next(run.problem for run in report.failures if run.seed == 3)
    assert "LookupError: a defect" in next(run.problem for run in report.failures if run.seed == 4)


def test_a_worker_that_has_grown_large_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def processes() -> int:
        report = carried_out(the_campaign("named_for_its_process", range(1, 13)))
        assert report.tally.runs == 12
        return len(report.tally.coverage)

    assert processes() <= 2
    monkeypatch.setattr(crew, "MOST_MEMORY", 1)
    assert processes() == 12


def test_what_a_workers_parent_holds_is_not_taken_for_its_own() -> None:
    held = b"\1" * (64 << 20)
    said = subprocess.run(
        [sys.executable, "-c", "from jepsen_like.sim.worker import most_memory; print(most_memory())"],
        capture_output=True,
        check=True,
    )
    assert 4 << 20 < int(said.stdout) < len(held)


def test_fail_fast_stops_at_the_first_failure() -> None:
    report = carried_out(the_campaign("every_seventh_fails", range(1, 10_000), fail_fast=True))
    assert report.tally.outcomes["failed"] == 1
    assert report.tally.runs < 100
