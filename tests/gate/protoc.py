"""Compares the committed protobuf code with what the pinned generators make of proto/ (`--write` renews it)."""

import argparse
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTO = "proto"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
RUNTIME_IN_CODE = re.compile(r"^# Protobuf Python Version: (\S+)$", re.MULTILINE)

Files: TypeAlias = Mapping[pathlib.PurePosixPath, bytes]


def generate(root: pathlib.Path) -> Files:
    """What the generators make of every file under `root`/proto, by path below `root`.

    Raises SystemExit with protoc's own words when a .proto file does not parse.
    """
    sources = sorted((root / PROTO).rglob("*.proto"))
    if not sources:
        return {}
    scripts = pathlib.Path(sysconfig.get_path("scripts"))
    with tempfile.TemporaryDirectory(prefix="raftlog-pb-") as folder:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO}"]
        command += [f"--plugin={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
        command += [f"--{kind}_out={folder}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
        command += [source.relative_to(root).as_posix() for source in sources]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"protoc refuses {PROTO}/:\n{done.stderr.strip()}")
        return read(pathlib.Path(folder))


def read(folder: pathlib.Path) -> Files:
    """Every generated file under `folder`, by path below it."""
    found = sorted(path for pattern in GENERATED for path in folder.rglob(pattern))
    return {pathlib.PurePosixPath(path.relative_to(folder).as_posix()): path.read_bytes() for path in found}


def committed(root: pathlib.Path) -> Files:
    """The generated files that lie in the package."""
    package = root / "raftlog" / "pb"
    return {pathlib.PurePosixPath("raftlog/pb") / path: text for path, text in read(package).items()}


def differences(wanted: Files, found: Files) -> list[str]:
    """One sentence per file that is missing, stale or left over; `found` and `wanted` are compared by bytes."""
    said = [f"{path} is missing" for path in sorted(wanted.keys() - found.keys())]
    said += [f"{path} has no .proto file any more" for path in sorted(found.keys() - wanted.keys())]
    both = sorted(wanted.keys() & found.keys())
    return said + [f"{path} is stale" for path in both if wanted[path] != found[path]]


def low_bounds(wanted: Files, project: Mapping[str, object]) -> list[str]:
    """One sentence per runtime that pyproject.toml does not bound by what the generated code demands."""
    bounds = project["dependencies"]
    assert isinstance(bounds, list), f"project.dependencies is a list, not {bounds!r}"
    needs = {"grpcio": importlib.metadata.version("grpcio-tools")}
    for text in wanted.values():
        if match := RUNTIME_IN_CODE.search(text.decode()):
            needs["protobuf"] = match[1]
    asked = [f"{name}>={version}" for name, version in sorted(needs.items())]
    return [f"pyproject.toml must ask for '{bound}'" for bound in asked if bound not in bounds]


def write(root: pathlib.Path, wanted: Files, found: Files) -> None:
    """Makes the package hold exactly the `wanted` files; touches only those that differ."""
    for path in sorted(found.keys() - wanted.keys()):
        (root / path).unlink()
        print(f"removed {path}")
    for path, text in sorted(wanted.items()):
        if found.get(path) != text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(text)
            print(f"wrote {path}")


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when the committed code is current (or has just been written), 1 with sentences otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the files instead of comparing them")
    wanted, found = generate(ROOT), committed(ROOT)
    if parser.parse_args(arguments).write:
        write(ROOT, wanted, found)
        found = committed(ROOT)
    said = [f"{line}: run `make fix`" for line in differences(wanted, found)]
    said += low_bounds(wanted, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])
    print("\n".join(said), end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
