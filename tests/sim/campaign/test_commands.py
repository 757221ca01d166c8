"""The commands as people and scripts meet them: what they print, and their exit codes."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from jepsen_like import cli
from jepsen_like.sim.judge import Exit
from jepsen_like.sim.ledger import read
from jepsen_like.sim.plan import RESERVED, decode, encode
from jepsen_like.sim.swarm import draw
from tests.sim.campaign import fake
from tests.sim.campaign.test_shrink import FAILING

SEEDS = ["--first-seed", "1", "--seeds", "10"]


def by(simulator: str) -> list[str]:
    return ["--simulator", f"{fake.HERE}:{simulator}"]


def invoke(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.run(list(arguments))
    return code, capfd.readouterr().out


def test_a_clean_campaign_exits_0_with_its_figures(capfd: pytest.CaptureFixture[str]) -> None:
    code, out = invoke(capfd, "sim", *SEEDS, *by("run"))
    assert code == Exit.CLEAN, out
    for word in (
        "10 passed",
        "0.11 h",
        "per virtual second",
        "absent: leases",
        "1 of 1 passed",
        "clean: 10 runs",
    ):
        assert word in out, out


def test_a_failed_run_exits_1_and_says_how_to_see_it_again(capfd: pytest.CaptureFixture[str]) -> None:
    code = cli.run(["sim", *SEEDS, *by("every_seventh_fails")])
    told = capfd.readouterr()
    assert code == Exit.FAILED
    for text in (told.out, told.err):
        assert "seed 7 failed: I1: n2 leads term 3, as does n1" in text
        assert f"-m jepsen_like replay 7 --tier core --simulator {fake.HERE}:every_seventh_fails\n" in text
    assert "broken in 1" in told.out


def test_the_line_that_a_failure_prints_replays_it(capfd: pytest.CaptureFixture[str]) -> None:
    _, out = invoke(capfd, "sim", *SEEDS, *by("every_seventh_fails"), "--span", "12s")
    found = re.search(r"-m jepsen_like (replay 7 .*)", out)
    assert found is not None
    code, told = invoke(capfd, *found[1].split())
    assert (code, "I1: n2 leads term 3" in told) == (Exit.FAILED, True)
    assert "22.000 virtual seconds" in told


def test_an_invalid_campaign_exits_2_and_says_what_it_lacks(capfd: pytest.CaptureFixture[str]) -> None:
    code, out = invoke(capfd, "sim", *SEEDS, *by("nothing_happens"))
    assert code == Exit.INVALID
    for word in (
        "missed: fault/crash",
        "acknowledged per virtual second",
        "leader changed",
        "was quiet",
        "INVALID",
    ):
        assert word in out, out


def test_without_gates_it_says_so_loudly(capfd: pytest.CaptureFixture[str]) -> None:
    calm = next(seed for seed in range(1, 99) if "fault/crash" not in fake.run(draw(seed, "core")).coverage)
    one = ["--first-seed", str(calm), "--seeds", "1"]
    assert invoke(capfd, "sim", *one, *by("run"))[0] == Exit.INVALID
    code, out = invoke(capfd, "sim", *one, *by("run"), "--no-gates")
    assert code == Exit.CLEAN
    assert "THE COVERAGE GATES WERE SWITCHED OFF" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["sim", "--tier", "nowhere"],
        ["sim", "--seeds", "0"],
        ["sim", "--resume"],
        ["sim", "--span", "30"],
        ["sim", "--simulator", "nowhere:run"],
        ["sim", "--first-seed", str(RESERVED)],
        ["sim", "--first-seed", str(RESERVED - 5), "--seeds", "6"],
        ["replay"],
        ["replay", "1", "--plan", "x.json"],
        ["replay", "--plan", "/nowhere/x.json"],
        ["replay", str(RESERVED)],
        ["shrink", str(RESERVED)],
        ["verify", "/nowhere/ledger.jsonl"],
        ["unheard-of"],
    ],
    ids=" ".join,
)
def test_bad_usage_exits_3_with_a_sentence(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == Exit.USAGE
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith("jepsen_like: ")


def test_reserved_seeds_are_for_who_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    # Nothing is simulated here: the fake tier looks at the plan alone.
    code, _ = invoke(capfd, "replay", str(RESERVED), "--allow-reserved", *by("run"))
    assert code == Exit.CLEAN


def test_json_is_one_document_with_all_there_is(capfd: pytest.CaptureFixture[str]) -> None:
    code, out = invoke(capfd, "sim", *SEEDS, *by("every_seventh_fails"), "--json")
    value = msgspec.json.decode(out)
    assert code == Exit.FAILED
    assert value["outcomes"] == {"passed": 9, "failed": 1, "invalid": 0}
    assert value["failures"][0]["seed"] == 7
    assert value["oracles"]["I1"] == {"state": "broken", "broken": 1, "checks": None, "absent": ""}
    assert value["oracles"]["I16"]["state"] == "absent"
    assert value["verdict"] == "failed"


def test_a_line_of_a_ledger_is_run_again_and_compared(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "ledger.jsonl")
    invoke(capfd, "sim", *SEEDS, *by("run"), "--span", "10s", "--ledger", path)
    code, out = invoke(capfd, "replay", "4", "--ledger", path, "--again")
    assert code == Exit.CLEAN
    assert len(re.findall(r"^equal: .* says ([0-9a-f]{16})$", out, re.MULTILINE)) == 2
    assert invoke(capfd, "verify", path)[0] == Exit.CLEAN
    assert "3 of 3 runs" in invoke(capfd, "verify", path, "--sample", "3")[1]


def test_a_run_that_differs_is_told_with_both_hashes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "ledger.jsonl")
    invoke(capfd, "sim", *SEEDS, *by("other_every_time"), "--ledger", path)
    code, out = invoke(capfd, "replay", "4", "--ledger", path)
    was = next(line.run.trace for line in read(Path(path))[1] if line.run.seed == 4)
    assert code == Exit.FAILED
    assert f"says {was}" in out
    assert "DIFFERENT" in out
    code, out = invoke(capfd, "verify", path)
    assert code == Exit.FAILED
    assert "0 of 10 runs" in out


def test_a_seed_that_the_ledger_does_not_have_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "ledger.jsonl")
    invoke(capfd, "sim", *SEEDS, *by("run"), "--ledger", path)
    assert cli.run(["replay", "11", "--ledger", path]) == Exit.USAGE
    assert "no run of seed 11" in capfd.readouterr().err


def test_a_ledger_is_gone_on_with_only_when_asked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "ledger.jsonl")
    invoke(capfd, "sim", *SEEDS, *by("run"), "--ledger", path)
    assert cli.run(["sim", "--seeds", "20", *by("run"), "--ledger", path]) == Exit.USAGE
    code, out = invoke(capfd, "sim", "--seeds", "20", *by("run"), "--ledger", path, "--resume")
    assert code == Exit.CLEAN
    assert "for 10 runs" in out
    assert len(read(Path(path))[1]) == 20


def test_shrinking_leaves_a_plan_a_trace_and_a_timeline(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seed, out = str(FAILING[0]), tmp_path / "shrunk"
    code, told = invoke(capfd, "shrink", seed, *by("needs_two_faults"), "--out", str(out))
    assert code == Exit.CLEAN
    assert "now 2 faults, 3 nodes, 2 clients" in told
    plan = out / f"core-{seed}.json"
    assert fake.needs_two_faults(decode(plan.read_bytes())).oracle == "I1"
    trace = (out / f"core-{seed}.txt").read_text()
    assert trace.startswith("# I1: two leaders\n")
    assert "\ncluster voters=n1..n3\n" in trace
    assert "VIOLATION: I1: two leaders" in trace
    assert "I1: two leaders" in (out / f"core-{seed}.html").read_text()
    code, told = invoke(capfd, "replay", "--plan", str(plan), *by("needs_two_faults"), "--trace")
    assert code == Exit.FAILED
    assert "VIOLATION: I1: two leaders" in told


def test_there_is_nothing_to_shrink_in_a_run_that_passes(capfd: pytest.CaptureFixture[str]) -> None:
    code, told = invoke(capfd, "shrink", "1", *by("run"))
    assert (code, "nothing to shrink" in told) == (Exit.FAILED, True)


def test_a_plan_of_a_file_may_be_edited(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(encode(draw(FAILING[0], "core")).replace(b'"clients": ', b'"clients": 1'))
    assert invoke(capfd, "replay", "--plan", str(plan), *by("run"))[0] == Exit.CLEAN
    plan.write_bytes(b'{"seed": "x"}')
    assert cli.run(["replay", "--plan", str(plan)]) == Exit.USAGE


@pytest.mark.real
def test_ctrl_c_ends_a_campaign_with_its_ledger_whole(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    command = [
        sys.executable,
        "-m",
        "jepsen_like",
        "sim",
        "--seeds",
        "1000000",
        "--workers",
        "2",
        "--ledger",
        str(path),
    ]
    with subprocess.Popen(
        [*command, *by("run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            until = time.monotonic() + 60
            while not path.exists() or path.read_bytes().count(b"\n") < 20:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until, "no runs in a minute"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == Exit.INTERRUPTED, err
    assert "interrupted" in err
    assert "core tier, seeds from 1" in out
    assert len(read(path)[1]) >= 19
    assert path.read_bytes().endswith(b"}\n")


def test_help_lists_every_command_and_imports_none() -> None:
    code = "import sys; from jepsen_like.cli import run; run(['--help']); print('jepsen_like.sim.core' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, imported = done.stdout.splitlines()
    assert imported == "False"
    for name in ("sim", "replay", "shrink", "verify", "soak", "explore", "mutants", "check"):
        assert any(line.startswith(f"  {name} ") for line in lines), done.stdout


def test_a_command_that_cannot_be_loaded_takes_no_other_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli._COMMANDS, "explore", ("jepsen_like.nowhere:explore", "Broken."))
    result: Result = CliRunner().invoke(cli.app, ["explore"])
    assert "explore cannot be loaded" in result.output
    assert CliRunner().invoke(cli.app, ["sim", "--help"]).exit_code == 0
