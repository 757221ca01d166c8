"""Mutants of the fake tier."""

from typing import Any

import msgspec

from jepsen_like.mutants.mutant import Mutant

FAKE = "tests.mutants.fake"


def mutant(name: str = "wrong", **fields: Any) -> Mutant:
    """One that gives wrong answers from seed 6 on, unless it is told otherwise."""
    usual = {
        "name": name,
        "class": "safety",
        "near": "I5",
        "what": "it doubles wrongly",
        "where": f"{FAKE}:Service.answer",
        "old": "seed * 2",
        "new": "seed * 2 + (seed >= 6)",
        "oracles": ["I5"],
        "tiers": ["core"],
    }
    return msgspec.convert({**usual, **fields}, Mutant)
