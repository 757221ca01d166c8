"""The comparison of generated code notices a file that is missing, stale or left over."""

import pathlib
import shutil

import pytest

from tests.gate import protoc

SCHEMA = 'syntax = "proto3";\npackage raftlog.pb;\nmessage Greeting { string text = 1; }\n'


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project with one .proto file and its generated code."""
    (tmp_path / "proto/raftlog/pb").mkdir(parents=True)
    (tmp_path / "proto/raftlog/pb/greeting.proto").write_text(SCHEMA)
    protoc.write(tmp_path, protoc.generate(tmp_path), {})
    return tmp_path


def compare(root: pathlib.Path) -> list[str]:
    return protoc.differences(protoc.generate(root), protoc.committed(root))


def test_fresh_code_is_current(root: pathlib.Path) -> None:
    assert len(protoc.committed(root)) == 4
    assert compare(root) == []


def test_a_changed_schema_makes_its_code_stale(root: pathlib.Path) -> None:
    (root / "proto/raftlog/pb/greeting.proto").write_text(SCHEMA.replace("text = 1", "text = 2"))
    assert "raftlog/pb/greeting_pb2.py is stale" in compare(root)


def test_an_edit_by_hand_is_stale(root: pathlib.Path) -> None:
    stub = root / "raftlog/pb/greeting_pb2.pyi"
    stub.write_bytes(stub.read_bytes() + b"\n")
    assert compare(root) == ["raftlog/pb/greeting_pb2.pyi is stale"]


def test_a_missing_file_is_named(root: pathlib.Path) -> None:
    (root / "raftlog/pb/greeting_pb2_grpc.py").unlink()
    assert compare(root) == ["raftlog/pb/greeting_pb2_grpc.py is missing"]


def test_code_without_schema_is_left_over_and_removed(root: pathlib.Path) -> None:
    shutil.rmtree(root / "proto")
    assert [line.partition(" ")[2] for line in compare(root)] == ["has no .proto file any more"] * 4
    protoc.write(root, protoc.generate(root), protoc.committed(root))
    assert protoc.committed(root) == {}


def test_a_broken_schema_is_refused_in_the_words_of_protoc(root: pathlib.Path) -> None:
    (root / "proto/raftlog/pb/greeting.proto").write_text("message {")
    with pytest.raises(SystemExit, match=r"greeting.proto:1:9: Expected message name"):
        protoc.generate(root)


def test_lower_bounds_follow_the_generators(root: pathlib.Path) -> None:
    said = protoc.low_bounds(protoc.generate(root), {"dependencies": ["grpcio>=1.2", "protobuf>=3"]})
    assert [line.partition(">=")[0] for line in said] == [
        "pyproject.toml must ask for 'grpcio",
        "pyproject.toml must ask for 'protobuf",
    ]
