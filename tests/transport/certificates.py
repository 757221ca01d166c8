"""An authority and certificates of a day's life, made by the openssl command."""

import shutil
import subprocess
from pathlib import Path

import pytest


def openssl() -> str:
    """The command, or a skip."""
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("needs the openssl command to make certificates")
    return found


def make_authority(folder: Path, name: str = "ca") -> Path:
    """A self-signed authority; its certificate (the key lies beside it)."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    _run("req", "-x509", *_NEW_KEY, "-keyout", key, "-out", cert, "-days", "1", "-subj", f"/CN=test {name}")
    return cert


def make_certificate(folder: Path, name: str, *, names: str, authority: Path) -> tuple[Path, Path]:
    """A certificate for the subject alternative `names` ("DNS:n1,IP:127.0.0.1"), and its key."""
    cert, key, request, extra = (folder / f"{name}.{kind}" for kind in ("pem", "key", "csr", "ext"))
    _run("req", *_NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    extra.write_text(f"subjectAltName={names}\n")
    signing = ("-CA", authority, "-CAkey", authority.with_suffix(".key"), "-CAcreateserial")
    _run("x509", "-req", "-in", request, *signing, "-out", cert, "-days", "1", "-extfile", extra)
    return cert, key


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _run(*arguments: str | Path) -> None:
    done = subprocess.run([openssl(), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
