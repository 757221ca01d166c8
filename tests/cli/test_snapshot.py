"""`raftlog snapshot` and the flags of retention."""

import json
from pathlib import Path

import pytest

from raftlog.cli.app import run
from raftlog.node.retention import Retention
from tests.cli.running import raftlog, serving

FLAGS = (
    "--snapshot-entries 5 --snapshot-bytes 3MiB --snapshot-age 0.5 "
    "--keep-entries 0 --keep-bytes 1KiB --keep-age 7.5 --most-bytes 2GiB"
)
FILE = """
snapshot-entries = 5
snapshot-bytes = "3 MiB"
snapshot-age = 0.5
keep-entries = 0
keep-bytes = 1024
keep-age = 7.5
most-bytes = "2GiB"
"""


@pytest.mark.real
@pytest.mark.parametrize("how", ["flags", "file"])
def test_retention_is_given_shown_and_kept_to(how: str, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(FILE)
    flags = FLAGS.split() if how == "flags" else ["--config", str(tmp_path / "node.toml")]
    with serving(tmp_path / "n1", *flags) as address:
        assert raftlog("init", address).code == 0
        assert raftlog("kv", "put", "a", "1", "--node", address).code == 0
        taken = raftlog("snapshot", address, "--json")
        (row,) = json.loads(raftlog("status", address, "--json").out)["nodes"]
    assert row["retention"] == {
        "entries": 5,
        "bytes": 3 << 20,
        "age": 500_000,
        "keep_entries": 0,
        "keep_bytes": 1024,
        "keep_age": 7_500_000,
        "most_bytes": 2 << 30,
    }
    (snapshot,) = json.loads(taken.out)["snapshots"]
    assert snapshot["index"] >= 2
    assert (taken.code, snapshot["node"], snapshot["group"]) == (0, "n1", 0)
    assert row["snapshot"] >= snapshot["index"]
    assert (tmp_path / "n1" / f"{snapshot['id']}.0001.part").stat().st_size == snapshot["bytes"]


def test_the_defaults_shown_are_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    default = Retention()
    assert (default.bytes, default.keep_bytes, default.most_bytes) == (64 << 20, 16 << 20, 1 << 30)
    for flag, words in (
        ("--snapshot-entries", f"[default: {default.entries}"),
        ("--snapshot-bytes", "[default: 64 MiB]"),
        ("--snapshot-age", f"[default: {default.age // 1_000_000}"),
        ("--keep-entries", f"[default: {default.keep_entries}"),
        ("--keep-bytes", "[default: 16 MiB]"),
        ("--keep-age", f"[default: {default.keep_age // 1_000_000}"),
        ("--most-bytes", "[default: 1 GiB]"),
    ):
        assert words in shown.partition(flag)[2].partition(" --")[0]


@pytest.mark.real
def test_a_node_that_waits_has_no_snapshot_to_take(tmp_path: Path) -> None:
    with serving(tmp_path / "n1") as address:
        done = raftlog("snapshot", address)
        some = raftlog("snapshot", address, "127.0.0.1:1")
    assert (done.code, "waits for `raftlog init`" in done.said) == (1, True)
    assert (some.code, "no node answers at 127.0.0.1:1" in some.said) == (1, True)
