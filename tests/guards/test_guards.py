"""Every guard is needed: with one taken out, the scripts and tests that guard it fail."""

import importlib
from pathlib import Path

import pytest

from tests.cranked.script import StoryFailed, play
from tests.guards.plant import Mutant, mutants, planted

SCRIPTS = Path(__file__).parents[1] / "golden" / "scripts"
MUTANTS = mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_without_its_guard_it_fails(mutant: Mutant) -> None:
    assert mutant.scripts or mutant.tests, f"{mutant.name} names nothing that kills it"
    for script in mutant.scripts:
        with planted(mutant), pytest.raises(StoryFailed):
            play(SCRIPTS / f"{script}.txt")
    for test in mutant.tests:
        module, _, name = test.partition(":")
        function = getattr(importlib.import_module(module), name)
        with planted(mutant), pytest.raises(AssertionError):
            function()


def test_the_code_is_itself_again_afterwards() -> None:
    for mutant in MUTANTS[:3]:
        with planted(mutant):
            pass
        for script in mutant.scripts:
            play(SCRIPTS / f"{script}.txt")
