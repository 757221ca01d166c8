"""`make venv` says in one sentence what a machine lacks."""

import sys

import pytest

from tests.gate import environment


def test_an_old_python_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, but .* is Python 3\.9\.2; .*PYTHON="):
        environment.check_python()


def test_a_missing_ensurepip_names_the_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match=r"ensurepip module is missing; .*apt-get install python3-venv"):
        environment.check_python()
