"""The frame of the command: help, version, settings from a file, other packages, and the docs."""

import json
import re
import shlex
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from raftlog import __version__
from raftlog.cli import app as frame
from raftlog.cli.app import app, run
from raftlog.cli.exits import Exit
from raftlog.cli.output import typed_as
from tests.cli.running import PATIENCE, ROOT, raftlog, serving

DOCS = (ROOT / "docs" / "cli.md").read_text()


def test_version_is_for_people_and_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert run(["version", "--json"]) == 0
    words, document = capsys.readouterr().out.splitlines()
    assert words.startswith(f"raftlog {__version__} (protocol 1, log format 1, Python 3.")
    assert json.loads(document)["raftlog"] == __version__


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    listed = re.findall(r"^  (\w+) ", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE)
    assert listed == [
        "init",
        "serve",
        "cluster",
        "status",
        "snapshot",
        "backup",
        "restore",
        "log",
        "version",
        "kv",
    ]


def test_a_broken_command_of_another_package_breaks_only_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = {
        "gone": EntryPoint("gone", "not_installed_anywhere:command", frame.PLUGINS),
        "number": EntryPoint("number", "math:pi", frame.PLUGINS),
    }
    monkeypatch.setattr(frame, "_plugins", lambda: plugins)
    assert run(["gone"]) == Exit.FAILED
    assert "the command 'gone' of not_installed_anywhere:command cannot be loaded" in capsys.readouterr().err
    assert run(["number"]) == Exit.FAILED
    assert "math:pi is no click command" in capsys.readouterr().err
    assert run(["version"]) == Exit.OK


@pytest.mark.real
def test_a_node_takes_its_settings_from_a_file_and_flags_override_it(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(
        'name = "from-file"\nmachine = "statemachines.counter:Counter"\nelection-timeout = 50\nheartbeat = 10\n'
        "insecure = false\n"
    )
    with serving(tmp_path / "n1", "--config", str(tmp_path / "node.toml"), "--heartbeat", "5") as address:
        assert raftlog("init", address).code == 0
        (row,) = json.loads(raftlog("status", address, "--json").out)["nodes"]
    assert (row["node"], row["machine"]) == ("from-file", "Counter")


@pytest.mark.real
def test_a_log_is_dumped_line_by_line(tmp_path: Path) -> None:
    with serving(tmp_path / "n1") as address:
        assert raftlog("init", address).code == 0
        assert raftlog("kv", "put", "greeting", "hello", "--node", address).code == 0
    lines = [
        json.loads(line)
        for line in raftlog("log", "dump", tmp_path / "n1", "--json", "--payloads").out.splitlines()
    ]
    kinds = [line["kind"] for line in lines]
    assert kinds[:3] == ["segment", "batch", "standing"]
    bodies = [body for line in lines for body in line.get("bodies", ())]
    assert any("greeting" in body and "hello" in body for body in bodies)
    words = raftlog("log", "dump", tmp_path / "n1").out
    assert len(words.splitlines()) == len(lines)
    report = json.loads(raftlog("log", "verify", tmp_path / "n1", "--json").out)
    assert report["sound"]
    assert report["groups"][0]["last"] == max(
        int(line["id"].split("@")[0]) for line in lines if line["kind"] == "entry"
    )


def test_the_documented_exit_codes_are_the_real_ones() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE)}
    assert documented == set(Exit)


def documented_commands() -> list[str]:
    pages = DOCS + (ROOT / "docs" / "backup.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", pages, re.DOTALL)).replace("\\\n", " ")
    return [line for line in blocks.splitlines() if line.startswith("raftlog ")]


def test_commands_to_type_begin_with_what_the_shell_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "raftlog"
    script.touch(mode=0o755)
    for argument, path, name in (
        (script, "", str(script)),
        (script, str(tmp_path), "raftlog"),
        (tmp_path / "__main__.py", "", "raftlog"),
    ):
        monkeypatch.setattr(sys, "argv", [str(argument)])
        monkeypatch.setenv("PATH", path)
        assert typed_as() == name


@pytest.mark.parametrize("line", documented_commands())
def test_a_documented_command_has_these_flags(line: str) -> None:
    command: click.Command = app
    words = shlex.split(line, comments=True)[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= flags


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_supervised_cluster_ends_with_its_command(number: signal.Signals, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "raftlog",
        "cluster",
        "--nodes",
        "2",
        "--dir",
        str(tmp_path / "c"),
        "--json",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            nodes = json.loads(running.stdout.readline())["nodes"]
            assert raftlog("status", "--dir", tmp_path / "c").code == Exit.OK
            running.send_signal(number)
            assert running.wait(PATIENCE) == Exit.OK
        finally:
            running.kill()
    assert [node["role"] for node in nodes if node["role"] == "leader"] == ["leader"]
    assert not [node["pid"] for node in nodes if Path(f"/proc/{node['pid']}").exists()]
    assert raftlog("status", "--dir", tmp_path / "c").code == Exit.UNREACHABLE
