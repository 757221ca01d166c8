"""`python -m bench.large` from end to end, small; no figure is judged."""

import json
import pathlib
from typing import Any

import pytest
from click.testing import CliRunner

from bench.large import main

pytestmark = pytest.mark.real


def measured(directory: pathlib.Path, *arguments: str) -> Any:
    done = CliRunner().invoke(main, [*arguments, "--json", "--dir", str(directory)])
    assert done.exit_code == 0, done.output
    assert list(directory.iterdir()) == []
    return json.loads(done.stdout)


def test_a_long_log(tmp_path: pathlib.Path) -> None:
    log = measured(tmp_path, "--only", "log", "--entries", "1500", "--log-keys", "100")["log"]
    assert log["applied"] >= 1000
    assert log["peak_rss_mib"] > 10
    assert log["restart_seconds"] > 0


def test_snapshots_of_a_state_and_a_node_that_is_fed_one(tmp_path: pathlib.Path) -> None:
    arguments = [
        "--only",
        "replay",
        "--only",
        "feeding",
        "--keys",
        "1000",
        "--rounds",
        "1",
        "--seconds",
        "0.2",
    ]
    large = measured(tmp_path, *arguments)
    (taken,) = large["snapshots"]
    assert taken["bytes"] > 64_000
    assert [pause["what"] for pause in taken["pauses"]] == ["no snapshot", "a snapshot"]
    assert all(pause["batches"] > 1 for pause in taken["pauses"])
    assert large["feeding"]["bytes"] > 64_000
