"""A failed check makes the gate fail, is named, and does not keep the others from running."""

import os
import pathlib
import subprocess

import pytest

from tests.gate import check

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_a_failed_check_is_named_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = {"first": ["-c", "raise SystemExit('torn')"], "second": ["-c", "print('unseen')"]}
    monkeypatch.setattr(check, "checks", lambda code: planned)
    assert check.main([]) == 1
    said = capsys.readouterr().out
    assert "make check failed: first." in said
    assert "torn" in said
    assert "second            ok" in said
    assert "unseen" not in said


def test_nothing_failed_is_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "checks", lambda code: {"only": ["-c", "pass"]})
    assert check.main([]) == 0


def test_no_check_writes_to_the_sources() -> None:
    commands = check.checks(["raftlog"])
    assert "--check" in commands["format"]
    assert "--no-fix" in commands["lint"]
    assert not any("--write" in arguments for arguments in commands.values())


@pytest.mark.parametrize("failing, code", [("none", 0), ("check", 1), ("test", 1)])
def test_ci_fails_when_either_half_fails(tmp_path: pathlib.Path, failing: str, code: int) -> None:
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "ran $1"\n[ "$1" != {failing} ]\n')
    make.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run")],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "ran check" in done.stdout
    assert "ran test" in done.stdout
