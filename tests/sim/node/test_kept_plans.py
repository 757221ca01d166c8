"""Plans that once gave an alarm, false or true, kept whole: what a seed means changes when the swarm does."""

from pathlib import Path

import pytest

from jepsen_like.sim.node import run
from jepsen_like.sim.plan import decode

PLANS = sorted(Path(__file__).with_name("plans").glob("*.json"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_it_passes(path: Path) -> None:
    ended = run(decode(path.read_bytes()))
    assert ended.outcome == "passed", (
        f"{ended.oracle}: {ended.problem}\nreplay it with: python -m jepsen_like replay --plan {path}"
    )


def test_there_are_some() -> None:
    assert PLANS, "the plans lie beside this file"
