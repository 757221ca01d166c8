"""The gate: runs every read-only check and says at the end which of them failed; `make check` calls it."""

import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATE = ROOT / "tests" / "gate"
IMPORT_LINTER = "from importlinter.cli import lint_imports_command as run; run()"


def checks(code: Sequence[str]) -> dict[str, list[str]]:
    """Every check by its name, as the arguments of the Python that runs it; `code` are the folders to look at."""
    return {
        "format": ["-m", "ruff", "format", "--check", "--quiet", "--diff", *code],
        "lint": ["-m", "ruff", "check", "--no-fix", "--quiet", *code],
        "generated code": [str(GATE / "protoc.py")],
        "core purity": [str(GATE / "purity.py")],
        "traps": [str(GATE / "traps.py")],
        "import contracts": ["-c", IMPORT_LINTER, "--no-logo"],
        "types": ["-m", "mypy", *code],
    }


def run(name: str, arguments: Sequence[str]) -> bool:
    """Whether the check passes; prints one line, and all it said when it does not."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    verdict = "ok" if done.returncode == 0 else "FAILED"
    print(f"{name:<17} {verdict:<7} {time.monotonic() - started:5.1f} s", flush=True)
    if done.returncode:
        print((done.stdout + done.stderr).rstrip(), flush=True)
    return done.returncode == 0


def main(code: Sequence[str]) -> int:
    """Runs all checks, also after a failed one; exit code 1 when any failed."""
    failed = [name for name, arguments in checks(code).items() if not run(name, arguments)]
    if failed:
        print(
            f"make check failed: {', '.join(failed)}. `make fix` mends format, simple lint and generated code."
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
