"""What guards the code by itself: the scripts and tests that a mutant names, played with the bug in place."""

import importlib
from pathlib import Path

import pytest

from jepsen_like.mutants.mutant import Mutant
from tests.cranked.script import StoryFailed, play

SCRIPTS = Path(__file__).parents[1] / "golden" / "scripts"


def tell(mutant: Mutant) -> list[str]:
    """Those of its scripts and tests that fail with the code as it is at the moment."""
    scripts = [script for script in mutant.scripts if _breaks(script)]
    return scripts + [test for test in mutant.tests if _fails(test)]


def _breaks(script: str) -> bool:
    try:
        play(SCRIPTS / f"{script}.txt")
    except StoryFailed:
        return True
    return False


def _fails(test: str) -> bool:
    module, _, name = test.partition(":")
    function = getattr(importlib.import_module(module), name)
    try:
        function()
    except (AssertionError, pytest.fail.Exception):
        return True
    return False
