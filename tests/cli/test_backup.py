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
        ("backup --to F", FAILED, "no node answers at 127.0.0.1:2"),
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
    monkeypatch.setenv("RAFTLOG_NODES", "127.0.0.1:2")
    assert run([str(file) if word == "F" else word for word in arguments.split()]) == code
    out, err = capsys.readouterr()
    assert said in " ".join(err.split())
    assert "Traceback" not in out + err
    assert not file.exists()


def restored(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = run(["restore", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, " ".join(err.split())


def test_a_node_is_restored_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "b")
    code, out, _ = restored(capsys, tmp_path / "b", "--data-dir", tmp_path / "n1", "--json")
    found = json.loads(out)
    assert (code, found["source"], found["machine"], len(found["nodes"])) == (
        0,
        "0000000000c0ffee",
        "Counter",
        1,
    )
    assert [each["index"] for each in found["groups"]] == [2, 2]
    code, _, err = restored(capsys, tmp_path / "b", "--data-dir", tmp_path / "n1")
    assert (code, "n1 is not empty: a restore makes a new node, and never goes into" in err) == (FAILED, True)
    assert run(["log", "verify", str(tmp_path / "n1")]) == 0
    assert "waits to be initialised" in capsys.readouterr().out


def test_a_restore_that_was_cut_short_is_told_by_everybody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "b")
    directory = tmp_path / "n1"
    directory.mkdir()
    (directory / "restoring").write_bytes(bytes(512))
    for arguments in (
        ("restore", tmp_path / "b", "--data-dir", directory),
        ("log", "verify", directory),
        ("serve", "--data-dir", directory, "--listen", "127.0.0.1:0"),
    ):
        assert run([str(word) for word in arguments]) == FAILED
        assert "was cut short: empty the directory and run `raftlog restore` again" in capsys.readouterr().err
    assert "identity" not in [path.name for path in directory.iterdir()]


def test_a_cluster_is_restored_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "b")
    machine = ("--machine", "statemachines.counter:Counter")
    code, out, _ = restored(capsys, tmp_path / "b", "--dir", tmp_path / "c", "--nodes", "5", *machine)
    assert code == 0
    assert "made 5 nodes that wait with the state of cluster 0000000000c0ffee of 2023-11-14T22:13:20Z" in out
    found = json.loads((tmp_path / "c" / "cluster.json").read_bytes())
    assert ([each["name"] for each in found["nodes"]], found["machine"]) == (
        ["n1", "n2", "n3", "n4", "n5"],
        "statemachines.counter:Counter",
    )
    assert len({(tmp_path / "c" / f"n{n}" / "identity").read_bytes() for n in range(1, 6)}) == 5
    code, _, err = restored(capsys, tmp_path / "b", "--dir", tmp_path / "c", *machine)
    assert (code, "holds a cluster: a restore makes a new one, in another directory" in err) == (FAILED, True)


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        ("B", USAGE, "say where to: --data-dir for one node, or --dir for a cluster"),
        ("B --data-dir D --dir D", USAGE, "say where to"),
        ("B --data-dir D --nodes 3", USAGE, "--nodes and --machine go with --dir"),
        (
            "B --dir D",
            FAILED,
            "the backup is of the machine 'Counter', not 'KeyValue': name it with --machine",
        ),
        ("B --dir D --machine absent:X", USAGE, "there is no module 'absent'"),
        (
            "B --dir F --machine statemachines.counter:Counter",
            FAILED,
            "is not empty and holds no cluster.json",
        ),
        ("B --dir D --nodes 0", USAGE, "0 is not in the range"),
        ("D --data-dir D", FAILED, "cannot be read: No such file or directory"),
        ("F/poem.txt --data-dir D", FAILED, "is no backup of raftlog"),
        ("F/cut --data-dir D", DAMAGED, "is cut off: the file ends after"),
        ("B --data-dir F", FAILED, "is not empty"),
    ],
)
def test_what_people_do_wrong_with_a_restore(
    arguments: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "b")
    full = tmp_path / "full"
    full.mkdir()
    (full / "poem.txt").write_text("Roses are red")
    (full / "cut").write_bytes((tmp_path / "b").read_bytes()[:-9])
    words = {"B": str(tmp_path / "b"), "D": str(tmp_path / "absent"), "F": str(full)}
    given = [
        word.replace("F/", f"{full}/") if word not in words else words[word] for word in arguments.split()
    ]
    got, _, err = restored(capsys, *given)
    assert (got, said in err) == (code, True), err
    assert not (tmp_path / "absent").exists()
    assert len(list(full.iterdir())) == 2


def test_help_shows_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", "--help"]) == 0
    out = capsys.readouterr().out
    assert "take" in out
    assert "verify" in out
