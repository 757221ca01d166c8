"""README's example runs as it is printed, and what the documents name exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from raftlog.cli.app import app
from raftlog.core.settings import Settings
from raftlog.machine import sessions
from raftlog.node.limits import Limits as NodeLimits
from raftlog.service.limits import Limits as ServiceLimits
from raftlog.storage.wal import SEGMENT_SIZE
from raftlog.transport.limits import Limits as TransportLimits

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
_SIZE = re.compile(r"(\d+) ([KM]iB)")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.real
def test_the_example_runs_and_its_three_logs_remember(tmp_path: Path) -> None:
    (example,) = blocks(README, "python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 25
    (tmp_path / "counter.py").write_text(example)
    promised = [
        found[1] for line in README.splitlines() if (found := re.search(r"counter\.py +# prints (\d+)", line))
    ]
    assert promised == ["3", "6"]
    for figure in promised:
        ran = subprocess.run(
            [sys.executable, "counter.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (0, f"{figure}\n"), ran.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    anchors = {
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, f"{page.name} has no heading {target}"
        elif "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), (
                f"{page.name} leads to {target}, which is not there"
            )


def test_files_that_the_documents_name_exist() -> None:
    named = set(
        re.findall(
            r"`((?:raftlog|statemachines|proto|docs|core|node|storage|transport)/[\w/]+\.\w+)`",
            README + ARCHITECTURE,
        )
    )
    assert len(named) > 10
    missing = [
        name for name in sorted(named) if not ((ROOT / name).exists() or (ROOT / "raftlog" / name).exists())
    ]
    assert missing == []


def test_commands_that_the_documents_name_exist() -> None:
    known = app.list_commands(app.make_context("raftlog", [], resilient_parsing=True))
    named = re.findall(r"^raftlog (\w+)", "\n".join(blocks(README, "sh")), re.MULTILINE)
    assert named
    assert set(named) <= set(known)


def test_the_house_lists_every_package() -> None:
    house = blocks(ARCHITECTURE, "text")[2]
    inside = {path.name for path in (ROOT / "raftlog").iterdir() if (path / "__init__.py").exists()}
    missing = [name for name in sorted(inside) if f"  {name}/" not in house]
    assert missing == []


def test_the_limits_are_those_of_the_code() -> None:
    """A number in the table that the code no longer has is worse than none."""
    settings, node, service, transport = Settings(), NodeLimits(), ServiceLimits(), TransportLimits()
    rows = {
        "one command's body": (node.command, service.command_bytes),
        "entry that commands are gathered into": (node.entry_target,),
        "append message": (settings.max_append,),
        "one follower, sent and not acknowledged": (settings.max_inflight,),
        "accepted by the leader, not yet applied": (settings.max_undecided,),
        "recent entries kept in memory": (settings.max_recent,),
        "commands waiting at a node": (node.queue,),
        "forwarded and not yet answered": (node.forwarded,),
        "frames received, not yet processed": (node.inbox,),
        "one peer's queues": (transport.urgent_bytes, transport.bulk_bytes),
        "one gRPC message": (transport.message_bytes,),
        "one client stream": (service.inflight_bytes,),
        "session table": (sessions.Limits().total_bytes,),
        "log segment": (SEGMENT_SIZE,),
    }
    table = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", ARCHITECTURE, re.MULTILINE))
    for what, sizes in rows.items():
        said = [int(number) << {"KiB": 10, "MiB": 20}[unit] for number, unit in _SIZE.findall(table[what])]
        assert set(sizes) <= set(said), f"{what}: the code has {sizes}, ARCHITECTURE.md says {table[what]!r}"
