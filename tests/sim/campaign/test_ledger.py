"""A ledger survives being killed, goes on where it was, and tells other files and other builds apart."""

import gzip
from pathlib import Path

import msgspec
import pytest

from jepsen_like.sim import build
from jepsen_like.sim.build import Build
from jepsen_like.sim.campaign import as_line
from jepsen_like.sim.ledger import BadLedger, Header, Ledger, digest, read
from jepsen_like.sim.swarm import draw
from jepsen_like.sim.worker import Finished
from tests.sim.campaign.fake import passed

HEADER = Header(
    build=Build("c0ffee", "0123456789abcdef", "CPython 3.11.7"),
    tier="core",
    span=30_000_000,
    place="somewhere:run",
    first_seed=1,
)


def done(seed: int) -> Finished:
    plan = draw(seed, "core")
    return Finished(plan, passed(plan), 0.25)


def written(path: Path, seeds: range) -> None:
    with Ledger(path, HEADER, resume=False) as ledger:
        for seed in seeds:
            ledger.note(as_line(done(seed)))


def test_what_is_noted_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.jsonl"
    written(path, range(1, 6))
    header, lines = read(path)
    assert header == HEADER
    assert [line.run for line in lines] == [done(seed).run for seed in range(1, 6)]
    assert lines[0].plan == digest(draw(1, "core")) != lines[1].plan


def test_a_run_is_in_the_file_before_the_next_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, HEADER, resume=False) as ledger:
        for seed in range(1, 4):
            ledger.note(as_line(done(seed)))
            assert len(read(path)[1]) == seed


@pytest.mark.parametrize("torn", [1, 2, 40, 300])
def test_a_torn_last_line_is_forgotten_and_cut_off(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "ledger.jsonl"
    written(path, range(1, 4))
    path.write_bytes(path.read_bytes()[:-torn])
    assert [line.run.seed for line in read(path)[1]] == [1, 2]
    with Ledger(path, HEADER, resume=True) as ledger:
        assert [line.run.seed for line in ledger.lines] == [1, 2]
        ledger.note(as_line(done(9)))
    assert [line.run.seed for line in read(path)[1]] == [1, 2, 9]


def test_a_ledger_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    written(path, range(1, 3))
    before = path.read_bytes()
    with pytest.raises(BadLedger, match="--resume"):
        Ledger(path, HEADER, resume=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "changed, named",
    [
        ({"tier": "node"}, "tier core, not node"),
        ({"span": 1}, "span"),
        ({"place": "elsewhere:run"}, "simulator"),
        ({"build": Build("c0ffee", "fedcba9876543210", "CPython 3.11.7")}, "source"),
        ({"build": Build("c0ffee", "0123456789abcdef", "CPython 3.12.0")}, "interpreter"),
    ],
)
def test_another_campaign_does_not_go_on_in_it(
    tmp_path: Path, changed: dict[str, object], named: str
) -> None:
    path = tmp_path / "ledger.jsonl"
    written(path, range(1, 3))
    other = msgspec.structs.replace(HEADER, **changed)
    with pytest.raises(BadLedger, match=named):
        Ledger(path, other, resume=True)


def test_a_bad_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    written(path, range(1, 4))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[2:]]))
    with pytest.raises(BadLedger, match="line 3"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"not JSON\n", b'{"ledger": 1}\n'])
def test_other_files_are_no_ledgers(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadLedger, match="no ledger"):
        read(path)


def test_a_later_format_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(HEADER, ledger=2)) + b"\n")
    with pytest.raises(BadLedger, match="format 2"):
        read(path)


def test_finished_ledgers_are_read_compressed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    written(path, range(1, 4))
    packed = tmp_path / "ledger.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed) == read(path)
    with pytest.raises(BadLedger, match="compressed"):
        Ledger(packed, HEADER, resume=True)


def test_this_build_is_named_by_its_source() -> None:
    assert build.this() == build.this()
    assert len(build.this().source) == 16
    assert build.this().python.startswith("CPython 3.")
