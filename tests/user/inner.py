"""Another pytest, as users run it: with our plugin and no other but those that are asked for."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("PYTEST_", "JEPSEN_LIKE_")


def pytest_in(folder: Path, *words: str) -> str:
    """What it prints when it is run in this folder."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
    # The hash seed is fixed, so that a machine that depends on it shows it every time.
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    fixed = [sys.executable, "-m", "pytest", "-p", "jepsen_like.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*fixed, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr
