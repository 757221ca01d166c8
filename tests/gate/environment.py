"""Makes or renews the virtual environment of this checkout; `make venv` runs it when pyproject.toml is newer.

It runs under whatever Python the user has, so the part up to `check_python` must parse on old versions.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
PIP = os.path.join(VENV, "bin", "pip")
STAMP = os.path.join(VENV, ".stamp")
PYPROJECT = os.path.join(ROOT, "pyproject.toml")
OLDEST = (3, 11)


def check_python() -> None:
    """Stops with one sentence when this interpreter cannot carry the project."""
    version = "%d.%d.%d" % sys.version_info[:3]
    if sys.version_info[:2] < OLDEST:
        sys.exit(
            "raftlog needs Python %d.%d or newer, but %s is Python %s; name a newer one, for example: "
            "make venv PYTHON=python3.12" % (OLDEST[0], OLDEST[1], sys.executable, version)
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit(
            "Python %s (%s) cannot make virtual environments because its ensurepip module is missing; on "
            "Debian and Ubuntu install the package python3-venv: apt-get install python3-venv"
            % (version, sys.executable)
        )


def wanted() -> str:
    """What the environment depends on, as one digest: the interpreter, this place, and what pip is told."""
    import tomllib

    with open(PYPROJECT, "rb") as file:
        settings = tomllib.load(file)
    installed = [settings["build-system"], settings["project"], settings["tool"]["hatch"]]
    text = repr((sys.version_info[:3], os.path.realpath(sys.base_prefix), ROOT, installed))
    return hashlib.sha256(text.encode()).hexdigest()


def current() -> str:
    """The digest the environment was made for, or an empty string."""
    with contextlib.suppress(OSError), open(STAMP, encoding="ascii") as file:
        return file.readline().strip()
    return ""


def works() -> bool:
    """Whether the environment lies here and has a pip under the interpreter version that is asked for."""
    probe = "import pip, sys; sys.exit(sys.version_info[:3] != %r)" % (tuple(sys.version_info[:3]),)
    try:
        with open(PIP, encoding="utf-8") as file:
            if VENV not in file.readline():
                return False  # the checkout was moved; the scripts still name the old place
    except OSError:
        return False
    return subprocess.run([PYTHON, "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode == 0


def install() -> None:
    """Makes the environment where it does not work, and installs this checkout with the pinned tools."""
    started = time.monotonic()
    if not works():
        print("Making .venv with Python %d.%d.%d ..." % sys.version_info[:3], flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    print("Installing raftlog and its development tools into .venv ...", flush=True)
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--editable", ".[dev]"]
    subprocess.run(pip, cwd=ROOT, check=True)
    print("The environment is ready (%.0f s)." % (time.monotonic() - started))


def main() -> None:
    """Brings the environment up to date; two runs at once wait for each other."""
    check_python()
    import fcntl

    with open(PYPROJECT, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = wanted()
        if digest != current() or not works():
            try:
                install()
            except subprocess.CalledProcessError as error:
                sys.exit(
                    "The environment could not be made: `%s` failed with exit code %d; the lines above say why."
                    % (" ".join(error.cmd), error.returncode)
                )
        with open(STAMP, "w", encoding="ascii") as file:
            file.write("%s\n%s\n" % (digest, ROOT))


if __name__ == "__main__":
    main()
