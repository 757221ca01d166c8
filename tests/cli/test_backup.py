"""`raftlog backup` and `raftlog backup verify`: what they print, and one sentence for whatever is no good."""

import json
from pathlib import Path

import pytest

from raftlog.cli.app import run
from tests.backup.samples import write

DAMAGED, FAILED, USAGE = 5, 1, 2


def verified(file: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str, str]:
    code = run(["backup", "verify", str(file), *flags])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, " ".join(err.split())


def test_a_sound_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "b")
    code, out, _ = verified(tmp_path / "b", capsys)
    assert code == 0
    assert "cluster 0000000000c0ffee, 2023-11-14T22:13:20Z" in out
    assert "group 7: Counter at 2@1" in out
    assert out.splitlines()[-1] == "sound"
    code, out, _ = verified(tmp_path / "b", capsys, "--json")
    found = json.loads(out)
    assert (code, found["sound"], found["cluster"]) == (0, True, "0000000000c0ffee")
    assert [(each["group"], each["index"], each["term"]) for each in found["groups"]] == [
        (0, 2, 1),
        (7, 2, 1),
    ]


def test_one_that_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "b"
    write(file)
    content = file.read_bytes()
    for spoilt, code, said in (
        (content[:-100], DAMAGED, "of group 7, at byte"),
        (content[:-1], DAMAGED, "the end, at byte"),
        (content[:900] + bytes([content[900] ^ 8]) + content[901:], DAMAGED, "does not fit its checksum"),
        (b"PK\x03\x04" + content, FAILED, "is no backup of raftlog"),
        (content[:8] + b"\x09" + content[9:], FAILED, "has format version 9"),
    ):
        file.write_bytes(spoilt)
        got, out, err = verified(file, capsys)
        assert (got, out) == (code, ""), err
        assert said in err
        assert err.count("raftlog: ") == 1
        got, out, _ = verified(file, capsys, "--json")
        assert (got, json.loads(out)["exit"]) == (code, code)


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        ("backup 127.0.0.1:1", USAGE, "Missing option '--to'"),
        ("backup --to F", FAILED, "no node answers at 127.0.0.1:7001"),
        ("backup 127.0.0.1:1 --to F", FAILED, "there is no cluster to take a backup of: no node answers"),
        ("backup take 127.0.0.1:1 --to F", FAILED, "no node answers at 127.0.0.1:1"),
        ("backup here --to F", USAGE, "'here' is no address"),
        ("backup verify", USAGE, "Missing argument 'FILE'"),
        ("backup verify F", FAILED, "cannot be read: No such file or directory"),
        ("backup --dir F --to F", USAGE, "holds no cluster"),
    ],
)
def test_what_people_do_wrong(
    arguments: str,
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "absent"
    monkeypatch.delenv("RAFTLOG_NODES", raising=False)
    assert run([str(file) if word == "F" else word for word in arguments.split()]) == code
    out, err = capsys.readouterr()
    assert said in " ".join(err.split())
    assert "Traceback" not in out + err
    assert not file.exists()


def test_help_shows_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", "--help"]) == 0
    out = capsys.readouterr().out
    assert "take" in out
    assert "verify" in out
