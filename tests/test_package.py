"""What holds for the package as a whole: importing it is light, and its version is the installed one."""

import importlib.metadata
import subprocess
import sys

import raftlog


def modules_after(statement: str) -> set[str]:
    """The names of all modules a fresh interpreter has loaded after `statement`."""
    script = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_raftlog_imports_no_grpc() -> None:
    loaded = modules_after("import raftlog")
    assert not loaded & {"grpc", "google.protobuf", "uvloop"}


def test_the_version_is_the_one_in_pyproject() -> None:
    assert raftlog.__version__ == importlib.metadata.version("raftlog")
