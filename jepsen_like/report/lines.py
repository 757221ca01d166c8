"""The line that makes a run again, and how a failed run is told."""

import sys
from pathlib import Path

from jepsen_like.sim import notation
from jepsen_like.sim.plan import Tier
from jepsen_like.sim.swarm import SPAN
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros


def command() -> str:
    """`python -m jepsen_like` for a shell in this directory: from a fresh clone, a bare `python` is another one."""
    python = Path(sys.executable)
    here = Path.cwd()
    return f"{python.relative_to(here) if python.is_relative_to(here) else python} -m jepsen_like"


def replay_line(seed: int, tier: Tier, span: Micros = SPAN, place: str = "") -> str:
    """The shell command that makes this run again on this build."""
    return f"{command()} replay {_which(seed, tier, span, place)}"


def shrink_line(seed: int, tier: Tier, span: Micros = SPAN, place: str = "") -> str:
    """The shell command that cuts this run down."""
    return f"{command()} shrink {_which(seed, tier, span, place)}"


def _which(seed: int, tier: Tier, span: Micros, place: str) -> str:
    words = [str(seed), f"--tier {tier}"]
    if span != SPAN:
        words.append(f"--span {notation.span_text(span)}")
    if place:
        words.append(f"--simulator {place}")
    return " ".join(words)


def failure(run: Run, span: Micros, place: str = "") -> str:
    """Two lines: what broke where, and how to see it again."""
    return f"seed {run.seed} failed: {run.oracle}: {run.problem}\n    {replay_line(run.seed, run.tier, span, place)}"
