"""Which build makes the runs: commit, source and interpreter, as ledgers write them down."""

import platform
import subprocess
from functools import cache
from pathlib import Path

import msgspec
import xxhash

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("raftlog", "statemachines", "jepsen_like")


class Build(msgspec.Struct, frozen=True):
    """Runs of one plan are equal on equal builds; on others they may differ."""

    commit: str
    """`unknown` outside a checkout; with `+` behind it when files differ from the commit."""
    source: str
    """Hash of every Python file of the packages: 16 hexadecimal digits."""
    python: str


@cache
def this() -> Build:
    """The build this process runs."""
    return Build(_commit(), _source(), f"{platform.python_implementation()} {platform.python_version()}")


def changed() -> bool:
    """Whether the sources on disk are others than those this process began with."""
    return _source() != this().source


def _commit() -> str:
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}+" if _git("status", "--porcelain", "--", *PACKAGES) else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _source() -> str:
    digest = xxhash.xxh3_64()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
