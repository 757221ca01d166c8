"""`python -m bench` from end to end, as short as it goes; no figure is judged."""

import json
import pathlib

import pytest
from click.testing import CliRunner

from bench.__main__ import main

pytestmark = pytest.mark.real


def test_it_measures_the_yardstick_and_writes_json(tmp_path: pathlib.Path) -> None:
    arguments = [
        "--only",
        "yardstick",
        "--load",
        "64 callers",
        "--rounds",
        "1",
        "--seconds",
        "0.2",
        "--no-floor",
        "--json",
    ]
    done = CliRunner().invoke(main, [*arguments, "--no-floor", "--json", "--dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert [(row["workload"], row["system"]) for row in report["rows"]] == [("64 callers", "yardstick")]
    assert all(row["rate"]["median"] > 0 for row in report["rows"])
    assert list(tmp_path.iterdir()) == []


def test_it_profiles_every_process(tmp_path: pathlib.Path) -> None:
    (tmp_path / "made").mkdir()
    profiles = tmp_path / "profiles"
    arguments = [
        "--only",
        "yardstick",
        "--load",
        "64 callers",
        "--seconds",
        "0.2",
        "--profile",
        str(profiles),
    ]
    done = CliRunner().invoke(main, [*arguments, "--dir", str(tmp_path / "made")])
    assert done.exit_code == 0, done.output
    names = [f"yardstick-{process}" for process in ("client", "primary", "replica-1", "replica-2")]
    assert sorted(path.stem for path in profiles.iterdir()) == names
    assert all(name in done.stdout for name in names)


def test_an_unknown_system_is_refused_by_name() -> None:
    done = CliRunner().invoke(main, ["--only", "zookeeper"])
    assert done.exit_code == 2
    assert "there is no 'zookeeper': choose from yardstick, " in done.output
