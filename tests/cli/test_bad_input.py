"""What people do wrong: each time one sentence, the right exit code, and nothing lost."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from raftlog.cli.app import run
from tests.cli.running import raftlog, serving

DAMAGED, FAILED, USAGE, UNREACHABLE = 5, 1, 2, 4


# -- told by the command line itself: in this process, for speed


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        ("--nonsense", USAGE, "No such option '--nonsense'"),
        ("nonsense", USAGE, "No such command 'nonsense'"),
        ("serve", USAGE, "Missing option '--data-dir'"),
        ("serve --data-dir D --nonsense", USAGE, "No such option '--nonsense'"),
        ("serve --data-dir D --listen here", USAGE, "'here' is no address: write host:port"),
        (
            "serve --data-dir D --listen 10.0.0.1:7001",
            USAGE,
            "--tls-ca, --tls-cert and --tls-key, or --insecure",
        ),
        ("serve --data-dir D --listen 0.0.0.0:7001 --insecure", USAGE, "say with --advertise"),
        ("serve --data-dir D --machine kv", USAGE, "machine 'kv' is not written as module:Class"),
        ("serve --data-dir D --machine statemachines.kv:Absent", USAGE, "has no 'Absent'; it has: KeyValue"),
        ("serve --data-dir D --machine absent.module:Store", USAGE, "there is no module 'absent'"),
        ("serve --data-dir D --tls-cert c.pem --tls-key k.pem", USAGE, "give --tls-ca too"),
        ("serve --data-dir D --election-timeout 50", USAGE, "at most a third of the election timeout"),
        ("serve --data-dir D --name a/b", USAGE, "the name 'a/b' is not usable"),
        (
            "serve --data-dir D --keep-bytes lots",
            USAGE,
            "'lots' is no size: write bytes, or a number with KiB",
        ),
        ("serve --data-dir D --snapshot-bytes 3ZiB", USAGE, "'3ZiB' is no size"),
        ("serve --data-dir D --snapshot-bytes 0", USAGE, "retention must be positive"),
        ("serve --data-dir D --snapshot-age 0", USAGE, "0.0 is not in the range"),
        ("snapshot 127.0.0.1:1", UNREACHABLE, "no node answers at 127.0.0.1:1"),
        ("snapshot --dir D", USAGE, "holds no cluster"),
        ("init", USAGE, "Missing argument 'ADDR...'"),
        ("init 127.0.0.1", USAGE, "is no address"),
        ("init 127.0.0.1:1", FAILED, "Every node of the new cluster must answer; nothing was changed"),
        ("status 127.0.0.1:1", UNREACHABLE, "none of the nodes answers: 127.0.0.1:1"),
        ("status --dir D", USAGE, "holds no cluster"),
        ("status --dir D 127.0.0.1:1", USAGE, "not both"),
        ("status --tls-ca D 127.0.0.1:1", FAILED, "cannot be read"),
        ("status --watch --json", USAGE, "--watch is for people"),
        ("cluster", USAGE, "Missing option '--dir'"),
        ("cluster --dir D --nodes 0", USAGE, "0 is not in the range 1<=x<=9"),
        ("log verify D", USAGE, "does not exist"),
        ("log dump D", USAGE, "does not exist"),
    ],
)
def test_the_command_line(
    arguments: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "absent"
    assert run([str(directory) if word == "D" else word for word in arguments.split()]) == code
    out, err = capsys.readouterr()
    assert said in " ".join(err.split())
    assert "Traceback" not in err
    assert "Traceback" not in out
    assert not directory.exists()


@pytest.mark.parametrize(
    "text, said",
    [
        ("data-dri = 'x'", "says 'data-dri', which is no setting; did you mean 'data-dir'?"),
        ("zzz = 1", "says 'zzz', which is no setting; it may say: advertise, data-dir"),
        ("[server]\nname = 'n1'", "says 'server', which is no setting"),
        ("insecure = 'yes'", "insecure is true or false, not 'yes'"),
        ("listen = ['a']", "listen takes one text or number"),
        ("listen = 'here'", "'here' is no address"),
        ("heartbeat = 'soon'", "'soon' is not a valid integer"),
        ("config = 'other.toml'", "says 'config', which is no setting"),
        ("= 3", "is no TOML"),
    ],
)
def test_a_toml_file(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    assert run(["serve", "--config", str(file), "--data-dir", str(tmp_path / "n1")]) == USAGE
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "n1").exists()


def test_no_command_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == USAGE
    assert capsys.readouterr().err.startswith("Usage: raftlog [OPTIONS] COMMAND")


@pytest.mark.parametrize("command", ["dump", "verify"])
def test_a_directory_without_a_node(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "poem.txt").write_text("")
    assert run(["log", command, str(tmp_path)]) == FAILED
    assert "is no data directory of a node" in capsys.readouterr().err


def test_a_toml_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--config", str(tmp_path / "absent.toml")]) == USAGE
    assert "cannot be read: No such file or directory" in capsys.readouterr().err


def test_with_json_an_error_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json", "127.0.0.1:1"]) == UNREACHABLE
    first, last = capsys.readouterr().out.splitlines()
    assert json.loads(first)["nodes"][0]["role"] == "unreachable"
    assert json.loads(last)["exit"] == UNREACHABLE


def test_a_traceback_is_for_those_who_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--debug", "init", "127.0.0.1:1"]) == FAILED
    assert "Traceback" in capsys.readouterr().err


# -- told by a server: processes of their own


@pytest.mark.real
def test_python_without_assertions_does_not_serve(tmp_path: Path) -> None:
    done = raftlog("serve", "--data-dir", tmp_path / "n1", python=("-O",))
    assert done.code == FAILED
    assert "does not serve under python -O" in done.said
    assert not (tmp_path / "n1").exists()
    assert raftlog("serve", "--data-dir", tmp_path / "n1", environ={"PYTHONOPTIMIZE": "1"}).code == FAILED


@pytest.mark.real
def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = raftlog("serve", "--data-dir", tmp_path / "n1", "--listen", address)
    assert done.code == FAILED
    assert done.said == f"cannot listen at {address}: Address already in use; choose another --listen"
    assert done.err.count("\n") == 1, "gRPC's own log says it again"


@pytest.mark.real
def test_a_directory_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = raftlog("serve", "--data-dir", tmp_path / "file" / "n1")
    assert done.code == FAILED
    assert f"{tmp_path}/file/n1 cannot be used: Not a directory" in done.said


@pytest.mark.real
def test_tls_files_that_do_not_serve(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("nonsense")
    flags = [f"--tls-{kind}={tmp_path}/{kind}.pem" for kind in ("ca", "cert", "key")]
    done = raftlog("serve", "--data-dir", tmp_path / "n1", *flags)
    assert done.code == FAILED
    assert "is not the unencrypted key of" in done.said


@pytest.mark.real
@pytest.mark.slow
def test_directories_that_are_not_this_nodes_or_not_whole(tmp_path: Path) -> None:
    """One node's directory, spoilt in every way a careless operator can."""
    with serving(tmp_path / "n1"):
        pass
    waiting = raftlog("log", "verify", tmp_path / "n1")
    assert (waiting.code, "waits to be initialised" in waiting.out) == (0, True)
    with serving(tmp_path / "n1") as one, serving(tmp_path / "n2") as two:
        in_use = raftlog("serve", "--data-dir", tmp_path / "n1", "--listen", "127.0.0.1:0")
        assert (in_use.code, "in use by process" in in_use.said) == (FAILED, True)
        assert raftlog("init", one).code == 0
        assert raftlog("init", two).code == 0
        both = raftlog("init", one, two)
        assert (both.code, "belong to different clusters already" in both.said) == (FAILED, True)
        again = raftlog("init", one)
        assert (again.code, "is initialised already; nothing was changed" in again.out) == (0, True)
    sound = raftlog("log", "verify", tmp_path / "n1")
    assert (sound.code, sound.out.splitlines()[-1]) == (0, "sound")

    def spoilt(name: str) -> Path:
        return Path(shutil.copytree(tmp_path / "n1", tmp_path / name))

    def refusal(directory: Path) -> tuple[int, str]:
        done = raftlog("serve", "--data-dir", directory, "--listen", "127.0.0.1:0")
        return done.code, done.said

    segment = "0000000000000001.seg"
    wiped = spoilt("wiped")
    for file in wiped.glob("*.seg"):
        file.unlink()
    code, said = refusal(wiped)
    assert (code, "its log is gone" in said) == (FAILED, True)

    stranger = spoilt("stranger")
    shutil.copy(tmp_path / "n2" / "identity", stranger / "identity")
    code, said = refusal(stranger)
    assert code == FAILED
    assert "node" in said

    nameless = spoilt("nameless")
    (nameless / "identity").unlink()
    code, said = refusal(nameless)
    assert (code, "no identity file" in said) == (FAILED, True)

    flipped = spoilt("flipped")
    content = bytearray((flipped / segment).read_bytes())
    content[700] ^= 4
    (flipped / segment).write_bytes(content)
    code, said = refusal(flipped)
    assert (code, f"{segment} at byte 512" in said) == (DAMAGED, True)
    verified = raftlog("log", "verify", flipped)
    assert (verified.code, f"DAMAGED: {segment} at byte 512" in verified.out) == (DAMAGED, True)
    assert raftlog("log", "dump", flipped).code == DAMAGED

    short = spoilt("short")
    (short / segment).write_bytes((short / segment).read_bytes()[:3000])
    code, said = refusal(short)
    assert (code, segment in said) == (DAMAGED, True)

    unreadable = spoilt("unreadable")
    (unreadable / "identity").write_bytes(b"nonsense")
    code, said = refusal(unreadable)
    assert (code, "identity" in said) == (DAMAGED, True)
